//! The words. Pure: an answer of the admin port in, text out.

use std::fmt::Write as _;
use std::time::Duration;

use api::admin::{Decision, Mode, Revision, Setting, State};
use kpa::Steps;
use serde::Serialize;
use units::ReplicaCount;

use crate::find::full;

/// Why it is as it is, for a person who does not know the algorithm.
pub(super) fn tell(revision: &Revision, last: Option<&Decision>) -> String {
    let mut text = Text(format!("{}\n\n", headline(revision)));
    let Some(last) = last else {
        text.line("wants", "nothing yet: no decision has been made");
        return text.0;
    };
    text.line("wants", &wants(revision, last));
    if let Some(reason) = &revision.reason {
        text.line("failed", &format!("{reason}{}", next_try(last)));
    }
    text.line("sees", &sees(revision, last));
    text.line("a replica", &one_replica(revision));
    for (label, said) in around(revision, last) {
        text.line(label, &said);
    }
    text.line("to zero", &to_zero(revision, last));
    if !revision.zero_blocked_by.is_empty() {
        let who = revision.zero_blocked_by.join(", ");
        text.line("in the way", &format!("{who}: asked whether it may go to zero, and silent for a minute"));
    }
    let set: Vec<String> = revision
        .settings
        .iter()
        .filter(|(_, setting)| setting.source != "built-in")
        .map(|(name, setting)| format!("{name} {} ({})", setting.value, setting.source))
        .collect();
    text.line("settings", &if set.is_empty() { "all built in".to_owned() } else { set.join(", ") });
    for refusal in &revision.refused_settings {
        text.line("refused", &format!("{refusal}; what counted before still does"));
    }
    text.0
}

/// What would have to change, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepsShown {
    /// Above this demand over the stable window there is one replica more.
    one_more_above: f64,
    /// At this or less one fewer.
    one_fewer_at: Option<f64>,
    /// Above this demand over the panic window there are more at once.
    panic_above: Option<f64>,
}

/// The steps around what is wanted now; `None` while that is not known.
pub(super) fn steps(revision: &Revision) -> Option<StepsShown> {
    let target = revision.demand.target?;
    let steps = Steps::around(ReplicaCount(revision.desired_replicas?), target);
    let threshold = revision.settings.get("panicThresholdPercentage").and_then(|set| set.value.parse::<f64>().ok());
    let panic_above = threshold.map(|percent| {
        // Panic begins when the short window asks for so many percent of what is ready.
        let asked = (percent / 100.0 * f64::from(revision.ready_replicas.max(1))).ceil();
        (asked - 1.0) * target
    });
    Some(StepsShown { one_more_above: steps.more_above, one_fewer_at: steps.fewer_at, panic_above })
}

/// What it is doing, in a sentence.
pub(crate) fn headline(revision: &Revision) -> String {
    let name = full(&revision.namespace, &revision.name);
    let replicas = match (revision.ready_replicas, revision.starting_replicas) {
        (0, 0) => "nothing runs".to_owned(),
        (ready, 0) => format!("{} ready", counted(ready, "replica")),
        (ready, starting) => format!("{} ready, {starting} starting", counted(ready, "replica")),
    };
    let state = match revision.state {
        State::Zero => "is asleep",
        State::Waking => "is waking",
        State::Active => "is awake",
        State::Draining => "is going to sleep",
        State::Failed => "does not start",
    };
    format!("{name} {state}: {replicas}.")
}

fn wants(revision: &Revision, last: &Decision) -> String {
    let many =
        last.want.or(revision.desired_replicas).map_or("as many as there are".to_owned(), |want| want.to_string());
    let mut said = format!("{many}. {} ({}{})", last.sentence, last.because, since(last));
    if let (true, Some(wait)) = (last.because != "start-failed", last.wait_seconds) {
        // Only what is being waited for has a time to it.
        let _ = write!(said, " About {} of that are left.", span(wait.ceil()));
    }
    said
}

fn since(last: &Decision) -> String {
    let parse = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let span_of = parse(&last.at).zip(parse(&last.until)).map(|(at, until)| until.duration_since(at).as_secs());
    span_of.filter(|seconds| 2 <= *seconds).map_or(String::new(), |seconds| format!(", for {}", span(seconds as f64)))
}

fn next_try(last: &Decision) -> String {
    let wait = last
        .wait_seconds
        .map_or("the next request".to_owned(), |wait| format!("the next request, in {} at the earliest", span(wait)));
    format!(". Tried again with {wait}, or as soon as the workload is changed")
}

fn sees(revision: &Revision, last: &Decision) -> String {
    let unit = unit(revision);
    let over = |demand: Option<f64>, window: Option<Duration>| match (demand, window) {
        (Some(demand), Some(window)) => format!("{demand:.1} over the last {}", span(window.as_secs_f64())),
        (Some(demand), None) => format!("{demand:.1}"),
        (None, _) => "nothing measured".to_owned(),
    };
    let (stable, panic) = windows(revision);
    let mut said = match (last.stable, last.panic) {
        (None, None) => format!("{unit}: nothing was measured yet"),
        (by_stable, by_panic) => format!("{unit}: {}, {}", over(by_stable, stable), over(by_panic, panic)),
    };
    if last.held_requests != 0 {
        let _ = write!(said, "; {} held for want of a replica", counted(last.held_requests, "request"));
    }
    said
}

fn one_replica(revision: &Revision) -> String {
    let target = revision.demand.target.map_or("?".to_owned(), |target| format!("{target:.1}"));
    let part = |name: &str| revision.settings.get(name);
    match (part("targetUtilizationPercentage"), part("target")) {
        (Some(share), Some(whole)) => {
            format!("is for {target} of these: {} % of {}{}", share.value, whole.value, from(whole))
        }
        _ => format!("is for {target} of these"),
    }
}

/// What would have to change for one more and one fewer.
fn around(revision: &Revision, last: &Decision) -> Vec<(&'static str, String)> {
    let (stable, panic) = windows(revision);
    let window = |window: Option<Duration>| window.map_or("the window".to_owned(), |window| span(window.as_secs_f64()));
    let (stable, panic) = (window(stable), window(panic));
    let (Some(steps), Some(want)) = (steps(revision), revision.desired_replicas) else { return Vec::new() };
    if want == 0 {
        let first = match revision.state {
            State::Failed => "when a start is tried again",
            _ => "with the first request, which is held until it is ready",
        };
        return vec![("one more", first.to_owned())];
    }
    let mut said = Vec::new();
    let max = revision.settings.get("maxReplicas");
    match (last.max_replicas, max) {
        (Some(most), Some(max)) if most <= want => {
            said.push(("one more", format!("is not allowed: the maximum is {}{}", max.value, from(max))));
        }
        _ if last.mode == Mode::Panic => {
            said.push(("one more", format!("when it is above {:.1} over {panic}", steps.one_more_above)));
        }
        _ => {
            let burst = steps.panic_above.filter(|_| last.mode == Mode::Stable);
            let burst =
                burst.map_or(String::new(), |burst| format!("; at once when it is above {burst:.1} over {panic}"));
            said.push(("one more", format!("when it is above {:.1} over {stable}{burst}", steps.one_more_above)));
        }
    }
    let delay = revision.settings.get("scaleDownDelay").filter(|delay| delay.value != "0s");
    let delayed = delay.map_or(String::new(), |delay| format!(", and was so for {}{}", delay.value, from(delay)));
    let unknown = ["activator-unheard", "no-data", "not-adopted", "bypassed"].contains(&last.because.as_str());
    match steps.one_fewer_at {
        _ if unknown => said.push(("one fewer", "not while that is so".to_owned())),
        _ if last.mode == Mode::Panic => {
            said.push((
                "one fewer",
                format!("not before the burst is over: {stable} after it last asked for twice what is ready"),
            ));
        }
        _ if want <= last.min_replicas => {
            let min = revision.settings.get("minReplicas").map_or(String::new(), from);
            said.push(("one fewer", format!("is not allowed: the minimum is {}{min}", last.min_replicas)));
        }
        Some(fewer) if 1 < want => {
            said.push(("one fewer", format!("when it is {fewer:.1} or less over {stable}{delayed}")));
        }
        // The last one is the way to zero.
        Some(_) | None => {}
    }
    said
}

fn to_zero(revision: &Revision, last: &Decision) -> String {
    let get = |name: &str| revision.settings.get(name);
    if let Some(never) = get("enableScaleToZero").filter(|set| set.value == "false") {
        return format!("never: enable-scale-to-zero is false{}", from(never));
    }
    if last.min_replicas != 0 {
        let min = get("minReplicas").map_or(String::new(), from);
        return format!("never: the minimum is {}{min}", last.min_replicas);
    }
    if revision.desired_replicas == Some(0) && revision.ready_replicas == 0 {
        return "it is there".to_owned();
    }
    if revision.desired_replicas == Some(0) {
        return "on the way: every activator and replica is asked to promise that it holds nothing".to_owned();
    }
    let window = windows(revision).0.map_or("the stable window".to_owned(), |window| span(window.as_secs_f64()));
    let mut said = format!("when nothing has come for {window}");
    if let Some(kept) = get("scaleToZeroRetention").filter(|set| set.value != "0s") {
        let _ = write!(said, ", the last replica was kept for {}{}", kept.value, from(kept));
    }
    if let Some(grace) = get("scaleToZeroGracePeriod") {
        let _ = write!(said, ", routers had {} to learn of it", grace.value);
    }
    said + ", and every activator and replica has promised that it holds nothing"
}

/// The stable and the panic window.
fn windows(revision: &Revision) -> (Option<Duration>, Option<Duration>) {
    let value = |name: &str| revision.settings.get(name).map(|setting| setting.value.as_str());
    let nanoseconds = value("window").and_then(kpa::policy::text::duration);
    let stable = nanoseconds.and_then(|nanoseconds| u64::try_from(nanoseconds).ok()).map(Duration::from_nanos);
    let share = value("panicWindowPercentage").and_then(|percent| percent.parse::<f64>().ok());
    // As the core does: at least a second, in whole seconds.
    let panic = stable
        .zip(share)
        .map(|(stable, share)| Duration::from_secs((stable.as_secs_f64() * share / 100.0).round().max(1.0) as u64));
    (stable, panic)
}

fn unit(revision: &Revision) -> &'static str {
    match revision.demand.metric.as_str() {
        "rps" => "requests a second",
        _ => "requests at once",
    }
}

/// Who said it, where that is worth a word.
fn from(setting: &Setting) -> String {
    match setting.source.as_str() {
        "built-in" => String::new(),
        source => format!(" ({source})"),
    }
}

fn counted(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn span(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 10.0 && seconds.fract() != 0.0 => format!("{seconds:.1} s"),
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.0} h", seconds / 3600.0),
    }
}

/// Lines with a label; a long one goes on below itself.
struct Text(String);

/// The labels' column, and where a line is broken.
const LABEL: usize = 13;
const WIDTH: usize = 80;

impl Text {
    fn line(&mut self, label: &str, said: &str) {
        let mut line = format!("  {label:<11}");
        let mut is_first = true;
        for word in said.split(' ') {
            if !is_first && WIDTH < line.chars().count() + 1 + word.chars().count() {
                self.0.push_str(&line);
                self.0.push('\n');
                line = " ".repeat(LABEL);
                is_first = true;
            }
            line.push_str(if is_first { "" } else { " " });
            line.push_str(word);
            is_first = false;
        }
        self.0.push_str(&line);
        self.0.push('\n');
    }
}

#[cfg(test)]
mod tests;
