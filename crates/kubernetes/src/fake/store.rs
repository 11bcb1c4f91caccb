//! An API server that keeps objects: versions, preconditions, merge patches, lists by label. No watches.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::{Call, Reply, answer, cluster, refusal};
use crate::cluster::Cluster;

/// Objects by path.
pub(crate) type Objects = BTreeMap<String, Value>;

/// What it does instead of what it is asked; `None`: what it is asked.
type Trouble = dyn FnMut(&Call, &mut Objects) -> Option<Reply> + Send;

pub(crate) struct Store {
    objects: Mutex<Objects>,
    version: Mutex<u64>,
    /// Everything asked: method and path.
    asked: Mutex<Vec<String>>,
    trouble: Mutex<Box<Trouble>>,
    /// Kubernetes' controllers: what they make of the objects after each write.
    controllers: fn(&mut Objects),
}

impl Store {
    pub(crate) fn new(controllers: fn(&mut Objects)) -> Arc<Self> {
        Arc::new(Self {
            objects: Mutex::default(),
            version: Mutex::default(),
            asked: Mutex::default(),
            trouble: Mutex::new(Box::new(|_, _| None)),
            controllers,
        })
    }

    /// From now on, before it does what it is asked.
    pub(crate) fn trouble(&self, trouble: impl FnMut(&Call, &mut Objects) -> Option<Reply> + Send + 'static) {
        *self.trouble.lock() = Box::new(trouble);
    }

    pub(crate) fn cluster(self: &Arc<Self>) -> Cluster {
        let store = Arc::clone(self);
        cluster(move |call| {
            let reply = store.serve(&call);
            Box::pin(async move { reply })
        })
    }

    pub(crate) fn put(&self, collection: &str, object: Value) {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let mut objects = self.objects.lock();
        objects.insert(format!("{collection}/{name}"), self.stamped(object));
        (self.controllers)(&mut objects);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.objects.lock().get(path).cloned()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.objects.lock().keys().cloned().collect()
    }

    /// What was written since last asked: method and path.
    pub(crate) fn writes(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock());
        asked.into_iter().filter(|call| !call.starts_with("GET")).collect()
    }

    fn stamped(&self, mut object: Value) -> Value {
        let mut version = self.version.lock();
        *version += 1;
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = version.to_string().into();
        if metadata["uid"].is_null() {
            metadata["uid"] = format!("uid-{version}").into();
        }
        object
    }

    fn serve(&self, call: &Call) -> Reply {
        self.asked.lock().push(format!("{} {}", call.method, call.path));
        let mut objects = self.objects.lock();
        if let Some(reply) = (self.trouble.lock())(call, &mut objects) {
            return reply;
        }
        let reply = self.done(call, &mut objects);
        if call.method != "GET" {
            (self.controllers)(&mut objects);
        }
        reply
    }

    fn done(&self, call: &Call, objects: &mut Objects) -> Reply {
        let known = objects.get(&call.path).cloned();
        match (call.method.as_str(), known) {
            ("GET", Some(object)) => answer(200, &object),
            ("GET", None) if call.query.contains("labelSelector=") => self.list(call, objects),
            ("POST", _) => {
                let path = format!("{}/{}", call.path, call.body["metadata"]["name"].as_str().unwrap());
                if objects.contains_key(&path) {
                    return answer(409, &refusal(409, &format!("{path} already exists")));
                }
                let object = self.stamped(call.body.clone());
                objects.insert(path, object.clone());
                answer(201, &object)
            }
            (_, None) => answer(404, &refusal(404, "not found")),
            (method, Some(mut object)) => {
                let expected = if method == "DELETE" { &call.body["preconditions"] } else { &call.body["metadata"] };
                for field in ["uid", "resourceVersion"] {
                    if !expected[field].is_null() && expected[field] != object["metadata"][field] {
                        return answer(409, &refusal(409, "the object has been modified"));
                    }
                }
                if method == "DELETE" {
                    objects.remove(&call.path);
                    return answer(200, &json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }));
                }
                merge(&mut object, &call.body);
                let object = self.stamped(object);
                objects.insert(call.path.clone(), object.clone());
                answer(200, &object)
            }
        }
    }

    fn list(&self, call: &Call, objects: &Objects) -> Reply {
        let (_, wanted) = call.query.split_once("labelSelector=").unwrap();
        let wanted = wanted.split('&').next().unwrap().replace("%2F", "/").replace("%3D", "=");
        let (label, value) = wanted.split_once('=').unwrap();
        let beneath = format!("{}/", call.path);
        let items: Vec<&Value> = objects
            .iter()
            .filter(|(path, object)| path.starts_with(&beneath) && object["metadata"]["labels"][label] == value)
            .map(|(_, object)| object)
            .collect();
        answer(200, &json!({ "metadata": { "resourceVersion": self.version.lock().to_string() }, "items": items }))
    }
}

/// A JSON merge patch.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut object[key], value);
        }
    }
}
