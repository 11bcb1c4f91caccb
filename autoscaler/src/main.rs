//! `autoscaler` on a cluster: this file only wires; the library's front page has the map.

mod program;

use std::process::ExitCode;

use daemon::{Vars, exit, runtime};
use kubernetes::flags;
use program::{ABOUT, Launch};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read before `main`. What a list of everything took goes back within a second, by a thread of its own.
#[expect(unsafe_code, reason = "jemalloc looks its settings up by this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &[u8; 70] = b"background_thread:true,narenas:4,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    let vars = match flags::read(&ABOUT, std::env::args_os(), Vars::of_process()) {
        Ok(vars) => vars,
        Err(end) => return end,
    };
    let Launch { config, telemetry, workers } = match Launch::parse(&vars) {
        Ok(launch) => launch,
        Err(problems) => return problems.report(ABOUT.program),
    };
    let run = || runtime(workers)?.block_on(program::run(config));
    exit(ABOUT.program, telemetry.init().and_then(|()| run()))
}
