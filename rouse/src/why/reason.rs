//! The rule that decided, with the numbers that it decided on. One for each word of the closed list.

use api::admin::{Decision, Revision};
use kpa::Because;

use super::words::{counted, from, load, source, span};

/// In a sentence.
pub(super) fn reason(revision: &Revision, last: &Decision) -> String {
    let Some(because) = Because::ALL.iter().find(|because| because.word() == last.because) else {
        // A newer autoscaler knows more.
        return last.sentence.clone();
    };
    let window = |long: bool| {
        let window = revision.outlook.as_ref();
        let seconds =
            window.map(|window| if long { window.stable_window_seconds } else { window.panic_window_seconds });
        seconds.map_or("the last while".to_owned(), |seconds| format!("the last {}", span(seconds)))
    };
    let asks = |demand: Option<f64>, long: bool| {
        let demand = demand.map_or("demand".to_owned(), |demand| load(revision, demand));
        let target = revision.demand.target.unwrap_or(1.0);
        format!("{demand} on average over {}, and a replica is for {target:.1}.", window(long))
    };
    let set = |name: &str| {
        let setting = revision.settings.get(name);
        setting.map_or("?".to_owned(), |setting| format!("{}{}", setting.value, from(setting)))
    };
    match because {
        Because::Steady => asks(last.stable, true),
        Because::Panicking => format!("a burst: {}", asks(last.panic, false)),
        Because::HoldingPeak => {
            "a burst has asked for so many, and until it is over nothing is taken away again.".to_owned()
        }
        Because::LimitedByRateUp => {
            format!("more are asked for, but only {} times what is ready is ordered at a time.", set("maxScaleUpRate"))
        }
        Because::LimitedByRateDown => {
            format!("fewer are enough, but at a time only down to one in {}.", set("maxScaleDownRate"))
        }
        Because::ScaleDownDelay => format!(
            "fewer would be enough, but so many were asked for within the last {}, and that is waited for.",
            set("scaleDownDelay")
        ),
        Because::ActivationScale => {
            format!(
                "when it wakes it is to have {} at once{}.",
                last.want.unwrap_or(1),
                source(revision, "activationReplicas")
            )
        }
        Because::Minimum => format!("fewer would be enough; the minimum is {}.", set("minReplicas")),
        Because::Maximum => format!("more are asked for; the maximum is {}.", set("maxReplicas")),
        Because::InitialScale => format!("it begins with {}, and has not been there yet.", set("initialReplicas")),
        Because::ActivatorUnheard | Because::NoData => match silent(revision) {
            Some(who) => format!("{who}. What is held there is unknown, so nothing is taken away."),
            None => "nothing is known of its demand, so nothing is changed.".to_owned(),
        },
        Because::HeldRequests => match last.held_requests {
            0 => "requests are still being answered, so it is not given up.".to_owned(),
            held => format!("{} held for it, so it is not given up.", are(held)),
        },
        Because::Waking => format!("{} held, and nothing runs: it is started.", are(last.held_requests)),
        Because::IdleUntilWindowEnds => {
            format!("fewer would be enough, but have not been for long: {} count.", window(true))
        }
        Because::OnItsWay
        | Because::NotAdopted
        | Because::Bypassed
        | Because::ScaleConflict
        | Because::WaitingForActivators
        | Because::Grace
        | Because::Retention
        | Because::Sealed
        | Because::Zero
        | Because::StartFailed
        | Because::ScalingDisabled => uncapitalised(&last.sentence),
    }
}

/// `activator-b has not been heard for 26 s`.
fn silent(revision: &Revision) -> Option<String> {
    let silent = &revision.outlook.as_ref()?.silent;
    let longest = silent.iter().map(|silent| silent.seconds).reduce(f64::max)?;
    let names: Vec<&str> = silent.iter().map(|silent| &*silent.name).collect();
    let has = if names.len() == 1 { "has" } else { "have" };
    Some(format!("{} {has} not been heard for {}", names.join(", "), span(longest.ceil())))
}

fn are(requests: u32) -> String {
    format!("{} {}", counted(requests, "request"), if requests == 1 { "is" } else { "are" })
}

fn uncapitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}
