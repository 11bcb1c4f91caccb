//! What the admin port says of the time of a load: how many replicas there were, and what was decided.

use api::admin::{Decision, DecisionList, EndpointList, Point, Series};
use jiff::Timestamp;

use crate::admin::{Server, typed};

/// One revision meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Beside {
    /// Its name; with its namespace before it, unless that is `default`.
    pub(super) name: String,
    /// Seconds since the beginning of the load, ascending.
    pub(super) points: Vec<(f64, Point)>,
    /// The same.
    pub(super) decisions: Vec<(f64, Decision)>,
}

/// Looks at an admin port while a load runs. It keeps ten minutes, and a load may take longer.
#[derive(Debug)]
pub(super) struct Watch {
    admin: Server,
    begin: Timestamp,
    /// Every revision that was ever there, in the order of their first appearance.
    seen: Vec<Beside>,
}

impl Watch {
    /// `begin`: when the load begins.
    pub(super) fn new(admin: Server, begin: Timestamp) -> Self {
        Self { admin, begin, seen: Vec::new() }
    }

    /// Looks once more. May be dropped at each await: what was seen is kept revision by revision.
    ///
    /// # Errors
    /// If the admin port does not answer.
    pub(super) async fn look(&mut self) -> anyhow::Result<()> {
        let begin = self.begin;
        let since = |at: &str| {
            let at: Timestamp = at.parse().ok()?;
            (at - begin).total(jiff::Unit::Second).ok().filter(|second| 0.0 <= *second)
        };
        let endpoints = typed::<EndpointList>(self.admin.get("/api/v1/endpoints").await?)?.endpoints;
        for revision in endpoints.into_iter().flat_map(|endpoint| endpoint.revisions) {
            let path = format!("/api/v1/revisions/{}/{}", revision.namespace, revision.name);
            // One that went meanwhile keeps what was seen of it.
            let Some(series) = self.admin.find(&format!("{path}/series")).await? else { continue };
            let Some(decisions) = self.admin.find(&format!("{path}/decisions")).await? else { continue };
            let points = typed::<Series>(series)?.points;
            let decisions = typed::<DecisionList>(decisions)?.decisions;
            let name = match revision.namespace.as_str() {
                "default" => revision.name,
                namespace => format!("{namespace}/{}", revision.name),
            };
            // Two endpoints may name one revision: it is the same one.
            let known = match self.seen.iter().position(|known| known.name == name) {
                Some(known) => known,
                None => {
                    self.seen.push(Beside { name, points: Vec::new(), decisions: Vec::new() });
                    self.seen.len() - 1
                }
            };
            let known = &mut self.seen[known];
            renew(&mut known.points, points.into_iter().filter_map(|point| Some((since(&point.at)?, point))));
            renew(&mut known.decisions, decisions.into_iter().filter_map(|one| Some((since(&one.at)?, one))));
        }
        Ok(())
    }

    /// Every revision that wanted or had a replica.
    pub(super) fn were_up(&self) -> Vec<Beside> {
        let up = |point: &Point| 0 < point.ready_replicas || point.desired_replicas.is_some_and(|want| 0 < want);
        self.seen.iter().filter(|revision| revision.points.iter().any(|(_, point)| up(point))).cloned().collect()
    }
}

/// Puts what is told now in place of what was told of the same time before: the newest may have grown since.
fn renew<T>(known: &mut Vec<(f64, T)>, told: impl Iterator<Item = (f64, T)>) {
    let mut told = told.peekable();
    if let Some((oldest, _)) = told.peek() {
        known.truncate(known.partition_point(|(at, _)| at < oldest));
    }
    known.extend(told);
}

impl Beside {
    /// A value at the end of each second of the load; `None` where nobody looked.
    pub(super) fn at_ends(&self, seconds: &[f64], of: fn(&Point) -> Option<f64>) -> Vec<Option<f64>> {
        let at = |second: &f64| {
            let ended = self.points.partition_point(|(at, _)| *at <= second + 1.0);
            let (at, point) = self.points.get(ended.checked_sub(1)?)?;
            if second + 1.0 - at < 1.5 { of(point) } else { None }
        };
        seconds.iter().map(at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::renew;

    #[test]
    fn what_is_kept_for_ten_minutes_is_put_together_to_a_longer_time() {
        let mut known = Vec::new();
        renew(&mut known, [(0.5, "a"), (1.5, "b"), (2.5, "c")].into_iter());
        // The oldest are gone by now, and the newest has become more.
        renew(&mut known, [(1.5, "b"), (2.5, "c, twice"), (2.5, "d"), (3.5, "e")].into_iter());
        assert_eq!(known, [(0.5, "a"), (1.5, "b"), (2.5, "c, twice"), (2.5, "d"), (3.5, "e")]);
        renew(&mut known, std::iter::empty());
        assert_eq!(known.len(), 5, "nothing new is no reason to forget");
    }
}
