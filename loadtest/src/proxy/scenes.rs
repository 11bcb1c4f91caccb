//! What is measured: each scene is one load, asked of each of its peers in turns. Data, and no code to speak of.

use std::time::Duration;

use serde::Serialize;

use crate::proxy::message::{Asked, Size};
use crate::proxy::peers::Kind;

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
    /// The activator, alone and with a sidecar behind it
    Activator,
}

impl Part {
    pub(crate) const ALL: [Self; 4] = [Self::Sidecar, Self::Connections, Self::Bodies, Self::Activator];
}

/// One load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) part: Part,
    /// In few words; no two are called the same.
    pub(crate) name: &'static str,
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
    /// Of each peer in each round; at least one in each turn.
    pub(crate) fn requests(&self, of: u64) -> u64 {
        (of * self.requests_of_10_000 / 10_000).max(u64::from(crate::proxy::TURNS))
    }
}

/// The scenes whose figures have budgets.
pub(crate) const SIDECAR: &str = "64 connections";
pub(crate) const ACTIVATOR: &str = "activator, 64 connections";

const SIDECARS: &[Kind] = &[Kind::QueueProxy, Kind::Other, Kind::Bare, Kind::Nginx, Kind::Haproxy, Kind::Knative];
const ACTIVATORS: &[Kind] =
    &[Kind::Activator, Kind::OtherActivator, Kind::ActivatorAndSidecar, Kind::Bare, Kind::Nginx, Kind::Haproxy];

const KIB_100: Size = Size::Bytes(100 << 10);
const MIB_10: Size = Size::Bytes(10 << 20);

const fn answer(answer: Size) -> Asked {
    Asked { request: Size::Small, answer, takes: Duration::ZERO }
}

const fn request(request: Size) -> Asked {
    Asked { request, answer: Size::Small, takes: Duration::ZERO }
}

const fn body(name: &'static str, connections: usize, asked: Asked, requests_of_10_000: u64) -> Scene {
    Scene { part: Part::Bodies, name, connections, asked, requests_of_10_000, paced: false, peers: SIDECARS }
}

/// All of them, in the order in which they are measured and told.
pub(crate) const SCENES: [Scene; 8] = [
    Scene {
        part: Part::Sidecar,
        name: SIDECAR,
        connections: 64,
        asked: Asked::SMALL,
        requests_of_10_000: 10_000,
        paced: true,
        peers: SIDECARS,
    },
    Scene {
        part: Part::Connections,
        name: "1 connection",
        connections: 1,
        asked: Asked::SMALL,
        requests_of_10_000: 2_000,
        paced: false,
        peers: SIDECARS,
    },
    Scene {
        part: Part::Connections,
        name: "512 connections",
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
        part: Part::Activator,
        name: ACTIVATOR,
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
        for part in Part::ALL {
            assert!(SCENES.iter().any(|scene| scene.part == part), "{part:?} measures nothing");
        }
        for (place, scene) in SCENES.iter().enumerate() {
            assert!(SCENES[..place].iter().all(|other| other.name != scene.name), "{} is there twice", scene.name);
        }
    }

    #[test]
    fn however_few_are_asked_for_every_turn_has_one() {
        assert!(SCENES.iter().all(|scene| u64::from(crate::proxy::TURNS) <= scene.requests(1)));
        assert_eq!(SCENES[0].requests(100_000), 100_000);
    }
}
