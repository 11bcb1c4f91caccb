//! A load as data: what is asked, how often, for how long.
//!
//! A file in YAML; those in `scenarios/` are known by name. Here it is read and checked, all faults at once.

use std::path::Path;
use std::time::Duration;

use api::{Fault, Faults};
use serde::{Deserialize, Serialize};

use crate::arrivals::Arrivals;
use crate::shape::{Piece, Shape};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// Its method.
    #[serde(default = "Request::usual_method")]
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its body; with one it is JSON.
    #[serde(default)]
    pub body: Option<String>,
}

impl Request {
    fn usual_method() -> String {
        "GET".to_owned()
    }

    /// May a request be begun twice, if a connection ended under it (RFC 9110, 9.2.2)?
    pub fn may_repeat(&self) -> bool {
        self.method.parse().is_ok_and(|method: http::Method| method.is_idempotent())
    }

    /// A prediction in the V1 protocol, which `rouse predictor` and KServe's servers answer.
    pub fn prediction() -> Self {
        Self {
            method: "POST".to_owned(),
            path: "/v1/models/any:predict".to_owned(),
            body: Some(r#"{"instances": [[1, 2]]}"#.to_owned()),
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
        Some(Self::read(name, text, &|_| trace.map_or_else(|| Ok(TRACE.to_owned()), open)))
    }

    /// One in a file of its own. A trace that it names is looked for beside it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn in_file(file: &Path, text: &str, trace: Option<&Path>) -> Result<Self, Faults> {
        let beside = |named: &str| file.parent().map_or_else(|| named.into(), |folder| folder.join(named));
        Self::read(&file.display().to_string(), text, &|named| match trace {
            Some(trace) => open(trace),
            None => open(&beside(named)),
        })
    }

    /// Reads one. `open` reads the file that a trace names.
    fn read(name: &str, text: &str, open: &dyn Fn(&str) -> Result<String, String>) -> Result<Self, Faults> {
        let fault =
            |path: &str, value: String, allowed: &str| Fault::of_flag(format!("{name}: {path}"), value, allowed);
        let written: Written = serde_saphyr::from_str(text)
            .map_err(|error| Faults(vec![fault("", String::new(), &error.to_string().replace('\n', " "))]))?;
        let mut faults = Vec::new();
        let mut phases = Vec::new();
        for (number, phase) in written.phases.iter().enumerate() {
            let path = |field: &str| format!("phases[{number}].{field}");
            let mut note = |field: &str, value: String, allowed: &str| faults.push(fault(&path(field), value, allowed));
            let shape = phase.shape(open, &mut note);
            phases.push(Phase { name: phase.name.clone().unwrap_or_else(|| format!("{}", number + 1)), shape });
        }
        if phases.is_empty() {
            faults.push(fault("phases", "none".to_owned(), "at least one"));
        }
        if !written.request.path.starts_with('/') {
            faults.push(fault("request.path", written.request.path.clone(), "a path, beginning with `/`"));
        }
        if http::Method::from_bytes(written.request.method.as_bytes()).is_err() {
            faults.push(fault("request.method", written.request.method.clone(), "a method, such as GET or POST"));
        }
        let Written { about, arrivals, seed, request, .. } = written;
        let scenario = Self { name: name.to_owned(), about, arrivals, seed, request, phases };
        let most = 10_000_000.0;
        if most < scenario.requests() {
            faults.push(fault("phases", format!("{:.0} requests", scenario.requests()), "at most 10 million"));
        }
        Faults(faults).into_result().map(|()| scenario)
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

fn open(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| format!("a file that can be read: {error}"))
}

/// As it stands in a file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    about: String,
    #[serde(default)]
    arrivals: Arrivals,
    #[serde(default = "one")]
    seed: u64,
    #[serde(default = "Request::prediction")]
    request: Request,
    phases: Vec<WrittenPhase>,
}

fn one() -> u64 {
    1
}

/// One of: `rate`; `from` and `to`; `rate` with `on` and `off`; `trace` with `peak`. Each `for` some time.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenPhase {
    name: Option<String>,
    #[serde(rename = "for")]
    lasts: String,
    rate: Option<f64>,
    from: Option<f64>,
    to: Option<f64>,
    on: Option<String>,
    off: Option<String>,
    trace: Option<String>,
    peak: Option<f64>,
}

/// A longer load is another tool's work.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl WrittenPhase {
    fn shape(&self, open: &dyn Fn(&str) -> Result<String, String>, note: &mut dyn FnMut(&str, String, &str)) -> Shape {
        let lasts = time("for", &self.lasts, note);
        let mut rate = |field: &str, value: Option<f64>| match value {
            Some(rate) if rate.is_finite() && 0.0 <= rate => rate,
            Some(rate) => {
                note(field, rate.to_string(), "requests a second: 0 or more");
                0.0
            }
            None => 0.0,
        };
        match self {
            Self {
                rate: Some(_), on: Some(on), off: Some(off), from: None, to: None, trace: None, peak: None, ..
            } => {
                let rate = rate("rate", self.rate);
                on_off(rate, time("on", on, note), time("off", off, note), lasts)
            }
            Self { rate: Some(_), from: None, to: None, on: None, off: None, trace: None, peak: None, .. } => {
                Shape(vec![Piece::hold(rate("rate", self.rate), lasts)])
            }
            Self { from: Some(_), to: Some(_), rate: None, on: None, off: None, trace: None, peak: None, .. } => {
                Shape(vec![Piece { lasts, from: rate("from", self.from), to: rate("to", self.to) }])
            }
            Self {
                trace: Some(file), peak: Some(_), rate: None, from: None, to: None, on: None, off: None, ..
            } => {
                let peak = rate("peak", self.peak);
                let series = open(file).and_then(|text| series(&text));
                series.map(|series| of_series(&series, peak, lasts)).unwrap_or_else(|why| {
                    note("trace", file.clone(), &why);
                    Shape::default()
                })
            }
            _ => {
                note(
                    "",
                    self.name.clone().unwrap_or_default(),
                    "one of: rate; from and to; rate, on and off; trace and peak",
                );
                Shape::default()
            }
        }
    }
}

fn time(field: &str, text: &str, note: &mut dyn FnMut(&str, String, &str)) -> Duration {
    let time = humantime::parse_duration(text).ok().filter(|time| !time.is_zero() && *time <= LONGEST);
    time.unwrap_or_else(|| {
        note(field, text.to_owned(), "a time such as 30s or 2m: more than nothing, at most a day");
        Duration::from_secs(1)
    })
}

fn on_off(rate: f64, on: Duration, off: Duration, lasts: Duration) -> Shape {
    let mut left = lasts;
    let mut pieces = Vec::new();
    for (rate, length) in [(rate, on), (0.0, off)].into_iter().cycle() {
        if left.is_zero() {
            break;
        }
        let length = length.min(left);
        pieces.push(Piece::hold(rate, length));
        left -= length;
    }
    Shape(pieces)
}

/// The second column of each line, after a head.
fn series(text: &str) -> Result<Vec<f64>, String> {
    let value = |line: &str| line.split(',').nth(1)?.trim().parse::<f64>().ok().filter(|v| v.is_finite() && 0.0 <= *v);
    let lines = text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty());
    let values: Result<Vec<f64>, String> = lines
        .map(|(number, line)| {
            value(line).ok_or_else(|| format!("line {}: {line:?} is not a time and a value of 0 or more", number + 1))
        })
        .collect();
    let values = values?;
    if values.len() < 2 || values.iter().all(|value| *value == 0.0) {
        return Err("a CSV file with a head and at least two values, not all of them 0".to_owned());
    }
    Ok(values)
}

/// The values as rates, one after the other in the same time, the highest of them `peak`.
fn of_series(series: &[f64], peak: f64, lasts: Duration) -> Shape {
    let highest = series.iter().copied().fold(0.0, f64::max);
    let length = lasts.div_f64((series.len() - 1) as f64);
    let piece = |pair: &[f64]| Piece { lasts: length, from: pair[0] / highest * peak, to: pair[1] / highest * peak };
    Shape(series.windows(2).map(piece).collect())
}

#[cfg(test)]
mod tests;
