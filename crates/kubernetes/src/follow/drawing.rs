//! From the world to the boards: after each change the namespaces that changed are drawn anew.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use platform::Boards;
use tracing::info;
use units::{EndpointKey, Moment, RevisionKey};

use super::Program;
use super::scopes::{are_listed, of_cluster, of_namespaces};
use crate::cluster::Cluster;
use crate::objects::ConfigMap;
use crate::picture::claims::Claims;
use crate::picture::{self, Around, Drawn, Memory, own};
use crate::site::Site;
use crate::world::{Dirty, Kind, Seen, World};

/// For how long changes are gathered after a drawing that took `took`: long enough that one change of a Deployment and those
/// of its pods are one, and that drawing is never more than a fifth of what this machine does.
fn gathered_for(took: Duration) -> Duration {
    (took * 4).clamp(Duration::from_millis(2), Duration::from_millis(200))
}

/// Keeps the boards as the world is.
pub(super) async fn keep(cluster: &Cluster, who: Program) -> Infallible {
    let mut changes = cluster.world.changes();
    let mut drawing = Drawing::new(who, &cluster.site, Arc::clone(&cluster.boards));
    loop {
        changes.mark_unchanged();
        let began = cluster.clock.now();
        drawing.draw(&cluster.world, began);
        let took = cluster.clock.now().since(began);
        // The sender is the world's, which is there as long as the cluster.
        let _ = changes.changed().await;
        tokio::time::sleep(gathered_for(took)).await;
    }
}

/// What is on the boards, and what is remembered to draw the next.
struct Drawing {
    who: Program,
    boards: Arc<Boards>,
    listen: IpAddr,
    streams_port: u16,
    memory: Memory,
    claims: Claims,
    addresses: BTreeMap<IpAddr, Arc<str>>,
    shown: BTreeMap<Arc<str>, Shown>,
    /// What was said of specs that are not understood.
    faults: BTreeMap<EndpointKey, Arc<api::Faults>>,
    synced: bool,
}

/// What is on the boards of one namespace.
#[derive(Debug, Default)]
struct Shown {
    /// By UID.
    endpoints: BTreeMap<EndpointKey, Arc<str>>,
    revisions: BTreeSet<RevisionKey>,
}

impl Drawing {
    fn new(who: Program, site: &Site, boards: Arc<Boards>) -> Self {
        // Where there is no IPv6 nothing can listen on its address.
        let has_v6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
        Self {
            who,
            boards,
            listen: if has_v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() },
            streams_port: site.streams_port,
            memory: Memory::default(),
            claims: Claims::default(),
            addresses: BTreeMap::new(),
            shown: BTreeMap::new(),
            faults: BTreeMap::new(),
            synced: false,
        }
    }

    fn draw(&mut self, world: &World, now: Moment) {
        let Dirty { mut namespaces, endpoints, own, config } = world.take_dirty();
        if own {
            self.draw_own(world, now, &mut namespaces);
        }
        if config {
            self.draw_config(world);
        }
        if endpoints {
            self.draw_claims(world, &mut namespaces);
        }
        for namespace in &namespaces {
            let drawn = world.look(|seen| self.draw_namespace(seen, namespace));
            if let Some(mut drawn) = drawn {
                self.say_faults(namespace, &drawn);
                world.set_findings(namespace, std::mem::take(&mut drawn.findings));
                for revision in &mut drawn.revisions {
                    revision.contested = world.restraint(&revision.key).is_some();
                }
                self.show(namespace, drawn);
            }
        }
        if !self.synced && world.look(|seen| self.everything_is_listed(seen)) {
            self.synced = true;
            info!(
                endpoints = self.shown.values().map(|shown| shown.endpoints.len()).sum::<usize>(),
                "the cluster is known"
            );
            self.boards.revisions.synced();
            self.boards.endpoints.synced();
        }
    }

    /// Activators and autoscalers. Where an activator's address is another, every route is to be read anew.
    fn draw_own(&mut self, world: &World, now: Moment, namespaces: &mut BTreeSet<Arc<str>>) {
        let before = self.boards.activators.borrow().clone();
        let drawn = world.look(|seen| {
            if !are_listed(seen, &[Kind::OwnPods], None) {
                return None;
            }
            let autoscalers = own::autoscalers(seen, self.streams_port);
            // Before our slices are known nobody can be said to be out.
            let activators =
                are_listed(seen, &[Kind::Slices], None).then(|| own::activators(seen, before.as_deref(), now));
            Some((own::addresses(seen), autoscalers, activators, seen.namespaces()))
        });
        let Some((addresses, autoscalers, activators, all)) = drawn else { return };
        if addresses != self.addresses {
            self.addresses = addresses;
            namespaces.extend(all);
        }
        world.autoscalers.send_if_modified(|known| replace(known, autoscalers.into()));
        if let Some(activators) = activators {
            self.boards.activators.send_if_modified(|known| replace(known, activators.into()));
        }
    }

    fn draw_config(&mut self, world: &World) {
        let config = world.look(|seen| {
            let config =
                || seen.configs.values().next().map_or_else(ConfigMap::default, |config| ConfigMap::clone(config));
            are_listed(seen, &[Kind::Config], None).then(config)
        });
        if let Some(ConfigMap(config)) = config {
            self.boards.config.send_if_modified(|known| replace(known, Arc::new(config)));
        }
    }

    /// Who has which host is asked across namespaces, so a change of it in one of them can change others.
    fn draw_claims(&mut self, world: &World, namespaces: &mut BTreeSet<Arc<str>>) {
        let claims =
            world.look(|seen| are_listed(seen, &[Kind::Endpoints], None).then(|| Claims::of(seen, &self.claims)));
        if let Some(claims) = claims
            && claims != self.claims
        {
            namespaces.extend(claims.differing(&self.claims));
            self.claims = claims;
        }
    }

    /// `None` while not all of it is known: a Deployment would seem to be missing that has only not been told of.
    fn draw_namespace(&mut self, seen: &Seen, namespace: &Arc<str>) -> Option<Drawn> {
        if !are_listed(seen, of_cluster(self.who), None) {
            return None;
        }
        let has_endpoints = seen.has_endpoints(namespace);
        if has_endpoints && !are_listed(seen, of_namespaces(self.who), Some(namespace)) {
            return None;
        }
        // Only where one is named are they looked at at all.
        if seen.names_kserve(namespace) && !are_listed(seen, &[Kind::InferenceServices], Some(namespace)) {
            return None;
        }
        let around = Around { seen, claims: &self.claims, activators: &self.addresses, listen: self.listen };
        Some(picture::draw(around, namespace, &mut self.memory))
    }

    /// Says what is wrong with a spec, once for each version of it.
    fn say_faults(&mut self, namespace: &Arc<str>, drawn: &Drawn) {
        self.faults.retain(|key, _| key.namespace != *namespace || drawn.findings.contains_key(key));
        for (endpoint, found) in &drawn.findings {
            if self.faults.get(endpoint) == found.faults.as_ref() {
                continue;
            }
            match &found.faults {
                None => {
                    self.faults.remove(endpoint);
                    info!(%endpoint, "its spec has no fault any more");
                }
                Some(faults) => {
                    let keeps_last_good = found.keeps_last_good;
                    info!(%endpoint, %faults, keeps_last_good, "its spec has faults");
                    self.faults.insert(endpoint.clone(), Arc::clone(faults));
                }
            }
        }
    }

    fn show(&mut self, namespace: &Arc<str>, drawn: Drawn) {
        let Drawn { endpoints, revisions, .. } = drawn;
        let before = self.shown.remove(namespace).unwrap_or_default();
        let mut shown = Shown::default();
        // Revisions first, so that whoever hears of an endpoint finds what it names.
        for revision in revisions {
            shown.revisions.insert(revision.key.clone());
            self.boards.revisions.put(revision.key.clone(), revision);
        }
        for (uid, endpoint) in endpoints {
            // One that came in the place of another counts its generations anew, so what was said of the other is void.
            if before.endpoints.get(&endpoint.key).is_some_and(|before| *before != uid) {
                self.boards.endpoints.remove(&endpoint.key);
            }
            shown.endpoints.insert(endpoint.key.clone(), uid);
            self.boards.endpoints.put(endpoint.key.clone(), endpoint);
        }
        for key in before.endpoints.keys().filter(|key| !shown.endpoints.contains_key(key)) {
            self.boards.endpoints.remove(key);
        }
        for key in before.revisions.iter().filter(|key| !shown.revisions.contains(key)) {
            self.boards.revisions.remove(key);
        }
        if !shown.endpoints.is_empty() {
            self.shown.insert(Arc::clone(namespace), shown);
        }
    }

    fn everything_is_listed(&self, seen: &Seen) -> bool {
        are_listed(seen, of_cluster(self.who), None)
            && seen.namespaces().iter().all(|namespace| {
                let kserve: &[Kind] = if seen.names_kserve(namespace) { &[Kind::InferenceServices] } else { &[] };
                are_listed(seen, of_namespaces(self.who), Some(namespace)) && are_listed(seen, kserve, Some(namespace))
            })
    }
}

/// Puts `new` where something else was. Says whether it did.
fn replace<T: ?Sized + PartialEq>(known: &mut Option<Arc<T>>, new: Arc<T>) -> bool {
    let differs = known.as_ref() != Some(&new);
    if differs {
        *known = Some(new);
    }
    differs
}
