//! Whose part is how large: what is written in the file, what was in force when, and what came of it. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// The new version.
pub(super) const V2: &str = "canary-v2";
/// The old one.
pub(super) const V1: &str = "canary-v1";

/// How the demonstration moves the new version's share: to so many percent, for so many seconds.
pub(super) const PLAN: [(u8, u64, &str); 4] = [
    (0, 10, "all of it goes to v1; v2 is at zero"),
    (5, 14, "v2 wakes for its first request: every twentieth is its own"),
    (50, 14, "half each; both scale by their own requests"),
    (100, 16, "all of it goes to v2; v1 goes to zero"),
];

/// How long that takes.
pub(super) fn lasts() -> Duration {
    PLAN.iter().map(|(_, seconds, _)| Duration::from_secs(*seconds)).sum()
}

/// The file with another share for the new version. What a person changed elsewhere in it stays.
pub(super) fn written(text: &str, share_of_v2: u8) -> String {
    let mut shares = [100 - share_of_v2, share_of_v2].into_iter();
    let line = |line: &str| match line.split_once("percent: ").map(|(before, _)| (before, shares.next())) {
        Some((before, Some(share))) => format!("{before}percent: {share}\n"),
        Some((_, None)) | None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The new version's share, as the file says it; `None` if the file has a fault, and then it does not count.
pub(super) fn share_in(text: &str) -> Option<u8> {
    let reading = api::read(&[("canary.yaml".to_owned(), text.as_bytes().to_vec())]);
    if !reading.faults.0.is_empty() {
        return None;
    }
    let endpoint = reading.documents.endpoints.first()?;
    endpoint.value.traffic.iter().find(|target| target.revision == V2).map(|target| target.percent.get())
}

/// The lines of the file in which the shares stand, counted from 1.
pub(super) fn lines_of(text: &str) -> Vec<usize> {
    text.lines().zip(1..).filter(|(line, _)| line.contains("percent: ")).map(|(_, number)| number).collect()
}

/// A time in which one split was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The new version's share.
    pub(super) percent: u8,
    /// From when to when it is known to have been in force, since the beginning of the load.
    pub(super) from: Duration,
    pub(super) to: Duration,
    /// Which stage of the load it is.
    pub(super) stage: usize,
    /// A person wrote it.
    pub(super) by_person: bool,
    /// Requests that were on their way when it began or ended: who decided on them is not known.
    pub(super) unsure: u64,
}

/// What a step asked, and what was counted of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counted {
    pub(super) step: Step,
    pub(super) of_v1: u64,
    pub(super) of_v2: u64,
}

impl Counted {
    pub(super) fn of(steps: &[Step], answered_by: &BTreeMap<(usize, String), u64>) -> Vec<Self> {
        let count = |stage, name: &str| answered_by.get(&(stage, name.to_owned())).copied().unwrap_or(0);
        let counted =
            |step: &Step| Self { step: step.clone(), of_v1: count(step.stage, V1), of_v2: count(step.stage, V2) };
        steps.iter().map(counted).collect()
    }

    /// The new version's share as it was counted, in percent; `None` if nothing was.
    pub(super) fn percent(&self) -> Option<f64> {
        let all = self.of_v1 + self.of_v2;
        (all != 0).then(|| 100.0 * self.of_v2 as f64 / all as f64)
    }

    /// Within one request of its share, or of as many as nobody knows of. With 0 and 100 there is nothing to know.
    pub(super) fn is_exact(&self) -> bool {
        let (percent, all) = (u64::from(self.step.percent), self.of_v1 + self.of_v2);
        let allowed = if matches!(percent, 0 | 100) { 0 } else { 100 * (1 + self.step.unsure) };
        (100 * self.of_v2).abs_diff(percent * all) <= allowed
    }
}

#[cfg(test)]
mod tests {
    use super::super::MODEL;
    use super::*;

    fn counted(percent: u8, of_v1: u64, of_v2: u64, unsure: u64) -> Counted {
        let moment = Duration::ZERO;
        let step = Step { percent, from: moment, to: moment, stage: 1, by_person: false, unsure };
        Counted { step, of_v1, of_v2 }
    }

    #[test]
    fn what_is_written_is_what_is_read_and_the_rest_of_the_file_stays() {
        assert_eq!(share_in(MODEL), Some(0), "what the demonstration begins with");
        let changed = MODEL.replace("maxReplicas: 6", "maxReplicas: 3");
        for share in [0, 5, 50, 100] {
            let text = written(&changed, share);
            assert_eq!(share_in(&text), Some(share), "{text}");
            assert!(text.contains("maxReplicas: 3"));
            assert_eq!(written(&text, 0), changed);
        }
        assert_eq!(share_in(&MODEL.replace("percent: 0", "percent: 7")), None, "they do not add up to 100");
        let lines: Vec<&str> = MODEL.lines().collect();
        assert!(lines_of(MODEL).iter().all(|line| lines[line - 1].trim_start().starts_with("percent: ")));
    }

    #[test]
    fn it_takes_about_a_minute() {
        assert!((Duration::from_secs(45)..=Duration::from_secs(60)).contains(&lasts()));
    }

    #[test]
    fn a_share_is_exact_within_a_request_and_those_on_their_way() {
        assert!(counted(5, 95, 5, 0).is_exact() && counted(5, 94, 6, 0).is_exact());
        assert!(!counted(5, 92, 8, 0).is_exact() && counted(5, 92, 8, 2).is_exact());
        assert!(counted(100, 0, 9, 0).is_exact() && !counted(100, 1, 99, 3).is_exact());
        assert_eq!((counted(5, 95, 5, 0).percent(), counted(5, 0, 0, 0).percent()), (Some(5.0), None));
    }
}
