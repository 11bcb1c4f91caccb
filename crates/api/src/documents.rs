//! Everything that the files say, together.

use std::collections::BTreeMap;
use std::sync::Arc;

use units::{EndpointKey, RevisionKey};

use crate::check::check;
use crate::deployment::Deployment;
use crate::endpoint::{API_VERSION, ModelEndpoint};
use crate::fault::{Fault, Faults, Place};
use crate::meta::read_meta;
use crate::read::{Fields, NameRule, Report, Spot, nearest};
use crate::yaml::{self, Mark, Node, What};

/// What a set of files says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Documents {
    /// Endpoints, in the order of the files.
    pub endpoints: Vec<Placed<ModelEndpoint>>,
    /// Workloads, in the order of the files.
    pub deployments: Vec<Placed<Deployment>>,
    /// The ConfigMap `config-autoscaler`, if there is one.
    pub config: Option<Placed<ConfigAutoscaler>>,
}

impl Documents {
    /// The workload of a revision.
    pub fn deployment(&self, key: &RevisionKey) -> Option<&Placed<Deployment>> {
        self.deployments.iter().find(|deployment| deployment.value.key == *key)
    }

    /// The endpoint that names a revision.
    pub fn endpoint_of(&self, key: &RevisionKey) -> Option<&Placed<ModelEndpoint>> {
        self.endpoints.iter().find(|endpoint| endpoint.value.revisions().any(|revision| revision == *key))
    }
}

/// The ConfigMap `config-autoscaler`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigAutoscaler {
    /// Its namespace.
    pub namespace: String,
    /// Knative's keys, unparsed.
    pub data: BTreeMap<String, String>,
}

/// A document, and where its parts stand. Two are equal if they say the same, wherever they stand.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// What it says.
    pub value: T,
    source: Option<Source>,
}

impl<T: PartialEq> PartialEq for Placed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

#[derive(Clone, Debug)]
struct Source {
    file: Arc<str>,
    root: Arc<Node>,
}

impl<T> Placed<T> {
    /// A document that stands in no file.
    pub fn made(value: T) -> Self {
        Self { value, source: None }
    }

    /// The file that it stands in.
    pub fn file(&self) -> Option<&Arc<str>> {
        self.source.as_ref().map(|source| &source.file)
    }

    /// A fault of one of its fields, as `spec.traffic[1].percent`, with its place and what stands there. If there is
    /// no such field the nearest one around it gives the place.
    pub fn fault(&self, path: &str, allowed: impl Into<String>) -> Fault {
        let (place, value) = match &self.source {
            None => (None, String::new()),
            Some(source) => {
                let (node, whole) = find(&source.root, path);
                let value = if whole { node.show() } else { "missing".to_owned() };
                (Some(node.at.in_file(&source.file)), value)
            }
        };
        Fault { place, path: path.to_owned(), value, allowed: allowed.into() }
    }

    /// Where a field stands, or the nearest one around it.
    pub fn place(&self, path: &str) -> Option<Place> {
        self.source.as_ref().map(|source| find(&source.root, path).0.at.in_file(&source.file))
    }
}

/// Follows a path as far as it goes, and says whether it went all the way.
fn find<'a>(root: &'a Node, path: &str) -> (&'a Node, bool) {
    let (mut node, mut rest) = (root, path);
    while !rest.is_empty() {
        let (step, behind) = next_step(rest);
        let child = match &node.what {
            What::Map(entries) => entries.iter().find(|entry| entry.name == step).map(|entry| &entry.node),
            What::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            What::Scalar { .. } => None,
        };
        match child {
            Some(child) => node = child,
            None => return (node, false),
        }
        rest = behind;
    }
    (node, true)
}

/// The first name or index of a path, and what follows it.
fn next_step(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('.').unwrap_or(path);
    if let Some((name, behind)) = path.strip_prefix("[\"").and_then(|inside| inside.split_once("\"]")) {
        return (name, behind);
    }
    if let Some((index, behind)) = path.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        return (index, behind);
    }
    path.split_at(path.find(['.', '[']).unwrap_or(path.len()))
}

/// What came of reading the files.
#[derive(Debug)]
pub struct Reading {
    /// What could be read. To be acted on only if there are no faults; otherwise what is at fault stands here as its
    /// default, and this is good for looking for further faults.
    pub documents: Documents,
    /// Everything that is wrong.
    pub faults: Faults,
    /// What is probably not meant, but does no harm. Shown like faults.
    pub warnings: Vec<Fault>,
}

/// Reads all files together; names are as they are to be shown.
pub fn read<N: AsRef<str>, B: AsRef<[u8]>>(files: &[(N, B)]) -> Reading {
    let mut documents = Documents::default();
    let mut faults = Vec::new();
    let mut all_there = true;
    for (name, bytes) in files {
        let file: Arc<str> = name.as_ref().into();
        let report = Report::new(Some(Arc::clone(&file)));
        let mut unreadable = Vec::new();
        let roots = yaml::documents(&file, bytes.as_ref(), &mut unreadable);
        if roots.is_empty() && unreadable.is_empty() {
            unreadable.push(Fault {
                place: Some(Mark::START.in_file(&file)),
                path: String::new(),
                value: "nothing in it".to_owned(),
                allowed: format!("at least one document; {KINDS}"),
            });
        }
        all_there &= unreadable.is_empty();
        for root in &roots {
            documents.add(root, &file, &report);
        }
        faults.append(&mut unreadable);
        faults.append(&mut report.faults.take());
    }
    let mut warnings = Vec::new();
    check(&documents, all_there, &mut faults, &mut warnings);
    if let (Some((name, _)), true, true) = (files.first(), documents.endpoints.is_empty(), faults.is_empty()) {
        faults.push(Fault {
            place: Some(Mark::START.in_file(&name.as_ref().into())),
            path: String::new(),
            value: "no ModelEndpoint".to_owned(),
            allowed: "at least one; without it nothing is served".to_owned(),
        });
    }
    let faults = Faults(faults).into_result().err().unwrap_or_default();
    let Faults(warnings) = Faults(warnings).into_result().err().unwrap_or_default();
    Reading { documents, faults, warnings }
}

const KINDS: &str =
    "ModelEndpoint (rouse.dev/v1alpha1), Deployment (apps/v1), or ConfigMap (v1) named config-autoscaler";

impl Documents {
    fn add(&mut self, root: &Arc<Node>, file: &Arc<str>, report: &Report) {
        let spot = Spot::root(root, report);
        let source = Some(Source { file: Arc::clone(file), root: Arc::clone(root) });
        let Some(mut envelope) = spot.clone().fields() else { return };
        let version = envelope.get("apiVersion");
        let Some(kind) = envelope.need("kind", KINDS) else { return };
        let expected = match kind.plain() {
            Some("ModelEndpoint") => API_VERSION,
            Some("Deployment") => "apps/v1",
            Some("ConfigMap") => "v1",
            other => {
                let near = other.and_then(|word| nearest(word, ["ModelEndpoint", "Deployment", "ConfigMap"]));
                kind.refuse(near.map_or(KINDS.to_owned(), |near| format!("did you mean {near}? {KINDS}")));
                return;
            }
        };
        match version {
            Some(version) if version.plain() == Some(expected) => {}
            Some(version) => version.refuse(expected),
            None => envelope.refuse_field("apiVersion", "missing", expected),
        }
        match kind.plain() {
            Some("ModelEndpoint") => {
                self.endpoints.extend(ModelEndpoint::read(spot).map(|value| Placed { value, source }));
            }
            Some("Deployment") => {
                self.deployments.extend(Deployment::read(spot).map(|value| Placed { value, source }));
            }
            _ => self.add_config(&kind, envelope, source, report),
        }
    }

    fn add_config(&mut self, kind: &Spot<'_>, mut fields: Fields<'_>, source: Option<Source>, report: &Report) {
        let meta = read_meta(&mut fields, NameRule::Subdomain);
        let data = fields.get("data").map_or_else(BTreeMap::new, Spot::texts);
        fields.ignore(&["binaryData", "immutable"]);
        fields.done();
        let Some(meta) = meta else { return };
        let placed = Placed { value: ConfigAutoscaler { namespace: meta.namespace, data }, source };
        let fault = if meta.name != "config-autoscaler" {
            placed.fault("metadata.name", "config-autoscaler; other ConfigMaps are not read on one machine")
        } else if let Some(first) = &self.config {
            let place = first
                .place("metadata.name")
                .map_or_else(String::new, |place| format!("; it stands in {place} already"));
            placed.fault("metadata.name", format!("one {} of this name{place}", kind.plain().unwrap_or_default()))
        } else {
            self.config = Some(placed);
            return;
        };
        report.faults.borrow_mut().push(fault);
    }
}

/// A name with its namespace, where that is not the usual one.
pub(crate) fn shown(key: &EndpointKey) -> String {
    if &*key.namespace == "default" { key.name.to_string() } else { key.to_string() }
}

#[cfg(test)]
mod tests;
