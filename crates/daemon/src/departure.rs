//! How far a program that serves requests has come with leaving: each phase logged, and on metrics. The same words for
//! all of them, so that one dashboard shows a whole path leave.
//!
//! Not here: what a phase consists of (the programs), which requests are of which class (`forward`).

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tracing::{info, warn};

/// The phases, in this order. There is no way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not leaving.
    Serving,
    /// Unready; new connections are taken, and clients are asked to go elsewhere.
    Quiet,
    /// The ports are closed; what is in flight ends, each class up to its limit.
    Draining,
}

impl Phase {
    const ALL: [Self; 3] = [Self::Serving, Self::Quiet, Self::Draining];

    /// The word in logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Quiet => "quiet",
            Self::Draining => "draining",
        }
    }
}

/// The classes of what is in flight, by their words.
const CLASSES: [&str; 3] = ["unary", "streaming", "upgraded"];

/// The numbers of leaving. Copies are of the same numbers.
#[derive(Clone, Debug)]
pub struct Departure {
    phases: [IntGauge; 3],
    quiet: Gauge,
    classes: [(Gauge, IntCounter); 3],
}

impl Departure {
    /// Makes them and puts them into a registry; serving.
    ///
    /// # Errors
    /// If the registry has one of the names already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let options = Opts::new("rouse_phase", "1 for the phase it is in, else 0.");
        let phases = IntGaugeVec::new(options, &["phase"])?;
        let options = Opts::new("rouse_leaving_seconds", "How long a step of leaving took, once it is over.");
        let seconds = GaugeVec::new(options, &["step"])?;
        let options = Opts::new("rouse_cut_total", "Requests that did not end within the limit of their class.");
        let cut = IntCounterVec::new(options, &["class"])?;
        registry.register(Box::new(phases.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(cut.clone()))?;
        let departure = Self {
            phases: Phase::ALL.map(|phase| phases.with_label_values(&[phase.word()])),
            quiet: seconds.with_label_values(&[Phase::Quiet.word()]),
            classes: CLASSES.map(|class| (seconds.with_label_values(&[class]), cut.with_label_values(&[class]))),
        };
        departure.enter(Phase::Serving);
        Ok(departure)
    }

    /// A phase has begun.
    pub fn enter(&self, phase: Phase) {
        for (known, gauge) in Phase::ALL.iter().zip(&self.phases) {
            gauge.set((*known == phase).into());
        }
    }

    /// The quiet period is over.
    pub fn was_quiet(&self, took: Duration) {
        self.quiet.set(took.as_secs_f64());
        info!(?took, "the quiet period is over, closing the ports");
    }

    /// So many of a class had not ended within its limit, and were cut.
    pub fn were_cut(&self, class: &'static str, limit: Duration, cut: usize) {
        if cut == 0 {
            return;
        }
        if let Some(place) = CLASSES.iter().position(|known| *known == class) {
            self.classes[place].1.inc_by(cut as u64);
        }
        warn!(class, cut, ?limit, "cut what had not ended in time");
    }

    /// How many were cut so far: unary, streaming, upgraded.
    pub fn cut(&self) -> [u64; 3] {
        self.classes.each_ref().map(|(_, cut)| cut.get())
    }

    /// Nothing of a class is left, after so long.
    pub fn class_ended(&self, class: &'static str, took: Duration) {
        if let Some(place) = CLASSES.iter().position(|known| *known == class) {
            self.classes[place].0.set(took.as_secs_f64());
        }
        info!(class, ?took, "nothing of this class is left");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_in_one_phase_at_a_time_and_counts_what_was_cut() {
        let registry = Registry::new();
        let departure = Departure::register(&registry).unwrap();
        let one_of = |name: &str| {
            let family = registry.gather().into_iter().find(|family| family.name() == name).unwrap();
            let metric = family.get_metric().iter().find(|metric| 0.0 < metric.get_gauge().get_value());
            metric.map(|metric| metric.get_label()[0].value().to_owned())
        };
        assert_eq!(one_of("rouse_phase").as_deref(), Some("serving"));
        departure.enter(Phase::Draining);
        assert_eq!(one_of("rouse_phase").as_deref(), Some("draining"));
        assert_eq!(one_of("rouse_leaving_seconds"), None);
        departure.class_ended("upgraded", Duration::from_secs(60));
        departure.were_cut("upgraded", Duration::from_secs(60), 2);
        assert_eq!(one_of("rouse_leaving_seconds").as_deref(), Some("upgraded"));
        assert_eq!(departure.cut(), [0, 0, 2]);
    }
}
