//! Distributions of times.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Times with a resolution of a microsecond, three digits kept.
#[derive(Clone, Debug)]
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        Self::new()
    }
}

impl Times {
    /// None yet.
    pub fn new() -> Self {
        Self(Histogram::new(3).expect("three digits can be kept"))
    }

    /// One more.
    pub fn record(&mut self, time: Duration) {
        self.0 += u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    }

    /// All of others.
    pub fn add(&mut self, others: &Self) {
        self.0 += &others.0;
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time that this share of them (0 to 1) do not exceed; 0 if there are none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    /// The usual ones; `None` if there are no times.
    pub fn quantiles(&self) -> Option<Quantiles> {
        let at = |quantile| self.quantile(quantile).as_secs_f64();
        (0 < self.count()).then(|| Quantiles {
            p50_seconds: at(0.5),
            p90_seconds: at(0.9),
            p99_seconds: at(0.99),
            p999_seconds: at(0.999),
            max_seconds: at(1.0),
        })
    }
}

/// What is said of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quantiles {
    /// The median.
    pub p50_seconds: f64,
    /// Nine of ten are not longer.
    pub p90_seconds: f64,
    /// 99 of 100.
    pub p99_seconds: f64,
    /// 999 of 1,000.
    pub p999_seconds: f64,
    /// The longest.
    pub max_seconds: f64,
}
