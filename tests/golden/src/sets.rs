//! Which sets there are, and whose they are. A closed list: a file that is not on it is a mistake, not an extra.

/// A crate that plays sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// `crates/breaker`.
    Breaker,
    /// `crates/balance`.
    Balance,
    /// `crates/kpa`.
    Kpa,
}

/// Who plays the lines of a set.
#[derive(Clone, Copy, Debug)]
pub enum Played {
    /// One crate plays all of them.
    By(Owner),
    /// The line's field `kind` says who plays it.
    ByKind(&'static [(&'static str, Owner)]),
}

/// One set of vectors.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// Its name; the file is `<name>.jsonl`.
    pub name: &'static str,
    /// Who plays it.
    pub played: Played,
}

impl Set {
    /// Does `owner` play any of it?
    pub fn concerns(&self, owner: Owner) -> bool {
        match self.played {
            Played::By(player) => player == owner,
            Played::ByKind(kinds) => kinds.iter().any(|(_, player)| *player == owner),
        }
    }
}

const CAPACITY: &[(&str, Owner)] = &[
    ("revision_capacity", Owner::Balance),
    ("assign_slice", Owner::Balance),
    ("activator_index", Owner::Balance),
    ("throttler", Owner::Balance),
    ("num_activators", Owner::Kpa),
    ("initial_status", Owner::Kpa),
    ("notify", Owner::Kpa),
];

/// Every set there is.
pub const SETS: [Set; 14] = [
    Set { name: "windows", played: Played::By(Owner::Kpa) },
    Set { name: "delay_window", played: Played::By(Owner::Kpa) },
    Set { name: "deciders", played: Played::By(Owner::Kpa) },
    Set { name: "pipeline", played: Played::By(Owner::Kpa) },
    Set { name: "sample_size", played: Played::By(Owner::Kpa) },
    Set { name: "scrape_average", played: Played::By(Owner::Kpa) },
    Set { name: "annotations", played: Played::By(Owner::Kpa) },
    Set { name: "config_autoscaler", played: Played::By(Owner::Kpa) },
    Set { name: "capacity", played: Played::ByKind(CAPACITY) },
    Set { name: "active_condition", played: Played::By(Owner::Kpa) },
    Set { name: "scaler", played: Played::By(Owner::Kpa) },
    Set { name: "request_stats", played: Played::By(Owner::Breaker) },
    Set { name: "breaker", played: Played::By(Owner::Breaker) },
    Set { name: "lb_policy", played: Played::By(Owner::Balance) },
];
