//! Both seams with child processes on one machine.
//!
//! A replica is a process that runs under a *keeper*: this same program, executed again, which sees to it that nothing
//! the process ever started outlives the program, however either ends. In front of each stands a queue-proxy of its
//! own, in this process; its proxied address is the replica's.
//!
//! In reading order: `described` (what is to be in force), `seams` (catalogue and actuator), `fleet` and `muster` (one
//! revision: how many, whom to take), `replica` (one process from start to end), `front` (its queue-proxy), `health`
//! (startup and liveness), `exec` (probes that are commands), `process` and `keeper` (the two sides of keeping it), `tree`
//! (who descends from whom, who listens where), `port`, `output`, `backoff`.
//!
//! Not here: reading files (`api`), when to start and to give up (`autoscaler`, `kpa`).

mod backoff;
mod described;
mod exec;
mod fleet;
mod front;
mod health;
pub mod keeper;
mod muster;
mod output;
mod port;
mod process;
mod replica;
mod seams;
mod tree;

pub use described::{Described, Workload};
pub use seams::{LocalPlatform, Options, THIS_PROGRAM};
