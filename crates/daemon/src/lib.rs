//! What every program of Rouse needs to be a good process: its settings read with all faults at once, a clock, owned
//! tasks, signals, leaving in order, exit codes, telemetry, listeners, streams to other programs, an admin port.
//!
//! A `main` uses it from top to bottom:
//!
//! ```text
//! let vars = Vars::of_process();                                  // once
//! let config = match Config::parse(&vars) {                       // Problems: every fault at once
//!     Ok(config) => config,
//!     Err(problems) => return problems.report("queue-proxy"),     // exit 64
//! };
//! exit("queue-proxy", config.telemetry.init().and_then(|()| runtime(config.workers)?.block_on(run(config))))
//! ```
//!
//! and `run` binds its ports first ([`Listener`], [`Admin`]), puts its work into [`Tasks`], and runs them under
//! [`Stop::guard`].

mod admin;
mod clock;
mod departure;
mod exit;
mod listener;
mod memory;
mod owner;
mod peer;
mod settings;
mod stop;
mod tasks;
mod telemetry;
pub mod tls;

pub use admin::{
    Admin, Readiness, Token, admin_token, basic_routes, from_loopback_only, from_loopback_or_with, register_build_info,
};
pub use clock::Clock;
pub use departure::{Departure, Phase};
pub use exit::{Exit, Interrupted, Unavailable, default_workers, exit, runtime};
pub use listener::{BindFault, Listener};
pub use memory::{BUDGETS, budget_of, memory_budget, memory_limit, register_memory_budget};
pub use peer::{NOTICED_WITHIN, connect};
pub use settings::{Problem, Problems, Vars};
pub use stop::Stop;
pub use tasks::{Draining, Tasks};
pub use telemetry::{LogFormat, Targets, Telemetry};
