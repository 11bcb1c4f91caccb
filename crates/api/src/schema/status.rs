//! `status`. Its types are in `crate::status`, and held to this by a test.

use super::{Merge, Schema};
use crate::endpoint::bounds;
use crate::status::{ConditionType, Verdict};

/// A Kubernetes name.
const NAME: u64 = 253;
/// What a person is told.
const SENTENCES: u64 = 4096;

/// The whole of `status`.
pub(crate) fn status() -> Schema {
    let generation = |doc| Schema::whole(&(0..=i64::MAX as u64), doc);
    let share = Schema::map("A revision's part.")
        .needs("revision", Schema::text(NAME, "As spec.traffic names it."))
        .needs("percent", Schema::whole(&bounds::PERCENT, "Its share, in percent."));
    let rollout = Schema::map("How far the rollout is.")
        .needs("step", Schema::whole(&(0..=20), "The step in force, counted from 0."))
        .needs("verdict", Schema::word(&Verdict::WORDS, "What comes of it."))
        .needs("hash", Schema::text(64, "Of what is rolled out and how: another hash is another rollout."))
        .has("stepSince", Schema::time("Since when this step holds."))
        .has("reason", Schema::text(SENTENCES, "Why."));
    let revision = Schema::map("A revision, in words.")
        .needs("name", Schema::text(NAME, "As spec.traffic names it."))
        .has("deployment", Schema::text(NAME, "The Deployment that it is; missing while there is none."))
        .has(
            "state",
            Schema::word(
                &["zero", "waking", "active", "draining", "failed"],
                "What it is doing: no replica, on the way up, at least one ready, on the way to zero, or not starting.",
            ),
        )
        .has(
            "path",
            Schema::word(&["proxied", "direct"], "How requests reach it: through the activators, or straight."),
        )
        .has("mode", Schema::word(&["stable", "panic"], "Which window of the autoscaler decides."))
        .has("reason", Schema::text(SENTENCES, "Why it is as it is; missing where there is nothing to say."));
    Schema::map(
        "What Rouse says of it, in words. Numbers are in the metrics and in `rouse get`. Written by Rouse alone.",
    )
    .has("observedGeneration", generation("The generation of spec that this speaks of."))
    .has("url", Schema::text(2048, "Where a client in the cluster reaches it."))
    .has("activatorPort", Schema::whole(&bounds::PORT, "Its own port on every activator: any Host is right there."))
    .has(
        "traffic",
        Schema::list(
            share,
            0..=*bounds::TRAFFIC.end(),
            "The split in force: what every activator in the path routes by. After a change of spec the one before it, until all \
             have said that they know; spec is never written.",
        ),
    )
    .has("rollout", rollout)
    .has(
        "revisions",
        // Those of traffic and shadow, and as many that are leaving.
        Schema::list(revision, 0..=64, "Its revisions.").merged(Merge::By("name")),
    )
    .has("conditions", Schema::list(condition(), 0..=32, conditions_doc()).merged(Merge::By("type")))
}

fn conditions_doc() -> String {
    let each = ConditionType::ALL.iter().map(|kind| format!(" {}: {}", kind.word(), kind.meaning()));
    format!("What holds of it.{}", each.collect::<String>())
}

fn condition() -> Schema {
    Schema::map("Something that holds or does not.")
        .needs("type", Schema::text(316, "What."))
        .needs("status", Schema::word(&["True", "False", "Unknown"], "Whether it holds."))
        .has("observedGeneration", Schema::whole(&(0..=i64::MAX as u64), "The generation of spec that this speaks of."))
        .needs("lastTransitionTime", Schema::time("When status last changed."))
        .needs("reason", Schema::text(1024, "Why, in one word."))
        .needs("message", Schema::text(32_768, "Why, in sentences: what is wrong, where, and what to do."))
}
