//! How many replicas to ask.

/// How many of `population` replicas to ask so that their mean stands for all: 95 % confidence, 5 % margin of error,
/// a standard deviation of half the mean, with the correction for a finite population. Up to three, all of them.
pub fn sample_size(population: u32) -> u32 {
    if population <= 3 {
        return population;
    }
    let unbounded = 1.96_f64 * 1.96 * 100.0 / 25.0;
    let population = f64::from(population);
    (population * unbounded / (population + unbounded - 1.0)).ceil() as u32
}

/// One second of one replica, or of all of them, as Knative's programs report it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stat {
    /// Requests in flight, averaged over the second.
    pub average_concurrency: f64,
    /// Of those, through an activator.
    pub average_proxied_concurrency: f64,
    /// Requests that arrived in the second.
    pub request_count: f64,
    /// Of those, through an activator.
    pub proxied_count: f64,
}

impl Stat {
    /// The same, with nothing to deduct from it: the proxied part counts here.
    pub(crate) fn with_proxied_part(self) -> Self {
        Self { average_proxied_concurrency: 0.0, proxied_count: 0.0, ..self }
    }
}

/// What stands for all `population` replicas when only those in `sample` were asked. `None` without any.
pub fn stand_for_all(sample: &[Stat], population: u32) -> Option<Stat> {
    if sample.is_empty() {
        return None;
    }
    let of =
        |column: fn(&Stat) -> f64| sample.iter().map(column).sum::<f64>() / sample.len() as f64 * f64::from(population);
    Some(Stat {
        average_concurrency: of(|stat| stat.average_concurrency),
        average_proxied_concurrency: of(|stat| stat.average_proxied_concurrency),
        request_count: of(|stat| stat.request_count),
        proxied_count: of(|stat| stat.proxied_count),
    })
}
