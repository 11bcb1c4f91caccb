//! The cluster's DNS: where `<service>.<namespace>.svc.cluster.local` is, for pods.
//!
//! A Service with an address has that; one without has the addresses of its endpoints, as EndpointSlices tell. Left out: names
//! of single pods, SRV, IPv6, the world outside, which pods of the tests cannot reach anyway.

use std::future::ready;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client};
use simple_dns::rdata::{A, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::inside::NODE;

/// What every name of a Service ends with.
const SUFFIX: &str = ".svc.cluster.local";

/// The server, for as long as it is held.
pub(super) struct Names {
    _tasks: JoinSet<()>,
}

impl Names {
    /// Listens at the node's address, on DNS's own port.
    pub(super) async fn start(client: &Client) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((NODE, 53)).await.context("port 53 of the cluster's DNS")?;
        let mut tasks = JoinSet::new();
        let (services, writer) = store();
        let seen = reflector(writer, watcher(Api::<Service>::all(client.clone()), watcher::Config::default()));
        tasks.spawn(seen.default_backoff().for_each(|_| ready(())));
        let (slices, writer) = store();
        let seen = reflector(writer, watcher(Api::<EndpointSlice>::all(client.clone()), watcher::Config::default()));
        tasks.spawn(seen.default_backoff().for_each(|_| ready(())));
        services.wait_until_ready().await?;
        slices.wait_until_ready().await?;
        tasks.spawn(serve(socket, Seen { services, slices }));
        Ok(Self { _tasks: tasks })
    }
}

/// What there is, as the API server tells.
struct Seen {
    services: Store<Service>,
    slices: Store<EndpointSlice>,
}

impl Seen {
    /// Its addresses; `None`: there is no such name.
    fn addresses(&self, name: &str) -> Option<Vec<Ipv4Addr>> {
        let name = name.to_ascii_lowercase();
        let (service, namespace) = name.trim_end_matches('.').strip_suffix(SUFFIX)?.split_once('.')?;
        let found = self.services.get(&ObjectRef::new(service).within(namespace))?;
        let own = found.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
        if let Some(address) = own.and_then(|own| own.parse().ok()) {
            return Some(vec![address]);
        }
        let slices = self.slices.state_filter(|slice| {
            let labels = slice.metadata.labels.as_ref();
            slice.metadata.namespace.as_deref() == Some(namespace)
                && labels.and_then(|it| it.get("kubernetes.io/service-name")).is_some_and(|it| it == service)
        });
        let ends = slices.iter().flat_map(|slice| &slice.endpoints);
        let are_ready = ends.filter(|end| end.conditions.as_ref().is_none_or(|it| it.ready != Some(false)));
        Some(are_ready.flat_map(|end| &end.addresses).filter_map(|it| it.parse().ok()).collect())
    }

    /// `None`: it is no question.
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let mut packet = Packet::parse(question).ok().filter(|it| !it.has_flags(PacketFlag::RESPONSE))?.into_reply();
        packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
        // Not said, so that nobody believes it: how large a packet could be.
        *packet.opt_mut() = None;
        let asked = packet.questions.first()?;
        let (name, wanted) = (asked.qname.clone(), asked.qtype);
        match self.addresses(&name.to_string()) {
            None => *packet.rcode_mut() = RCODE::NameError,
            Some(addresses) if wanted == QTYPE::TYPE(TYPE::A) => {
                let record = |it| ResourceRecord::new(name.clone(), CLASS::IN, 1, RData::A(A::from(it)));
                packet.answers.extend(addresses.into_iter().map(record));
            }
            // There is such a name, but nothing of this kind about it.
            Some(_) => {}
        }
        packet.build_bytes_vec_compressed().ok()
    }
}

async fn serve(socket: UdpSocket, seen: Seen) {
    let mut bytes = [0; 1_500];
    loop {
        // A client that is gone is told of here; it is no reason to end.
        let Ok((size, from)): Result<(usize, SocketAddr), _> = socket.recv_from(&mut bytes).await else { continue };
        if let Some(answer) = seen.answer(&bytes[..size]) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}
