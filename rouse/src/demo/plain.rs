//! A demonstration told in lines, for a pipe, a file or a slow terminal.

use std::fmt::Write as _;
use std::time::Duration;

use super::watch::Seen;

/// One line: where it is, what is asked, what is there, and why.
pub(super) fn line(elapsed: Duration, seen: &Seen) -> String {
    let mut line = format!("{:>4} s ", elapsed.as_secs());
    let Some(revision) = seen.revision() else { return line };
    let point = seen.points.last();
    let rate = point.and_then(|point| point.requests_per_second).unwrap_or(0.0);
    let (here, held) = point.map_or((0, 0), |point| (point.in_flight.unwrap_or(0), point.held.unwrap_or(0)));
    let desired = revision.desired_replicas.map_or("?".to_owned(), |desired| desired.to_string());
    let because = revision.because.as_deref().unwrap_or("-");
    // Writing to a String cannot fail.
    let _ = write!(
        line,
        "{rate:>4.0} req/s {here:>4} here {held:>4} held {:>4} of {desired} ready   {because}",
        revision.ready_replicas
    );
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_into_eighty_columns() {
        let endpoints = vec![super::super::fixture::endpoint("waiting-for-activators", 12, 12)];
        let points = vec![super::super::fixture::point(160.0, 999, 999)];
        let seen = Seen { endpoints, points, ..Seen::default() };
        let line = line(Duration::from_secs(99), &seen);
        assert!(line.chars().count() <= 80, "{}: {line}", line.chars().count());
        assert!(line.contains("160 req/s") && line.contains("12 of 12 ready"), "{line}");
    }
}
