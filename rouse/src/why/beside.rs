//! How a revision did beside the others of its endpoint. What may be concluded is decided elsewhere; here it gets its
//! place among the lines.

use api::admin::{Measure, Outcomes};

/// A sentence, and what belongs to it. `None` of a revision that is not compared.
pub(super) fn beside(outcomes: &Outcomes, revision: &str, since: &str) -> Option<(String, Vec<String>)> {
    if outcomes.against == revision {
        let others: Vec<&str> = outcomes.comparisons.iter().map(|other| &*other.revision).collect();
        return Some((format!("has the largest share: {} compared with it", are(&others)), Vec::new()));
    }
    let comparison = outcomes.comparisons.iter().find(|comparison| comparison.revision == revision)?;
    let item = |what: &str, measure: &Measure| format!("{what}: {}", measure.sentence);
    let mut items = vec![
        item("failures", &comparison.failures),
        item("first byte", &comparison.first_byte),
        item("whole answer", &comparison.duration),
    ];
    items.extend(comparison.outcome.as_ref().map(|outcome| item("rouse-outcome", outcome)));
    let malformed = outcomes.revisions.iter().find(|did| did.revision == revision).map(|did| did.outcome.malformed);
    if let Some(malformed) = malformed.filter(|malformed| *malformed != 0) {
        items.push(format!("rouse-outcome was no number in {malformed} answers of it"));
    }
    Some((format!("with {}, by what the split sent to each since {since}", outcomes.against), items))
}

fn are(names: &[&str]) -> String {
    match names {
        [one] => format!("{one} is"),
        several => format!("{} are", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use api::admin::{Comparison, Did, Numbers, Times};

    use super::*;

    fn measure(sentence: &str) -> Measure {
        Measure {
            verdict: "too-few".to_owned(),
            difference: None,
            low: None,
            high: None,
            samples: 1,
            samples_against: 2,
            sentence: sentence.to_owned(),
        }
    }

    fn did(revision: &str, malformed: u64) -> Did {
        let times = Times { mean_seconds: None, p50_seconds: None, p99_seconds: None };
        Did {
            revision: revision.to_owned(),
            requests: 0,
            answers: Default::default(),
            refused: 0,
            gone: 0,
            failed: 0,
            failed_share: None,
            first_byte: times,
            duration: times,
            outcome: Numbers { count: 0, mean: None, standard_deviation: None, malformed },
        }
    }

    fn outcomes(candidates: &[&str]) -> Outcomes {
        let comparison = |name: &&str| Comparison {
            revision: (*name).to_owned(),
            failures: measure("fails more"),
            first_byte: measure("slower"),
            duration: measure("faster"),
            outcome: None,
        };
        Outcomes {
            since: "2026-01-02T03:04:05.000Z".to_owned(),
            against: "v1".to_owned(),
            confidence: 0.95,
            revisions: vec![did("v1", 0), did("v2", 3)],
            comparisons: candidates.iter().map(comparison).collect(),
        }
    }

    #[test]
    fn the_heaviest_says_who_is_compared_with_it() {
        let said = |candidates: &[&str]| beside(&outcomes(candidates), "v1", "03:04:05").unwrap();
        assert_eq!(said(&["v2"]).0, "has the largest share: v2 is compared with it");
        assert_eq!(said(&["v2", "v3"]).0, "has the largest share: v2, v3 are compared with it");
    }

    #[test]
    fn a_candidate_has_a_line_for_each_measure_that_there_is_and_for_what_made_no_sense() {
        let (said, items) = beside(&outcomes(&["v2"]), "v2", "03:04:05").unwrap();
        assert_eq!(said, "with v1, by what the split sent to each since 03:04:05");
        let malformed = "rouse-outcome was no number in 3 answers of it";
        assert_eq!(items, ["failures: fails more", "first byte: slower", "whole answer: faster", malformed]);
        assert_eq!(beside(&outcomes(&["v2"]), "v3", "03:04:05"), None, "it has no share");
    }
}
