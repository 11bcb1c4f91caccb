//! `docs/settings.md`: every knob, its names, its default and its bounds.

use std::collections::BTreeMap;

use api::Knob;
use kpa::policy::{Annotation, ConfigKey, built_in};

use crate::table::{code, table};

const HEAD: &str = "\
# Settings

Made from the code by `make docs`. What is set for a revision is looked for here, strongest first:

1. annotations of its Deployment, then of its pod template, then of its InferenceService: `autoscaling.knative.dev/…`
2. `spec.traffic[].autoscaling` of the endpoint, then `spec.autoscaling`
3. `minReplicas`, `maxReplicas`, `scaleMetric` and `scaleTarget` of its InferenceService ([kserve.md](kserve.md))
4. the ConfigMap `config-autoscaler`, with Knative's keys, for everything at once
5. what is built in: Knative's defaults

A change is in force at once, without a new revision. A value that is not allowed is refused with its name, its bounds and
its place, and what counted before still does; `rouse get revisions NAME -o json` shows each setting with where it came
from, and what was refused. Bounds hold for each revision alone. Durations are written as in Go: `90s`, `1m30s`.
";

const BETWEEN: &str = "
The target is what one replica is to have *before* utilisation: with a target of 10 and a utilisation of 70 % replicas are
added from 7 each. Where `containerConcurrency` is set it is the target unless a lower one is. A maximum of 0 is no limit.

## For everything at once: `config-autoscaler`

";

const SIDECAR: &str = "
## queue-proxy

On one machine `rouse up` sets these itself. Of its own it says, with `queue-proxy --help`:

```
";

/// The page.
pub fn settings() -> String {
    let defaults = built_in();
    let knobs: Vec<[String; 6]> = Knob::ALL.iter().map(|knob| of_knob(*knob, &defaults)).collect();
    let head = ["in `autoscaling`", "annotation", "in the ConfigMap", "default", "allowed", "what"];
    let keys: Vec<[String; 3]> = ConfigKey::ALL
        .iter()
        .map(|key| [code(key.name()), code(key.default_text()), key.allowed().to_owned()])
        .collect();
    let annotations = table(head, &knobs);
    let config = table(["key", "default", "allowed"], &keys);
    let spare: Vec<String> = Annotation::ALL
        .iter()
        .filter(|annotation| !Knob::ALL.iter().any(|knob| knob.annotation() == annotation.name()))
        .map(|annotation| format!("{} ({})", code(annotation.name()), annotation.allowed()))
        .collect();
    let help = queue_proxy::HELP;
    format!(
        "{HEAD}\n## For a revision\n\nAn annotation is its name here after `autoscaling.knative.dev/`; those that Knative \
         also reads in camelCase are read so too.\n\n{annotations}\nOnly as an annotation: {}.\n{BETWEEN}{config}{SIDECAR}{help}```\n",
        spare.join(", "),
    )
}

fn of_knob(knob: Knob, defaults: &BTreeMap<&'static str, String>) -> [String; 6] {
    let annotation = Annotation::ALL.iter().find(|annotation| annotation.name() == knob.annotation());
    let allowed = annotation.map_or("", |annotation| annotation.allowed());
    let keys: Vec<String> = in_config(knob).iter().map(|key| code(key.name())).collect();
    [
        code(knob.field()),
        code(knob.annotation_name()),
        if keys.is_empty() { "–".to_owned() } else { keys.join(", ") },
        code(defaults.get(knob.field()).map_or("", String::as_str)),
        allowed.to_owned(),
        knob.meaning().trim_end_matches('.').to_owned(),
    ]
}

/// Where the same is said for everything: most often under the annotation's name.
fn in_config(knob: Knob) -> Vec<ConfigKey> {
    match knob {
        Knob::Target => vec![ConfigKey::ConcurrencyTarget, ConfigKey::RpsTarget],
        Knob::TargetUtilizationPercentage => vec![ConfigKey::ConcurrencyUtilization],
        Knob::Window => vec![ConfigKey::StableWindow],
        other => ConfigKey::ALL.iter().copied().filter(|key| key.name() == other.annotation_name()).collect(),
    }
}
