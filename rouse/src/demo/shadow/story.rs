//! What is asked, and when the candidates come in.

use std::time::Duration;

use loadtest::Scenario;
use loadtest::arrivals::Arrivals;
use loadtest::scenario::{Phase, Request};
use loadtest::shape::{Piece, Shape};

/// The candidates.
pub(super) const GOOD: &str = "demo-v2";
/// The same.
pub(super) const BAD: &str = "demo-v3";

/// A part of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) name: &'static str,
    /// Requests a second.
    rate: f64,
    seconds: u64,
    /// From here on there are shadows.
    pub(super) has_shadows: bool,
    pub(super) said: &'static str,
}

/// One after the other.
pub(super) const PARTS: [Part; 3] = [
    Part {
        name: "wake",
        rate: 10.0,
        seconds: 3,
        has_shadows: false,
        said: "the first request wakes the model, demo-v1",
    },
    Part { name: "alone", rate: 40.0, seconds: 10, has_shadows: false, said: "as it is answered without shadows" },
    Part {
        name: "shadows",
        rate: 40.0,
        seconds: 26,
        has_shadows: true,
        said: "two candidates get copies of every request, and nobody gets their answers",
    },
];

/// How many different rows are asked about.
const ROWS: usize = 1_000;

/// Its load. `brief`: in a third of the time.
pub(super) fn load(part: &Part, seed: u64, brief: bool) -> Scenario {
    let lasts = Duration::from_secs(part.seconds) / if brief { 3 } else { 1 };
    let phase = Phase { name: part.name.to_owned(), shape: Shape(vec![Piece::hold(part.rate, lasts)]) };
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut number = || f64::from(chance.u32(..1_000)) / 1e3;
    let mut row = || format!(r#"{{"instances": [[{}, {}, {}]]}}"#, number(), number(), number());
    Scenario {
        name: "demo --shadow".to_owned(),
        about: part.said.to_owned(),
        arrivals: Arrivals::Poisson,
        seed,
        request: Request { bodies: (0..ROWS).map(|_| row()).collect(), ..Request::prediction() },
        phases: vec![phase],
    }
}

/// The file before anybody wrote shadows into it: without that list, and without what is said of it.
pub(super) fn without_shadows(text: &str) -> String {
    let mut left_out = false;
    let mut left = String::new();
    for line in text.lines() {
        // A comment that belongs to a key stands directly above it.
        if line == "  shadow:" {
            let above = left.trim_end_matches('\n').rfind('\n').map_or(0, |end| end + 1);
            if left[above..].trim_start().starts_with('#') {
                left.truncate(above);
            }
            left_out = true;
        } else if left_out && !line.starts_with("   ") {
            left_out = false;
        }
        if !left_out {
            left.push_str(line);
            left.push('\n');
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::super::MODEL;
    use super::*;

    fn shadows(text: &str) -> Vec<String> {
        let reading = api::read(&[("model.yaml".to_owned(), text.as_bytes().to_vec())]);
        assert!(reading.faults.0.is_empty(), "{}", reading.faults);
        let endpoint = &reading.documents.endpoints[0];
        endpoint.value.shadows.iter().map(|shadow| shadow.target.name().to_owned()).collect()
    }

    #[test]
    fn the_file_begins_without_shadows_and_has_two_in_the_end() {
        assert_eq!(shadows(MODEL), [GOOD, BAD]);
        let before = without_shadows(MODEL);
        assert!(shadows(&before).is_empty());
        assert!(!before.contains("Two candidates"), "{before}");
        assert!(before.contains("maxReplicas: 4"), "{before}");
    }

    #[test]
    fn it_takes_about_forty_seconds_and_asks_about_many_rows() {
        let loads = PARTS.map(|part| load(&part, 1, false));
        let lasts: Duration = loads.iter().map(Scenario::lasts).sum();
        assert!(lasts <= Duration::from_secs(40), "{lasts:?}");
        let mut rows = loads[2].request.bodies.clone();
        rows.sort();
        rows.dedup();
        assert!(990 <= rows.len(), "{}", rows.len());
    }
}
