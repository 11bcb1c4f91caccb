//! What is served, as the file that `rouse up -f` reads: JSON documents, which are YAML.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

/// A file: models, and `config-autoscaler`.
#[derive(Clone, Debug)]
pub struct File {
    /// What is served.
    pub models: Vec<Model>,
    /// The ConfigMap's data.
    pub config: BTreeMap<&'static str, &'static str>,
}

/// An endpoint with one revision, called like it and `-v1`.
#[derive(Clone, Debug)]
pub struct Model {
    /// The endpoint's name.
    pub name: String,
    /// What each replica runs.
    pub command: Vec<String>,
    /// Requests that a replica works on at once; 0: no limit.
    pub container_concurrency: u32,
    /// `spec.autoscaling`.
    pub autoscaling: Value,
    /// `readinessProbe`; null for none.
    pub readiness: Value,
    /// The name of its port, which says what is spoken there: `http1` or `h2c`.
    pub port_name: &'static str,
    /// `progressDeadlineSeconds`; null for the default.
    pub progress_deadline: Value,
}

impl File {
    /// One model, which goes to zero as soon as Knative's bounds allow: 6 s after it fell idle.
    pub fn of(model: Model) -> Self {
        Self::of_all(vec![model])
    }

    /// Several, likewise.
    pub fn of_all(models: Vec<Model>) -> Self {
        Self { models, config: BTreeMap::from([("stable-window", "6s"), ("scale-to-zero-grace-period", "1s")]) }
    }

    /// As text.
    pub fn text(&self) -> String {
        let config = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "config-autoscaler" },
            "data": self.config,
        });
        let documents = self.models.iter().flat_map(Model::documents).chain([config]);
        documents.map(|document| format!("---\n{document:#}\n")).collect()
    }
}

impl Model {
    /// `rouse predictor` with these flags.
    pub fn predictor(name: &str, flags: &[&str]) -> Self {
        // In a file, `rouse` is the program that reads it.
        Self::command(name, ["rouse", "predictor"].into_iter().chain(flags.iter().copied()))
    }

    /// `rouse predictor` that writes down the id of each request that it begins.
    pub fn logged_predictor(name: &str, log: &Path, flags: &[&str]) -> Self {
        let log = log.to_str().expect("a temporary folder has a readable name");
        Self::predictor(name, &[&["--log", log], flags].concat())
    }

    /// Any command; `$(PORT)` stands for where it is to listen.
    pub fn command<'a>(name: &str, words: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            name: name.to_owned(),
            command: words.into_iter().map(str::to_owned).collect(),
            container_concurrency: 0,
            autoscaling: json!({}),
            readiness: Value::Null,
            port_name: "http1",
            progress_deadline: Value::Null,
        }
    }

    /// The name of its revision.
    pub fn revision(&self) -> String {
        format!("{}-v1", self.name)
    }

    fn documents(&self) -> [Value; 2] {
        let revision = self.revision();
        let endpoint = json!({
            "apiVersion": "rouse.dev/v1alpha1",
            "kind": "ModelEndpoint",
            "metadata": { "name": self.name },
            "spec": {
                "traffic": [{ "revision": revision, "percent": 100 }],
                "containerConcurrency": self.container_concurrency,
                "autoscaling": self.autoscaling,
            },
        });
        let mut container = json!({
            "name": "model",
            "command": self.command,
            "ports": [{ "name": self.port_name, "containerPort": 8080 }],
        });
        if !self.readiness.is_null() {
            container["readinessProbe"] = self.readiness.clone();
        }
        let mut deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": revision },
            "spec": { "template": { "spec": { "containers": [container] } } },
        });
        if !self.progress_deadline.is_null() {
            deployment["spec"]["progressDeadlineSeconds"] = self.progress_deadline.clone();
        }
        [endpoint, deployment]
    }
}
