//! What the programs may do, and what they did: read from the audit log, after everything else.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use cluster::ground::Ground;
use cluster::suite::{Stage, Test};
use serde_json::Value;

pub(crate) const TESTS: &[Test] = &[
    ("over_all_tests_no_request_was_forbidden_and_no_right_was_unused", rights),
    ("over_all_tests_no_request_was_refused_as_malformed", malformed),
    ("over_all_tests_nothing_was_written_again_and_again", again_and_again),
];

type Right = (String, String, String);

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Every right that a program has been given: group, resource with its subresource, and verb.
async fn given(ground: &Ground, program: &str) -> anyhow::Result<BTreeSet<Right>> {
    let mut given = BTreeSet::new();
    for (kind, name) in [("clusterrole", program), ("role", program)] {
        let role = ground.kubectl(&["-n", "rouse", "get", kind, name, "--ignore-not-found", "-o", "json"]).await?;
        let role: Value = serde_json::from_str(&role).unwrap_or_default();
        for rule in role["rules"].as_array().into_iter().flatten() {
            let list = |field: &str| rule[field].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
            for group in list("apiGroups") {
                for resource in list("resources") {
                    given.extend(list("verbs").into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
                }
            }
        }
    }
    Ok(given)
}

/// More than any test has reason for: the Lease is renewed twice in five seconds, and no path changes so often.
const MOST_WRITES_OF_ONE: usize = 1_000;

fn again_and_again(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let mut writes: BTreeMap<String, usize> = BTreeMap::new();
        for entry in stage.ground.read().await.audit()? {
            let (user, verb, of) = (text(&entry["user"]["username"]), text(&entry["verb"]), &entry["objectRef"]);
            if user.starts_with("system:serviceaccount:rouse:") && ["update", "patch"].contains(&verb.as_str()) {
                let [kind, part, namespace, name] =
                    ["resource", "subresource", "namespace", "name"].map(|it| text(&of[it]));
                *writes.entry(format!("{user}: {verb} {kind} {part} {namespace} {name}")).or_default() += 1;
            }
        }
        ensure!(!writes.is_empty(), "nothing was written at all");
        writes.retain(|_, times| MOST_WRITES_OF_ONE < *times);
        ensure!(writes.is_empty(), "written too often: {writes:#?}");
        Ok(())
    })
}

fn malformed(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let audit = stage.ground.read().await.audit()?;
        let codes = [400, 415, 422];
        let refused = audit.iter().filter(|entry| codes.iter().any(|code| entry["responseStatus"]["code"] == *code));
        let told: BTreeSet<String> = refused
            .map(|entry| format!("{} {}: {}", entry["verb"], entry["objectRef"]["resource"], entry["responseStatus"]))
            .collect();
        ensure!(told.is_empty(), "refused: {told:#?}");
        Ok(())
    })
}

fn rights(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        let audit = ground.audit()?;
        let forbidden: BTreeSet<String> = audit
            .iter()
            // Not every 403 is about rights: in a namespace that is being deleted nobody may make anything.
            .filter(|entry| entry["annotations"]["authorization.k8s.io/decision"] == "forbid")
            .map(|entry| format!("{} {} {}", entry["user"]["username"], entry["verb"], entry["requestURI"]))
            .collect();
        ensure!(forbidden.is_empty(), "forbidden: {forbidden:#?}");
        for program in ["rouse-autoscaler", "rouse-activator"] {
            let user = format!("system:serviceaccount:rouse:{program}");
            let used: BTreeSet<Right> = audit
                .iter()
                .filter(|entry| entry["user"]["username"] == user)
                .map(|entry| {
                    let of = &entry["objectRef"];
                    let (resource, part) = (text(&of["resource"]), text(&of["subresource"]));
                    let resource = if part.is_empty() { resource } else { format!("{resource}/{part}") };
                    (text(&of["apiGroup"]), resource, text(&entry["verb"]))
                })
                .collect();
            let given = given(&ground, program).await?;
            ensure!(!given.is_empty(), "{program} has no rights at all");
            let unused: Vec<&Right> = given.difference(&used).collect();
            ensure!(unused.is_empty(), "{program} was given what it never used: {unused:#?}");
        }
        Ok(())
    })
}
