//! `autoscaling`: bounds as Knative's annotations have them. What they mean is `kpa`'s; tests hold these to it.

use std::ops::RangeInclusive;
use std::time::Duration;

use kpa::policy::built_in;

use super::{DURATION, Schema};
use crate::endpoint::{Knob, bounds};

const HOUR: Duration = Duration::from_secs(3600);
/// A shorter window would be measured with too few seconds to say anything.
const WINDOW: RangeInclusive<Duration> = Duration::from_secs(6)..=HOUR;
const UP_TO_AN_HOUR: RangeInclusive<Duration> = Duration::ZERO..=HOUR;

/// `spec.autoscaling`, and the same of one revision in `spec.traffic`.
pub(super) fn autoscaling(doc: &str) -> Schema {
    Knob::ALL.iter().fold(Schema::map(doc), |map, knob| map.has(knob.field(), of_knob(*knob)))
}

/// The three numbers of replicas that are in force for a revision have to fit together, wherever each is said. Rules of
/// `spec`, with what to tell who breaks them.
pub(super) fn fitting_together() -> [(String, String); 3] {
    // 0 where none is said: it is what a minimum then is, no limit for a maximum, and no number that one may wake to.
    let in_force = |field: &str| {
        format!(
            "(has(t.autoscaling) && has(t.autoscaling.{field}) ? t.autoscaling.{field} : \
             has(self.autoscaling) && has(self.autoscaling.{field}) ? self.autoscaling.{field} : 0)"
        )
    };
    let [least, most, woken] = ["minReplicas", "maxReplicas", "activationReplicas"].map(in_force);
    let rule = |cel: String, message: &str| {
        let where_from = "for each revision, what traffic[].autoscaling says counts before spec.autoscaling";
        (format!("self.traffic.all(t, {cel})"), format!("{message}; {where_from}"))
    };
    [
        rule(
            format!("{most} == 0 || {least} <= {most}"),
            "minReplicas is at most maxReplicas, unless that is 0 for no limit",
        ),
        rule(format!("{woken} == 0 || {least} <= {woken}"), "minReplicas is at most activationReplicas"),
        rule(
            format!("{most} == 0 || {woken} <= {most}"),
            "activationReplicas is at most maxReplicas, unless that is 0 for no limit",
        ),
    ]
}

fn of_knob(knob: Knob) -> Schema {
    let doc = format!("{} Knative: {}.", knob.meaning(), knob.annotation());
    let replicas = |bounds| Schema::whole(bounds, doc.clone());
    let schema = match knob {
        Knob::Metric | Knob::Aggregation => Schema::word(knob.words(), doc),
        Knob::Target => Schema::number(0.01, None, doc),
        Knob::TargetUtilizationPercentage | Knob::PanicWindowPercentage => Schema::number(1.0, Some(100.0), doc),
        Knob::MinReplicas | Knob::MaxReplicas => replicas(&bounds::REPLICAS),
        Knob::InitialReplicas => {
            replicas(&bounds::REPLICAS).says("0 needs allow-zero-initial-scale in the ConfigMap config-autoscaler.")
        }
        Knob::ActivationReplicas => replicas(&(2..=*bounds::REPLICAS.end())),
        Knob::Window => in_whole_seconds(Schema::duration(&WINDOW, doc)),
        Knob::PanicThresholdPercentage => Schema::number(110.0, Some(1000.0), doc),
        Knob::TargetBurstCapacity => Schema::number(-1.0, None, doc)
            .rule("self == -1.0 || 0.0 <= self", "0 or more, or -1 for the activator always in the path"),
        Knob::ScaleDownDelay => in_whole_seconds(Schema::duration(&UP_TO_AN_HOUR, doc)),
        Knob::ScaleToZeroRetention => Schema::duration(&UP_TO_AN_HOUR, doc),
    };
    let built_in = built_in();
    let value = built_in.get(knob.field()).map_or("", String::as_str);
    match knob {
        Knob::Metric | Knob::Aggregation => schema.or(value),
        // Built in is 1, which cannot be written: it says no more than that a replica is one.
        Knob::ActivationReplicas => schema.or("1, which need not be said"),
        Knob::Target => schema.or(
            "containerConcurrency where that is set, else 100 in flight or 200 requests per second, or what the ConfigMap \
             config-autoscaler says",
        ),
        _ => schema.or(format!("{value}, or what the ConfigMap config-autoscaler says")),
    }
}

fn in_whole_seconds(schema: Schema) -> Schema {
    schema.says("In whole seconds.").rule(
        format!(
            "!self.matches('{DURATION}') || timestamp(0) + duration(self) == timestamp(duration(self).getSeconds())"
        ),
        "a duration in whole seconds, such as 90s",
    )
}
