//! `queue-proxy` stands beside a model server. This file only wires; the library's front page has the map.

use std::process::ExitCode;

use daemon::{Exit, Vars, exit, runtime};
use queue_proxy::{Asked, Launch, ask_to_leave, serve};

const PROGRAM: &str = "queue-proxy";

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read before `main`. Two arenas, as there are at most two workers by default; the memory of a burst goes back within a
/// second, by a thread of its own, also when the process then does nothing more. Each worker keeps at least 128 pieces of
/// every small size at hand: hyper takes a buffer of 8 KiB for each head that it reads, and by itself jemalloc keeps 20 of
/// these, fewer than there are connections.
#[expect(unsafe_code, reason = "jemalloc looks its settings up by this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &[u8; 98] =
    b"background_thread:true,narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0,tcache_nslots_small_min:128\0";

fn main() -> ExitCode {
    let (asked, launch) = match Asked::parse(std::env::args().skip(1)) {
        Ok(Asked::Say(text)) => {
            print!("{text}");
            return Exit::Done.into();
        }
        Ok(asked) => match asked.launch(&Vars::of_process()) {
            Ok(launch) => (asked, launch),
            Err(problems) => return problems.report(PROGRAM),
        },
        Err(problems) => return problems.report(PROGRAM),
    };
    let Launch { config, telemetry, workers } = launch;
    let run = || match asked {
        Asked::Leave => ask_to_leave(&config),
        _ => runtime(workers)?.block_on(serve(config)),
    };
    exit(PROGRAM, telemetry.init().and_then(|()| run()))
}
