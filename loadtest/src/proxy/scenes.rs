//! What is measured: each scene is one load, asked of each of its peers in turns. Data, and no code to speak of.

use std::time::Duration;

use serde::Serialize;

use crate::proxy::message::{Asked, Size};
use crate::proxy::peers::{Kind, Wire};

/// What `--only` chooses from, and where a row goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Part {
    /// The sidecar: 64 connections, small JSON; added latency, memory, sizes
    Sidecar,
    /// The sidecar with 1 and with 512 connections
    Connections,
    /// The sidecar with bodies of 100 KiB and 10 MiB, as answers and as requests
    Bodies,
    /// The sidecar with clients that speak HTTP/2 without TLS, by h2load
    H2c,
    /// The sidecar's port for activators, with TLS 1.3 and certificates on both sides
    Tls,
    /// The activator, alone and with a sidecar behind it
    Activator,
    /// Memory: idle, with 64 and 512 connections, while 1,000 requests are held, and 3 s after
    Memory,
}

impl Part {
    pub(crate) const ALL: [Self; 7] =
        [Self::Sidecar, Self::Connections, Self::Bodies, Self::H2c, Self::Tls, Self::Activator, Self::Memory];
}

/// One load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) part: Part,
    /// In few words; no two are called the same.
    pub(crate) name: &'static str,
    pub(crate) wire: Wire,
    pub(crate) connections: usize,
    pub(crate) asked: Asked,
    /// Of each peer in each round, for every 10,000 of `--requests`. Chosen so that each peer has some hundred
    /// milliseconds of processor time in each round, of which `/proc` tells ten at a time.
    pub(crate) requests_of_10_000: u64,
    /// Whether the latency that a peer adds is measured too.
    pub(crate) paced: bool,
    pub(crate) peers: &'static [Kind],
}

impl Scene {
    /// Of each peer in each round; in each turn at least one on each connection.
    pub(crate) fn requests(&self, of: u64) -> u64 {
        (of * self.requests_of_10_000 / 10_000).max(u64::from(crate::proxy::TURNS) * self.connections as u64)
    }
}

pub(crate) const TLS: &str = "TLS 1.3, 64 connections";
/// The scenes whose figures have budgets.
pub(crate) const SIDECAR: &str = "64 connections";
pub(crate) const ACTIVATOR: &str = "activator, 64 connections";

const SIDECARS: &[Kind] = &[Kind::QueueProxy, Kind::Other, Kind::Bare, Kind::Nginx, Kind::Haproxy, Kind::Knative];
const ACTIVATORS: &[Kind] = &[
    Kind::Activator,
    Kind::OtherActivator,
    Kind::ActivatorAndSidecar,
    Kind::ActivatorAndSidecarTls,
    Kind::Bare,
    Kind::Nginx,
    Kind::Haproxy,
];

const H2C: &[Kind] = &[Kind::QueueProxy, Kind::Other, Kind::Bare, Kind::Nginx, Kind::Haproxy];
const TLS_PEERS: &[Kind] = &[Kind::QueueProxy, Kind::Other, Kind::Nginx, Kind::Haproxy];
/// Whose memory is looked at.
pub(crate) const MEMORY: &[Kind] = &[
    Kind::QueueProxy,
    Kind::Other,
    Kind::Activator,
    Kind::OtherActivator,
    Kind::Bare,
    Kind::Nginx,
    Kind::Haproxy,
    Kind::Knative,
];

const KIB_100: Size = Size::Bytes(100 << 10);
const MIB_10: Size = Size::Bytes(10 << 20);

const fn answer(answer: Size) -> Asked {
    Asked { request: Size::Small, answer, takes: Duration::ZERO }
}

const fn request(request: Size) -> Asked {
    Asked { request, answer: Size::Small, takes: Duration::ZERO }
}

const fn body(name: &'static str, connections: usize, asked: Asked, requests_of_10_000: u64) -> Scene {
    Scene {
        part: Part::Bodies,
        name,
        wire: Wire::Http1,
        connections,
        asked,
        requests_of_10_000,
        paced: false,
        peers: SIDECARS,
    }
}

/// All of them, in the order in which they are measured and told.
pub(crate) const SCENES: [Scene; 10] = [
    Scene {
        part: Part::Sidecar,
        name: SIDECAR,
        wire: Wire::Http1,
        connections: 64,
        asked: Asked::SMALL,
        requests_of_10_000: 10_000,
        paced: true,
        peers: SIDECARS,
    },
    Scene {
        part: Part::Connections,
        name: "1 connection",
        wire: Wire::Http1,
        connections: 1,
        asked: Asked::SMALL,
        requests_of_10_000: 2_000,
        paced: false,
        peers: SIDECARS,
    },
    Scene {
        part: Part::Connections,
        name: "512 connections",
        wire: Wire::Http1,
        connections: 512,
        asked: Asked::SMALL,
        requests_of_10_000: 5_000,
        paced: false,
        peers: SIDECARS,
    },
    body("answers of 100 KiB", 16, answer(KIB_100), 800),
    body("requests of 100 KiB", 16, request(KIB_100), 800),
    body("answers of 10 MiB", 4, answer(MIB_10), 10),
    body("requests of 10 MiB", 4, request(MIB_10), 10),
    Scene {
        part: Part::H2c,
        name: "h2c, 8 connections of 8 streams",
        wire: Wire::Http2,
        connections: 8,
        asked: Asked::SMALL,
        requests_of_10_000: 5_000,
        paced: false,
        peers: H2C,
    },
    Scene {
        part: Part::Tls,
        name: TLS,
        wire: Wire::Tls,
        connections: 64,
        asked: Asked::SMALL,
        requests_of_10_000: 5_000,
        paced: false,
        peers: TLS_PEERS,
    },
    Scene {
        part: Part::Activator,
        name: ACTIVATOR,
        wire: Wire::Http1,
        connections: 64,
        asked: Asked::SMALL,
        requests_of_10_000: 5_000,
        paced: true,
        peers: ACTIVATORS,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_scene_and_every_scene_a_name_of_its_own() {
        for part in Part::ALL.into_iter().filter(|part| *part != Part::Memory) {
            assert!(SCENES.iter().any(|scene| scene.part == part), "{part:?} measures nothing");
        }
        for (place, scene) in SCENES.iter().enumerate() {
            assert!(SCENES[..place].iter().all(|other| other.name != scene.name), "{} is there twice", scene.name);
        }
    }

    #[test]
    fn however_few_are_asked_for_every_connection_has_one_in_each_turn() {
        let each = |scene: &Scene| scene.requests(1) / u64::from(crate::proxy::TURNS) / scene.connections as u64;
        assert!(SCENES.iter().all(|scene| each(scene) == 1));
        assert_eq!(SCENES[0].requests(100_000), 100_000);
    }
}
