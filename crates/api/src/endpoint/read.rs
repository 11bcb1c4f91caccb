//! `ModelEndpoint` from YAML: the whole tree, with a fault for every field whose time has not come.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use units::{ConcurrencyLimit, EndpointKey, Percent};

use super::bounds;
use super::routing::{read_matches, read_sticky};
use super::shadow::read_shadows;
use super::{
    Autoscaling, EndpointPort, Knob, KnobKind, ModelEndpoint, OnUnavailable, PathMode, Protocol, Queue, Said, Timeouts,
    TrafficTarget,
};
use crate::meta::read_meta;
use crate::read::{Fields, NameRule, Spot, short_duration};

/// `apiVersion`, `kind` and `status` have been looked at by who chose this reader, or mean nothing here.
const ENVELOPE: [&str; 3] = ["apiVersion", "kind", "status"];
impl ModelEndpoint {
    /// Reads one document. What is at fault has been noted and stands here as its default, so that what depends on
    /// the rest can still be checked; `None` if not even its name is known.
    pub(crate) fn read(root: Spot<'_>) -> Option<Self> {
        let mut document = root.fields()?;
        document.ignore(&ENVELOPE);
        let meta = read_meta(&mut document, NameRule::Service);
        let spec = document.need("spec", "what the endpoint is to do").and_then(Spot::fields);
        document.done();
        let mut spec = spec?;

        for (name, why) in bounds::NOT_SERVED {
            if let Some(spot) = spec.get(name) {
                spot.not_yet(why);
            }
        }
        let hosts = spec.get("hosts").map_or(Some(Vec::new()), |spot| read_hosts(&spot));
        let port = spec.get("ports").map_or(Some(None), |spot| read_ports(&spot));
        let traffic = spec
            .need("traffic", "1 to 16 entries, each with the name of a revision")
            .and_then(|spot| read_traffic(&spot, meta.as_ref().map_or("", |meta| &meta.name)));
        let matches = spec.get("match").and_then(|spot| read_matches(&spot, traffic.as_deref()));
        let sticky = spec.get("sticky").and_then(read_sticky);
        let shadows = spec.get("shadow").and_then(|spot| read_shadows(&spot, traffic.as_deref()));
        let path = spec.get("path").map_or(Some(PathMode::Auto), |spot| {
            spot.one_of(&[("auto", PathMode::Auto), ("proxied", PathMode::Proxied)])
        });
        let mut said = Said::default();
        let container_concurrency = spec.get("containerConcurrency");
        said.container_concurrency = container_concurrency.is_some();
        let container_concurrency = container_concurrency
            .map_or(Some(0), |spot| spot.small(bounds::CONCURRENCY))
            .map(ConcurrencyLimit::from_field);
        let timeouts = spec.get("timeouts").map_or(Some(Timeouts::default()), |spot| read_timeouts(spot, &mut said));
        let queue = spec.get("queue").map_or(Some(Queue::default()), read_queue);
        let autoscaling = spec.get("autoscaling").map_or(Some(Autoscaling::default()), read_autoscaling);
        let on_unavailable = spec.get("onUnavailable").map_or(Some(OnUnavailable::Fail), |spot| {
            spot.one_of(&[("fail", OnUnavailable::Fail), ("fallback", OnUnavailable::Fallback)])
        });
        let answer_headers = spec.get("answerHeaders").map_or(Some(true), |spot| spot.boolean());
        spec.done();

        let meta = meta?;
        Some(Self {
            key: EndpointKey::new(meta.namespace, meta.name),
            hosts: hosts.unwrap_or_default(),
            port: port.flatten(),
            traffic: traffic.unwrap_or_default(),
            matches: matches.unwrap_or_default(),
            sticky,
            shadows: shadows.unwrap_or_default(),
            path: path.unwrap_or(PathMode::Auto),
            container_concurrency: container_concurrency.unwrap_or(ConcurrencyLimit::Unlimited),
            timeouts: timeouts.unwrap_or_default(),
            said,
            queue: queue.unwrap_or_default(),
            on_unavailable: on_unavailable.unwrap_or(OnUnavailable::Fail),
            autoscaling: autoscaling.unwrap_or_default(),
            answer_headers: answer_headers.unwrap_or(true),
        })
    }
}

fn read_hosts(spot: &Spot<'_>) -> Option<Vec<String>> {
    let mut seen = BTreeSet::new();
    let hosts = spot.entries(bounds::HOSTS)?.into_iter().map(|spot| {
        let host = spot.name(NameRule::Subdomain)?;
        let cluster = bounds::CLUSTER_DOMAIN;
        if host == cluster || host.strip_suffix(cluster).is_some_and(|rest| rest.ends_with('.')) {
            spot.refuse("a name outside the cluster domain; inside it, names are Kubernetes' own");
            return None;
        }
        if !seen.insert(host.clone()) {
            spot.refuse("each host once");
            return None;
        }
        Some(host)
    });
    Some(hosts.flatten().collect())
}

fn read_ports(spot: &Spot<'_>) -> Option<Option<EndpointPort>> {
    let items = spot.entries(bounds::PORTS)?;
    for more in items.iter().skip(1) {
        more.not_yet(bounds::ONE_PORT);
    }
    let Some(first) = items.into_iter().next() else { return Some(None) };
    let mut fields = first.fields()?;
    let name = fields.get("name").map_or(Some("http".to_owned()), |spot| spot.name(NameRule::Label));
    let port = fields.get("port").map_or(Some(80), |spot| spot.small(bounds::PORT));
    let container_port = fields.get("containerPort").map_or(Some(None), |spot| spot.small(bounds::PORT).map(Some));
    let protocol = fields
        .get("protocol")
        .map_or(Some(None), |spot| spot.one_of(&[("http1", Protocol::Http1), ("h2c", Protocol::H2c)]).map(Some));
    fields.done();
    Some(Some(EndpointPort { name: name?, port: port?, container_port: container_port?, protocol: protocol? }))
}

fn read_traffic(spot: &Spot<'_>, endpoint: &str) -> Option<Vec<TrafficTarget>> {
    let items = spot.entries(bounds::TRAFFIC)?;
    let alone = items.len() == 1;
    let mut percents = Vec::new();
    let mut seen = Vec::new();
    let mut targets = Vec::new();
    for item in items {
        let target = item.fields().map(|mut fields| {
            let inference_service = fields.get("inferenceService");
            let revision = match &inference_service {
                Some(_) => fields.get("revision"),
                None => fields.need("revision", "the name of a Deployment, or inferenceService"),
            };
            if let (Some(_), Some(spot)) = (&inference_service, &revision) {
                spot.refuse("exactly one of revision (a Deployment) and inferenceService");
            }
            // One name is one thing of the endpoint, whichever of the two it is.
            let mut named = |spot: Option<Spot<'_>>| {
                spot.and_then(|spot| unique(&mut seen, "revision", &spot, spot.name(NameRule::Subdomain)?))
            };
            let (inference_service, revision) = match inference_service {
                Some(spot) => {
                    let name = named(Some(spot));
                    let unknown = name.as_deref().map(TrafficTarget::unknown);
                    (name, unknown)
                }
                None => (None, named(revision)),
            };
            let percent = match fields.get("percent") {
                Some(spot) => {
                    let percent = spot.small::<u8>(bounds::PERCENT);
                    percents.push((spot, percent));
                    percent
                }
                None if alone => Some(100),
                None => Some(0),
            };
            let tag = fields.get("tag").map_or(Some(None), |spot| read_tag(&spot, endpoint, &mut seen).map(Some));
            let autoscaling = fields.get("autoscaling").map_or(Some(Autoscaling::default()), read_autoscaling);
            fields.done();
            TrafficTarget {
                revision: revision.unwrap_or_default(),
                inference_service,
                percent: percent.and_then(Percent::new).unwrap_or_default(),
                tag: tag.flatten(),
                autoscaling: autoscaling.unwrap_or_default(),
            }
        });
        // An entry that cannot be read keeps its place, so that the others are found by their index.
        targets.push(target.unwrap_or_else(|| TrafficTarget {
            revision: String::new(),
            inference_service: None,
            percent: Percent::default(),
            tag: None,
            autoscaling: Autoscaling::default(),
        }));
    }
    check_sum(spot, &percents, alone);
    Some(targets)
}

/// Refuses a name that was given before in this list.
fn unique(
    seen: &mut Vec<(&'static str, String, String)>,
    kind: &'static str,
    spot: &Spot<'_>,
    name: String,
) -> Option<String> {
    if let Some((_, _, first)) = seen.iter().find(|(other, taken, _)| *other == kind && *taken == name) {
        spot.refuse(format!("each {kind} once; {first} has this one already"));
        return None;
    }
    seen.push((kind, name.clone(), spot.path.clone()));
    Some(name)
}

fn read_tag(spot: &Spot<'_>, endpoint: &str, seen: &mut Vec<(&'static str, String, String)>) -> Option<String> {
    let tag = spot.name(NameRule::Service)?;
    if bounds::TAG_AND_NAME < tag.len() + endpoint.len() {
        let most = bounds::TAG_AND_NAME;
        spot.refuse(format!("at most {most} characters together with the endpoint's {}", endpoint.len()));
        return None;
    }
    unique(seen, "tag", spot, tag)
}

fn check_sum(traffic: &Spot<'_>, percents: &[(Spot<'_>, Option<u8>)], alone: bool) {
    // One that is no percent has its own fault; what the others add up to says nothing then.
    let each: Option<Vec<u32>> = percents.iter().map(|(_, percent)| percent.map(u32::from)).collect();
    let Some(each) = each else { return };
    let sum: u32 = each.iter().sum();
    if sum != 100 && !(alone && each.is_empty()) {
        let spot = percents.last().map_or(traffic, |(spot, _)| spot);
        spot.refuse(format!("percents add up to 100, these add up to {sum}"));
    }
}

fn read_timeouts(spot: Spot<'_>, said: &mut Said) -> Option<Timeouts> {
    let mut fields = spot.fields()?;
    said.request_timeout = fields.get("request").is_some();
    let defaults = Timeouts::default();
    let mut limit = |name, default| match fields.get(name) {
        Some(spot) => spot.duration(bounds::TIMEOUT).map(|limit| (limit != Duration::ZERO).then_some(limit)),
        None => Some(default),
    };
    let request = limit("request", defaults.request);
    let response_start = limit("responseStart", defaults.response_start);
    let idle = limit("idle", defaults.idle);
    fields.done();
    Some(Timeouts { request: request.flatten(), response_start: response_start.flatten(), idle: idle.flatten() })
}

fn read_queue(spot: Spot<'_>) -> Option<Queue> {
    let mut fields = spot.fields()?;
    let defaults = Queue::default();
    let max_requests = match fields.get("maxRequests") {
        Some(spot) => spot.small(bounds::MAX_REQUESTS).and_then(NonZeroU32::new),
        None => Some(defaults.max_requests),
    };
    let max_bytes = fields.get("maxBytes").map_or(Some(defaults.max_bytes), |spot| spot.size(bounds::MAX_BYTES));
    let max_wait = match fields.get("maxWait") {
        Some(spot) => spot.duration(bounds::MAX_WAIT),
        None => Some(defaults.max_wait),
    };
    fields.done();
    Some(Queue { max_requests: max_requests?, max_bytes: max_bytes?, max_wait: max_wait? })
}

/// Only whether each is the kind of thing it has to be; how far a number may go is `kpa`'s, and checked in `check.rs`.
fn read_autoscaling(spot: Spot<'_>) -> Option<Autoscaling> {
    let mut fields: Fields<'_> = spot.fields()?;
    let mut knobs = BTreeMap::new();
    for knob in Knob::ALL.iter().copied() {
        let Some(spot) = fields.get(knob.field()) else { continue };
        let value = match knob.kind() {
            KnobKind::Word => read_word(&spot, knob.words()),
            KnobKind::Number => spot.number(),
            KnobKind::Whole => read_whole(&spot),
            KnobKind::Duration => read_duration(&spot),
        };
        knobs.extend(value.map(|value| (knob, value)));
    }
    fields.done();
    Some(Autoscaling(knobs))
}

fn read_word(spot: &Spot<'_>, words: &[&str]) -> Option<String> {
    let text = spot.text()?;
    if !words.contains(&text.as_str()) {
        spot.refuse(words.join(" or "));
        return None;
    }
    Some(text)
}

fn read_whole(spot: &Spot<'_>) -> Option<String> {
    spot.whole(bounds::REPLICAS).map(|number| number.to_string())
}

fn read_duration(spot: &Spot<'_>) -> Option<String> {
    let text = spot.duration_text().filter(|text| short_duration(text).is_some());
    if text.is_none() {
        spot.refuse("a duration such as 90s or 1h30m");
    }
    text.map(str::to_owned)
}
