//! What is said, line by line. Pure: answers of the admin port in, text out. The numbers are the rules' own (`outlook`);
//! here they only get words, for people who do not know the algorithm.

use api::admin::{Decision, Outcomes, Outlook, Revision, Shadow, State, Turn, Wake};
use loadtest::results::time;

use super::beside::beside;
use super::reason::reason;
use super::shadow::shadow;
use super::words::{amount, counted, from, load, source, span};
use crate::find::full;
use crate::text::wrapped;

/// The labels' column.
const LABEL: usize = 13;

/// What is known of it beside others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beside<'a> {
    /// Those of its endpoint.
    pub(super) outcomes: Option<&'a Outcomes>,
    /// What came of its copies, if it is one.
    pub(super) shadow: Option<&'a Shadow>,
}

/// Why it is as it is. `decisions` and `wakes`: newest last. Lines are broken before the column `width`.
pub(super) fn tell(
    revision: &Revision,
    decisions: &[Decision],
    wakes: &[Wake],
    others: Beside<'_>,
    width: usize,
) -> String {
    let mut text = Text { said: format!("{}\n\n", headline(revision)), width };
    let Some((last, before)) = decisions.split_last() else {
        text.line("wants", "nothing yet: no decision has been made");
        return text.shown();
    };
    text.line("wants", &wants(revision, last));
    if let Some(before) = before.iter().rev().find(|before| before.want != last.want) {
        let want = before.want.map_or("left as it was".to_owned(), |want| want.to_string());
        text.line("before", &format!("{want}, until {} ({})", hour(&before.until), before.because));
    }
    if let Some(why) = &revision.reason {
        text.line("failed", why);
    }
    text.line("sees", &sees(revision, last));
    text.line("a replica", &one_replica(revision));
    if let Some(outlook) = &revision.outlook {
        text.line("one more", &one_more(revision, outlook));
        text.line("one fewer", &one_fewer(revision, last, outlook));
        let (when, obstacles) = to_zero(revision, outlook);
        text.line("to zero", &when);
        obstacles.iter().for_each(|obstacle| text.item(obstacle));
    }
    if !revision.zero_blocked_by.is_empty() {
        let who = revision.zero_blocked_by.join(", ");
        text.line("in the way", &format!("{who}: asked whether it may go to zero, and silent for a minute"));
    }
    if let Some(wake) = wakes.last() {
        text.line("woken", &woken(wake));
    }
    if let Some((said, items)) = others.shadow.map(shadow) {
        text.line("a shadow", &said);
        items.iter().for_each(|item| text.item(item));
    }
    let beside = others.outcomes.and_then(|outcomes| beside(outcomes, &revision.name, hour(&outcomes.since)));
    if let Some((said, items)) = beside {
        text.line("compared", &said);
        items.iter().for_each(|item| text.item(item));
    }
    let set = revision.settings.iter().filter(|(_, setting)| setting.source != "built-in");
    let set: Vec<String> = set.map(|(name, setting)| format!("{name} {}{}", setting.value, from(setting))).collect();
    text.line("settings", &if set.is_empty() { "all built in".to_owned() } else { set.join(", ") });
    for refusal in &revision.refused_settings {
        text.line("refused", refusal);
    }
    if !revision.refused_settings.is_empty() {
        text.line("", "What counted before these still does.");
    }
    text.shown()
}

/// What it is doing, in a sentence.
pub(crate) fn headline(revision: &Revision) -> String {
    let name = full(&revision.namespace, &revision.name);
    let replicas = match (revision.ready_replicas, revision.starting_replicas) {
        (0, 0) => "nothing runs".to_owned(),
        (0, starting) => format!("{} starting", counted(starting, "replica")),
        (ready, 0) => format!("{} ready", counted(ready, "replica")),
        (ready, starting) => format!("{} ready, {starting} starting", counted(ready, "replica")),
    };
    let state = match revision.state {
        State::Zero => "is asleep",
        State::Waking => "is waking",
        // Between two rounds of promises it is as it was; but that is where it goes.
        State::Active if revision.desired_replicas == Some(0) => "is going to sleep",
        State::Active => "is awake",
        State::Draining => "is going to sleep",
        State::Failed => "does not start",
    };
    format!("{name} {state}: {replicas}.")
}

fn wants(revision: &Revision, last: &Decision) -> String {
    let want = match last.want.or(revision.desired_replicas) {
        Some(0) => "none".to_owned(),
        Some(want) => counted(want, "replica"),
        None => "as many as there are".to_owned(),
    };
    let parse = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let lasted = parse(&last.at).zip(parse(&last.until)).map(|(at, until)| until.duration_since(at).as_secs());
    let lasted = lasted.filter(|seconds| 2 <= *seconds);
    let lasted = lasted.map_or(String::new(), |seconds| format!(", for {}", span(seconds as f64)));
    format!("{want}: {} ({}{lasted})", reason(revision, last), last.because)
}

fn sees(revision: &Revision, last: &Decision) -> String {
    let mut said = match (last.stable, last.panic, &revision.outlook) {
        (Some(stable), Some(panic), Some(outlook)) => format!(
            "{} over the last {}, {} over the last {}",
            load(revision, stable),
            span(outlook.stable_window_seconds),
            amount(panic),
            span(outlook.panic_window_seconds)
        ),
        (Some(stable), _, _) => load(revision, stable),
        (None, _, _) => "nothing that was measured yet".to_owned(),
    };
    if last.held_requests != 0 {
        said += &format!("; {} held for want of a replica", counted(last.held_requests, "request"));
    }
    said
}

fn one_replica(revision: &Revision) -> String {
    let Some(target) = revision.demand.target else { return "is for as much as it can do".to_owned() };
    let target = load(revision, target);
    match (revision.settings.get("targetUtilizationPercentage"), revision.settings.get("target")) {
        (Some(share), Some(whole)) if whole.value.parse::<f64>().is_ok_and(|whole| 0.0 < whole) => {
            format!("is for {target}: {} % of {}{}", share.value, whole.value, from(whole))
        }
        (Some(share), _) => format!("is for {target}, at {} % of what it can do", share.value),
        (None, _) => format!("is for {target}"),
    }
}

fn one_more(revision: &Revision, outlook: &Outlook) -> String {
    let Turn { by, stable, panic, wait_seconds } = &outlook.more;
    match by.as_str() {
        "demand" => {
            let (long, short) = (span(outlook.stable_window_seconds), span(outlook.panic_window_seconds));
            match (stable, panic) {
                (Some(stable), Some(panic)) if revision.mode == api::admin::Mode::Stable => {
                    format!("above {stable:.1} over {long}; at once above {panic:.1} over {short}: that is a burst")
                }
                (_, Some(panic)) => format!("above {panic:.1} over {short}"),
                (Some(stable), None) => format!("above {stable:.1} over {long}"),
                (None, None) => "with more demand".to_owned(),
            }
        }
        "learned-demand" => "with more demand; what is starting and what a request takes count too".to_owned(),
        "first-request" if revision.ready_replicas != 0 => "with the next request, which breaks this off".to_owned(),
        "first-request" => "with the first request, which is held until a replica is ready".to_owned(),
        "growth" => {
            format!("as soon as these are ready: so many are added at a time{}", source(revision, "maxScaleUpRate"))
        }
        "next-start" => {
            let wait = wait_seconds.filter(|wait| 0.0 < *wait);
            let wait = wait.map_or(String::new(), |wait| format!(" after {}", span(wait.ceil())));
            format!("with the first request{wait}, or at once when the workload is changed")
        }
        "maximum" => format!("never: the maximum is {}", setting(revision, "maxReplicas")),
        _ => "not while that is so".to_owned(),
    }
}

fn one_fewer(revision: &Revision, last: &Decision, outlook: &Outlook) -> String {
    let Turn { by, stable, panic: _, wait_seconds } = &outlook.fewer;
    let long = span(outlook.stable_window_seconds);
    let at = stable.map_or("with less demand".to_owned(), |stable| format!("at {stable:.1} or less over {long}"));
    let wait = wait_seconds.map(|wait| span(wait.ceil()));
    match by.as_str() {
        "demand" => match wait {
            Some(delay) => format!("at {:.1} or less over {long}, and that for {delay}", stable.unwrap_or_default()),
            None => at,
        },
        "learned-demand" => "with less demand".to_owned(),
        "panic-end" => {
            let wait = wait.map_or(String::new(), |wait| format!(", in {wait} at the earliest"));
            format!("not before the burst is over{wait}; then {at}")
        }
        "delay-end" => {
            let wait = wait.map_or("when the delay is over".to_owned(), |wait| format!("in {wait}"));
            format!("{wait}, if it is {at} until then")
        }
        "shrinking" => "in a moment: only so many are taken at a time".to_owned(),
        "way-to-zero" => "is none: see below".to_owned(),
        "nothing-there" => "there is none to take".to_owned(),
        "minimum" => format!("never: the minimum is {}", setting(revision, "minReplicas")),
        "initial-scale" => format!("not before {} were ready once: the initial scale", last.min_replicas),
        _ => "not while that is so".to_owned(),
    }
}

/// When, and what has to be first.
fn to_zero(revision: &Revision, outlook: &Outlook) -> (String, Vec<String>) {
    let Some(first) = outlook.before_zero.first() else { return ("it is there".to_owned(), Vec::new()) };
    match first.what.as_str() {
        "minimum" => return (format!("never: the minimum is {}", setting(revision, "minReplicas")), Vec::new()),
        "scaling-disabled" => {
            return (format!("never: enableScaleToZero is {}", setting(revision, "enableScaleToZero")), Vec::new());
        }
        _ => {}
    }
    let when = match outlook.zero_in_seconds {
        Some(0.0) => "now, if nothing comes:".to_owned(),
        Some(seconds) => format!("in about {}, if nothing comes:", span(seconds.ceil())),
        None => "when all of this has been, one after the other:".to_owned(),
    };
    let has_requests = outlook.before_zero.iter().any(|obstacle| obstacle.what == "requests");
    let items = outlook.before_zero.iter().map(|obstacle| {
        let wait = obstacle.wait_seconds.map(|wait| span(wait.ceil()));
        let wait = wait.as_deref();
        match (obstacle.what.as_str(), wait) {
            ("activator-unheard" | "no-data", _) if !outlook.silent.is_empty() => {
                let names: Vec<&str> = outlook.silent.iter().map(|silent| &*silent.name).collect();
                format!("{} is heard again, or gone", names.join(", "))
            }
            ("activator-unheard", _) => "every activator is heard again".to_owned(),
            ("no-data", _) => "something is known of its demand".to_owned(),
            ("not-adopted", _) => "a request has come through Rouse".to_owned(),
            ("bypassed", _) => "nobody reaches its replicas past Rouse any more".to_owned(),
            ("scale-conflict", _) => "nobody else has written its scale for an hour".to_owned(),
            ("initial-scale", _) => "the initial scale was reached once".to_owned(),
            ("requests", _) => "what is asked is answered".to_owned(),
            ("start", _) => "its start is over".to_owned(),
            ("window", Some(wait)) if has_requests => format!("no request for {wait}"),
            ("window", Some(wait)) => format!("{wait} more without a request"),
            ("scale-down-delay", Some(wait)) => format!("the scale-down delay: {wait}"),
            ("scale-down-delay", None) => format!("the scale-down delay of {}", setting(revision, "scaleDownDelay")),
            ("activators", _) => "every activator knows that it is in the path".to_owned(),
            ("retention", Some(wait)) => {
                format!("the last replica is kept for {wait}{}", source(revision, "scaleToZeroRetention"))
            }
            ("grace", Some(wait)) => {
                format!("routers have {wait} to learn of the path{}", source(revision, "scaleToZeroGracePeriod"))
            }
            ("promise", _) => "every activator and replica promises that it holds nothing".to_owned(),
            (other, _) => other.to_owned(),
        }
    });
    let items: Vec<String> = items.collect();
    match (&items[..], outlook.zero_in_seconds) {
        ([only], None) => (format!("as soon as {only}"), Vec::new()),
        _ => (when, items),
    }
}

fn woken(wake: &Wake) -> String {
    let request = wake.request_id.as_ref().map_or(String::new(), |id| format!(" for request {id}"));
    let end = match (wake.ready_seconds, wake.outcome.as_deref()) {
        (Some(ready), _) => format!("ready after {}", time(ready)),
        (None, Some(outcome)) => outcome.to_owned(),
        (None, None) => "not ready yet".to_owned(),
    };
    format!("at {} by {}{request}: {end}", hour(&wake.at), wake.asked_by)
}

/// The time of day; the rings hold only the last few.
fn hour(at: &str) -> &str {
    at.get(11..19).unwrap_or(at)
}

/// A setting and who set it.
fn setting(revision: &Revision, name: &str) -> String {
    revision.settings.get(name).map_or("?".to_owned(), |setting| format!("{}{}", setting.value, from(setting)))
}

/// Lines with a label; a long one goes on below itself.
struct Text {
    said: String,
    width: usize,
}

impl Text {
    fn line(&mut self, label: &str, said: &str) {
        let first = format!("  {label:<11}");
        self.lines(&first, said);
    }

    /// One of several below a line.
    fn item(&mut self, said: &str) {
        self.lines(&format!("{:LABEL$}- ", ""), said);
    }

    fn lines(&mut self, first: &str, said: &str) {
        let indent = first.chars().count();
        for (number, line) in wrapped(said, self.width.saturating_sub(indent)).into_iter().enumerate() {
            let before = if number == 0 { first.to_owned() } else { " ".repeat(indent) };
            self.said.push_str(&before);
            self.said.push_str(&line);
            self.said.push('\n');
        }
    }

    /// What comes over a socket is not allowed to steer a terminal.
    fn shown(self) -> String {
        self.said.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
    }
}

#[cfg(test)]
mod tests;
