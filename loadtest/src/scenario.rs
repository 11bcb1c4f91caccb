//! A load as data: what is asked, how often, for how long.
//!
//! A file in YAML, which `written` reads; those in `scenarios/` are known by name.

mod written;

use std::path::Path;
use std::time::Duration;

use api::Faults;
use written::Opened;

use crate::arrivals::Arrivals;
use crate::shape::Shape;

/// The scenarios that this program carries with it.
const KNOWN: [(&str, &str); 6] = [
    ("step", include_str!("../scenarios/step.yaml")),
    ("spike", include_str!("../scenarios/spike.yaml")),
    ("ramp", include_str!("../scenarios/ramp.yaml")),
    ("on-off", include_str!("../scenarios/on-off.yaml")),
    ("streaming", include_str!("../scenarios/streaming.yaml")),
    ("trace", include_str!("../scenarios/trace.yaml")),
];

/// The trace that `scenarios/trace.yaml` goes by: two days of requests at one load balancer, over five minutes each, from
/// the Numenta Anomaly Benchmark (realAWSCloudwatch/elb_request_count_8c0756.csv; MIT licence, see `scenarios/README.md`).
const TRACE: &str = include_str!("../scenarios/elb.csv");

/// What is asked, how often, for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it shows, in a line.
    pub about: String,
    /// How requests are spread.
    pub arrivals: Arrivals,
    /// What they are drawn with.
    pub seed: u64,
    /// What is asked.
    pub request: Request,
    /// One after the other.
    pub phases: Vec<Phase>,
}

/// What is asked, each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its bodies, one after the other and then from the first on again; with one it is JSON. None: it has no body.
    pub bodies: Vec<String>,
}

impl Request {
    /// May a request be begun twice, if a connection ended under it (RFC 9110, 9.2.2)?
    pub fn may_repeat(&self) -> bool {
        self.method.parse().is_ok_and(|method: http::Method| method.is_idempotent())
    }

    /// A prediction in the V1 protocol, which `rouse predictor` and KServe's servers answer.
    pub fn prediction() -> Self {
        Self {
            method: "POST".to_owned(),
            path: "/v1/models/any:predict".to_owned(),
            bodies: vec![r#"{"instances": [[1, 2]]}"#.to_owned()],
        }
    }
}

/// A part of the time, with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// What it is called.
    pub name: String,
    /// Its rate.
    pub shape: Shape,
}

impl Scenario {
    /// The names of those that this program carries, with what they show.
    pub fn known() -> Vec<(&'static str, String)> {
        let about =
            |name| Self::named(name, None).and_then(Result::ok).map(|scenario| scenario.about).unwrap_or_default();
        KNOWN.iter().map(|(name, _)| (*name, about(name))).collect()
    }

    /// One that this program carries, with another trace if there is one; `None` if it has none of that name.
    ///
    /// # Errors
    /// Everything that is wrong with the trace.
    pub fn named(name: &str, trace: Option<&Path>) -> Option<Result<Self, Faults>> {
        let (name, text) = KNOWN.iter().find(|(known, _)| *known == name)?;
        Some(written::read(name, text, &|named| {
            trace.map_or_else(|| Opened { name: named.to_owned(), text: Ok(TRACE.to_owned()) }, open)
        }))
    }

    /// One in a file of its own. A trace that it names is looked for beside it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn in_file(file: &Path, text: &str, trace: Option<&Path>) -> Result<Self, Faults> {
        let beside = |named: &str| file.parent().map_or_else(|| named.into(), |folder| folder.join(named));
        written::read(&file.display().to_string(), text, &|named| match trace {
            Some(trace) => open(trace),
            None => open(&beside(named)),
        })
    }

    /// All phases as one.
    pub fn shape(&self) -> Shape {
        Shape(self.phases.iter().flat_map(|phase| phase.shape.0.iter().copied()).collect())
    }

    /// How long requests are due.
    pub fn lasts(&self) -> Duration {
        self.phases.iter().map(|phase| phase.shape.lasts()).sum()
    }

    /// How many are due, on average.
    pub fn requests(&self) -> f64 {
        self.phases.iter().map(|phase| phase.shape.requests()).sum()
    }

    /// The same at another rate: each rate times `factor`.
    #[must_use]
    pub fn faster(mut self, factor: f64) -> Self {
        for piece in self.phases.iter_mut().flat_map(|phase| phase.shape.0.iter_mut()) {
            piece.from *= factor;
            piece.to *= factor;
        }
        self
    }

    /// The moments at which requests are due, from the beginning.
    pub fn moments(&self) -> impl Iterator<Item = Duration> {
        let moments: Vec<Duration> = self.arrivals.moments(&self.shape(), self.seed).collect();
        moments.into_iter()
    }

    /// The phase at a moment, and the moment at which it ends; `None` after the last.
    pub fn phase_at(&self, moment: Duration) -> Option<(&Phase, Duration)> {
        let mut ends = Duration::ZERO;
        self.phases.iter().find_map(|phase| {
            ends += phase.shape.lasts();
            (moment < ends).then_some((phase, ends))
        })
    }
}

fn open(file: &Path) -> Opened {
    let text = std::fs::read_to_string(file).map_err(|error| format!("a file that can be read: {error}"));
    Opened { name: file.display().to_string(), text }
}

/// More is another tool's work.
pub const MOST_REQUESTS: f64 = 10_000_000.0;
/// The same for the time.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests;
