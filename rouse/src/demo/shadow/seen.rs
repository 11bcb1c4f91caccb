//! What has been seen of shadows so far, as the admin port tells it.

use std::time::Duration;

use api::admin::{Compared, Disagreement, Shadow, ShadowList};

use super::story::{BAD, GOOD};
use crate::admin::{Server, typed};

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// One for each look.
    samples: Vec<Sample>,
    /// What happened when, in a word and in a sentence.
    pub(super) news: Vec<News>,
}

#[derive(Debug)]
struct Sample {
    at: Duration,
    shadows: Vec<Shadow>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct News {
    pub(super) at: Duration,
    pub(super) label: String,
    pub(super) text: String,
}

impl Seen {
    /// Looks once more, and returns what happened since the last time.
    ///
    /// # Errors
    /// If the admin port does not answer.
    pub(super) async fn look(&mut self, admin: &Server, at: Duration) -> anyhow::Result<Vec<News>> {
        let shadows = typed::<ShadowList>(admin.get("/api/v1/shadows").await?)?.shadows;
        Ok(self.saw(at, shadows))
    }

    fn saw(&mut self, at: Duration, shadows: Vec<Shadow>) -> Vec<News> {
        let before = self.news.len();
        for name in [GOOD, BAD] {
            let Some(now) = shadows.iter().find(|shadow| shadow.name == name) else { continue };
            if ended(now) != 0 && self.shadow(name).is_none_or(|last| ended(last) == 0) {
                let text = "Its first copy is answered, and what it says is compared with what the client got.";
                self.note(at, &format!("{name} is awake"), text);
            }
            if let Some(first) = first_disagreement(now)
                && self.shadow(name).is_none_or(|last| first_disagreement(last).is_none())
            {
                let where_ = first.differences.first().map_or("elsewhere", String::as_str);
                self.note(
                    at,
                    &format!("{name} says something else"),
                    &format!("Request {}: {where_}.", first.request_id),
                );
            }
        }
        self.samples.push(Sample { at, shadows });
        self.news[before..].to_vec()
    }

    /// That this happened.
    pub(super) fn note(&mut self, at: Duration, label: &str, text: &str) {
        self.news.push(News { at, label: label.to_owned(), text: text.to_owned() });
    }

    /// One as it was seen last.
    pub(super) fn shadow(&self, name: &str) -> Option<&Shadow> {
        self.samples.last()?.shadows.iter().find(|shadow| shadow.name == name)
    }

    /// One as it was seen at a moment.
    pub(super) fn shadow_at(&self, name: &str, at: Duration) -> Option<&Shadow> {
        let sample = self.samples.iter().rev().find(|sample| sample.at <= at)?;
        sample.shadows.iter().find(|shadow| shadow.name == name)
    }

    /// Is no copy under way any more?
    pub(super) fn has_all_ended(&self) -> bool {
        self.samples.last().is_some_and(|last| last.shadows.iter().all(|shadow| shadow.under_way == 0))
    }
}

/// Copies that have come to their end.
pub(super) fn ended(shadow: &Shadow) -> u64 {
    shadow.copies.values().sum()
}

/// What came of comparing.
pub(super) fn compared(shadow: Option<&Shadow>) -> Option<&Compared> {
    shadow?.compared.as_ref()
}

fn first_disagreement(shadow: &Shadow) -> Option<&Disagreement> {
    compared(Some(shadow))?.disagreements.first()
}
