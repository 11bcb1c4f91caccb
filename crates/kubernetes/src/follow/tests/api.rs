//! An API server that lists and watches, as far as the watches here can tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::channel::{Channel, Sender};
use http_body_util::{Either, Full};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::fake::{of_client, refusal};

type Answer = http::Response<Either<Full<Bytes>, Channel<Bytes>>>;

/// What the server has, and who watches. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By collection, as `pods`, and by namespace and name.
    objects: BTreeMap<String, BTreeMap<(String, String), Value>>,
    watches: Vec<Watch>,
    forgotten: Vec<Watch>,
    version: u64,
    /// Nothing is answered but this.
    refusing: Option<u16>,
    /// Collections whose list is never answered.
    silent: Vec<String>,
    /// Collections of kinds that are not installed.
    absent: Vec<String>,
    /// Lists are answered, and watches are not.
    watching_forbidden: bool,
    /// Versions below this one are gone.
    oldest: u64,
    calls: Vec<String>,
}

/// Of which collection, in which namespace, and where what happens is told.
type Watch = (String, Option<String>, Sender<Bytes>);

/// `/api/v1/namespaces/shop/pods` is `pods` of `shop`.
fn collection(path: &str) -> (String, Option<String>) {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let namespace = parts.iter().position(|part| *part == "namespaces").map(|at| parts[at + 1].to_owned());
    (parts.last().unwrap().to_string(), namespace)
}

impl Server {
    pub(super) fn cluster(&self) -> Cluster {
        let server = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let answered = server.answer(request.uri());
            async move {
                match answered {
                    Some(answer) => Ok::<_, kube::Error>(answer),
                    None => std::future::pending().await,
                }
            }
        });
        of_client(kube::Client::new(service, "default"))
    }

    fn answer(&self, asked: &http::Uri) -> Option<Answer> {
        let mut state = self.0.lock();
        state.calls.push(asked.to_string());
        let query = asked.query().unwrap_or_default();
        if let Some(code) = state.refusing {
            return Some(answer(code, &refusal(code, "not now")));
        }
        let (plural, namespace) = collection(asked.path());
        if state.absent.contains(&plural) {
            return Some(answer(404, &refusal(404, "404 page not found")));
        }
        if query.contains("watch=true") {
            if state.watching_forbidden {
                return Some(answer(403, &refusal(403, "no watch for you")));
            }
            let from = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
            if from.unwrap().parse::<u64>().unwrap() < state.oldest {
                return Some(answer(410, &refusal(410, "too old")));
            }
            let (sender, channel) = Channel::new(64);
            state.watches.push((plural, namespace, sender));
            return Some(http::Response::new(Either::Right(channel)));
        }
        if state.silent.contains(&plural) {
            return None;
        }
        let items: Vec<Value> = state
            .objects
            .get(&plural)
            .into_iter()
            .flatten()
            .filter(|((within, _), _)| namespace.as_ref().is_none_or(|namespace| namespace == within))
            .map(|(_, object)| object.clone())
            .collect();
        let list = json!({ "metadata": { "resourceVersion": state.version.to_string() }, "items": items });
        Some(answer(200, &list))
    }

    /// Puts an object, and tells whoever watches.
    pub(super) fn put(&self, plural: &str, mut object: Value) {
        let mut state = self.0.lock();
        state.version += 1;
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        let key = key_of(&object);
        let known = state.objects.entry(plural.to_owned()).or_default().insert(key, object.clone());
        state.tell(plural, if known.is_some() { "MODIFIED" } else { "ADDED" }, &object);
    }

    pub(super) fn delete(&self, plural: &str, namespace: &str, name: &str) {
        let mut state = self.0.lock();
        state.version += 1;
        let key = (namespace.to_owned(), name.to_owned());
        let mut object = state.objects.get_mut(plural).unwrap().remove(&key).unwrap();
        object["metadata"]["resourceVersion"] = state.version.to_string().into();
        state.tell(plural, "DELETED", &object);
    }

    /// Answers nothing but this from now on; watches break.
    pub(super) fn refuse(&self, code: u16) {
        let mut state = self.0.lock();
        state.refusing = Some(code);
        state.watches.clear();
    }

    /// Serves again.
    pub(super) fn serve(&self) {
        let mut state = self.0.lock();
        state.refusing = None;
        state.silent.clear();
    }

    /// Goes on listing, and refuses every watch.
    pub(super) fn forbid_watching(&self) {
        let mut state = self.0.lock();
        state.watching_forbidden = true;
        state.watches.clear();
    }

    /// Tells those who watch nothing of what happens from now on.
    pub(super) fn forget_watches(&self) {
        let mut state = self.0.lock();
        let watches = std::mem::take(&mut state.watches);
        state.forgotten.extend(watches);
    }

    /// Tells those who were forgotten that what they missed is gone.
    pub(super) fn say_gone(&self) {
        let gone = json!({ "type": "ERROR", "object": refusal(410, "too old") });
        let mut line = serde_json::to_vec(&gone).unwrap();
        line.push(b'\n');
        let forgotten = std::mem::take(&mut self.0.lock().forgotten);
        for (_, _, mut sender) in forgotten {
            assert!(sender.try_send(Frame::data(Bytes::from(line.clone()))).is_ok());
        }
    }

    /// Remembers no change so far.
    pub(super) fn compact(&self) {
        let mut state = self.0.lock();
        state.version += 1;
        state.oldest = state.version;
    }

    /// Has this kind no more; or has it, from now on.
    pub(super) fn has(&self, plural: &str, has: bool) {
        let mut state = self.0.lock();
        state.absent.retain(|absent| absent != plural);
        if !has {
            state.absent.push(plural.to_owned());
            state.watches.retain(|(watched, ..)| watched != plural);
        }
    }

    pub(super) fn be_silent_about(&self, plural: &str) {
        self.0.lock().silent.push(plural.to_owned());
    }

    /// The collections that are watched now, sorted.
    pub(super) fn watched(&self) -> Vec<String> {
        let mut state = self.0.lock();
        state.watches.retain_mut(|(_, _, sender)| sender.try_send(Frame::data(Bytes::from_static(b"\n"))).is_ok());
        let name = |(plural, namespace, _): &(String, Option<String>, _)| match namespace {
            Some(namespace) => format!("{namespace}/{plural}"),
            None => plural.clone(),
        };
        let mut watched: Vec<String> = state.watches.iter().map(name).collect();
        watched.sort();
        watched
    }

    /// What was asked so far.
    pub(super) fn calls(&self) -> Vec<String> {
        self.0.lock().calls.clone()
    }
}

fn answer(code: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(serde_json::to_vec(body).unwrap()));
    http::Response::builder().status(code).body(Either::Left(body)).unwrap()
}

fn key_of(object: &Value) -> (String, String) {
    let part = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (part("namespace"), part("name"))
}

impl State {
    fn tell(&mut self, plural: &str, what: &str, object: &Value) {
        let (namespace, _) = key_of(object);
        let mut line = serde_json::to_vec(&json!({ "type": what, "object": object })).unwrap();
        line.push(b'\n');
        let line = Bytes::from(line);
        self.watches.retain_mut(|(of, within, sender)| {
            let is_meant = of == plural && within.as_ref().is_none_or(|within| *within == namespace);
            !is_meant || sender.try_send(Frame::data(line.clone())).is_ok()
        });
    }
}
