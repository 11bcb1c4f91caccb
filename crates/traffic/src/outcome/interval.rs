//! How far a difference may be chance.
//!
//! The intervals are looked at all the time, by a page once a second. An ordinary one of 95 % is right once in twenty
//! *looks*, and who looks until it excludes zero will see that happen between any two that are alike. So these are wider:
//! they hold the true difference at **all looks together** with 95 %. A running mean stays within a curved boundary with
//! that probability (Robbins' normal mixture; Waudby-Smith et al., "Time-uniform central limit theory and asymptotic
//! confidence sequences", 2024), which is between 3 and 4 standard errors instead of 1.96. It holds for large samples, as
//! 1.96 does, which is why nothing is said of few.

/// That all intervals of one comparison, at all times, hold the true difference.
pub const CONFIDENCE: f64 = 0.95;

/// The sample size at which the boundary is nearest to the mean: what a canary has after some minutes.
const NEAREST_AT: f64 = 500.0;

/// How many standard errors the boundary is from the mean, by effective sample size.
pub(super) fn standard_errors(mine: u64, theirs: u64) -> f64 {
    // The variance of a difference is proportional to the inverse of this.
    let size = 1.0 / (1.0 / mine.max(1) as f64 + 1.0 / theirs.max(1) as f64);
    let log = -2.0 * (1.0 - CONFIDENCE).ln();
    let mixture = size * (log + log.ln() + 1.0) / NEAREST_AT;
    ((1.0 + 1.0 / mixture) * ((mixture + 1.0).ln() + log)).sqrt()
}

/// Where a share may be that was seen as `hits` of `tries`: Wilson's score interval, which is sound also next to 0 and 1.
pub(super) fn share(hits: u64, tries: u64, standard_errors: f64) -> (f64, f64) {
    let (n, z2) = (tries.max(1) as f64, standard_errors * standard_errors);
    let seen = hits as f64 / n;
    let middle = (seen + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let reach = standard_errors * (seen * (1.0 - seen) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    // What was never seen may be none; rounding must not say otherwise.
    let low = if hits == 0 { 0.0 } else { (middle - reach).max(0.0) };
    let high = if tries <= hits { 1.0 } else { (middle + reach).min(1.0) };
    (low, high)
}

/// Where the difference of two shares may be, theirs less mine, both as hits and tries: Newcombe's, from the score
/// interval of each.
pub(super) fn difference_of_shares(mine: (u64, u64), theirs: (u64, u64)) -> (f64, f64) {
    let z = standard_errors(mine.1, theirs.1);
    let seen = |(hits, tries): (u64, u64)| hits as f64 / tries.max(1) as f64;
    let (my, their) = (seen(mine), seen(theirs));
    let (my_low, my_high) = share(mine.0, mine.1, z);
    let (their_low, their_high) = share(theirs.0, theirs.1, z);
    let off = their - my;
    (off - (their - their_low).hypot(my_high - my), off + (their_high - their).hypot(my - my_low))
}
