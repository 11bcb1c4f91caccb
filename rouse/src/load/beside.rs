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

impl Beside {
    /// Every revision that wanted or had a replica since `begin`.
    ///
    /// # Errors
    /// If the admin port does not answer.
    pub(super) async fn ask(admin: &Server, begin: Timestamp) -> anyhow::Result<Vec<Self>> {
        let since = |at: &str| {
            let at: Timestamp = at.parse().ok()?;
            (at - begin).total(jiff::Unit::Second).ok().filter(|second| 0.0 <= *second)
        };
        let endpoints = typed::<EndpointList>(admin.get("/api/v1/endpoints").await?)?.endpoints;
        let mut all: Vec<Self> = Vec::new();
        for revision in endpoints.into_iter().flat_map(|endpoint| endpoint.revisions) {
            let path = format!("/api/v1/revisions/{}/{}", revision.namespace, revision.name);
            let points = typed::<Series>(admin.get(&format!("{path}/series")).await?)?.points;
            let points = points.into_iter().filter_map(|point| Some((since(&point.at)?, point)));
            let points: Vec<(f64, Point)> = points.collect();
            let name = match revision.namespace.as_str() {
                "default" => revision.name,
                namespace => format!("{namespace}/{}", revision.name),
            };
            let was_up =
                |point: &Point| 0 < point.ready_replicas || point.desired_replicas.is_some_and(|want| 0 < want);
            // Two endpoints may name one revision.
            if !points.iter().any(|(_, point)| was_up(point)) || all.iter().any(|other| other.name == name) {
                continue;
            }
            let decisions = typed::<DecisionList>(admin.get(&format!("{path}/decisions")).await?)?.decisions;
            let decisions = decisions.into_iter().filter_map(|decision| Some((since(&decision.at)?, decision)));
            all.push(Self { name, points, decisions: decisions.collect() });
        }
        Ok(all)
    }

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
