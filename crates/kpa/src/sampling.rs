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
