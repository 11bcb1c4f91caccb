//! How much memory this process may use, as whoever runs it has limited it.
//!
//! A container's limit is that of its control group or of one above it. Without any, it is what the machine has.

use std::fs;
use std::path::Path;

use prometheus::{PullingGauge, Registry, Result};
use units::parse_size;

use crate::settings::{Problems, Vars};

/// What a limit is where nothing can be learned, as on a system without `/proc`: small enough to be harmless.
const UNKNOWN: u64 = 1 << 30;

/// The least that may be set: below this hardly anything could wait.
const LEAST_BUDGET: u64 = 1 << 20;

/// Reads `MEMORY_BUDGET`: the bytes that requests may take while they wait, all together. Half of [`memory_limit`] where
/// it is not set: the other half is for connections, for answers on their way, and for the program itself.
pub fn memory_budget(vars: &Vars, problems: &mut Problems) -> Option<u64> {
    let parse = |text: &str| budget_of(text).ok_or("is not such a size");
    problems.or_default(vars, "MEMORY_BUDGET", memory_limit() / 2, BUDGETS, parse)
}

/// What a memory budget may be, for people.
pub const BUDGETS: &str = "a size from 1Mi, such as 512Mi or 2Gi";

/// A memory budget as it is written; `None` if it is none.
pub fn budget_of(text: &str) -> Option<u64> {
    parse_size(text).filter(|bytes| LEAST_BUDGET <= *bytes)
}

/// Adds what the budget has and what of it is used, in bytes, read when the metrics are asked for.
///
/// # Errors
/// If the registry has one of the names already.
pub fn register_memory_budget(
    registry: &Registry,
    limit: u64,
    used: impl Fn() -> u64 + Send + Sync + 'static,
) -> Result<()> {
    let gauge = |name, help, read: Box<dyn Fn() -> f64 + Send + Sync>| PullingGauge::new(name, help, read);
    registry.register(Box::new(gauge(
        "rouse_memory_budget_bytes",
        "What requests may take in this process while they wait",
        Box::new(move || limit as f64),
    )?))?;
    registry.register(Box::new(gauge(
        "rouse_memory_budget_used_bytes",
        "What requests take in this process that wait, or whose answer has not begun",
        Box::new(move || used() as f64),
    )?))
}

/// Bytes of memory that this process may use: the least limit of its control groups, else what the machine has.
pub fn memory_limit() -> u64 {
    let read = |path: &Path| fs::read_to_string(path).ok();
    limit(&read).unwrap_or(UNKNOWN)
}

fn limit(read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| mem_total(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| group_limit(line, read));
    limits.chain(machine).min()
}

/// The least limit of one line of `/proc/self/cgroup` (`number:controllers:path`), up to the root. A group that cannot be
/// seen from inside of a container is passed over: there the root that is seen is its own.
fn group_limit(line: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (mount, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return None,
    };
    let groups = Path::new(path.trim_start_matches('/')).ancestors();
    // Version 2 says `max` for none, version 1 a number beyond every machine.
    groups.filter_map(|group| read(&Path::new(mount).join(group).join(file))?.trim().parse().ok()).min()
}

/// From `MemTotal:       24682416 kB`.
fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn limit_of<const N: usize>(files: [(&str, &str); N]) -> Option<u64> {
        let files: BTreeMap<&str, &str> = BTreeMap::from(files);
        limit(&|path| files.get(path.to_str()?).map(|text| (*text).to_owned()))
    }

    const MACHINE: (&str, &str) = ("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree:  1 kB\n");

    #[test]
    fn a_containers_limit_is_read_in_both_versions() {
        let second = [MACHINE, ("/proc/self/cgroup", "0::/\n"), ("/sys/fs/cgroup/memory.max", "268435456\n")];
        assert_eq!(limit_of(second), Some(256 * MIB));
        let first = [
            MACHINE,
            ("/proc/self/cgroup", "5:cpu,cpuacct:/pod/a\n4:memory:/pod/a\n0::/\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n"),
        ];
        assert_eq!(limit_of(first), Some(128 * MIB));
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let files = [
            MACHINE,
            ("/proc/self/cgroup", "0::/user.slice/app.scope\n"),
            ("/sys/fs/cgroup/user.slice/app.scope/memory.max", "max\n"),
            ("/sys/fs/cgroup/user.slice/memory.max", "536870912\n"),
        ];
        assert_eq!(limit_of(files), Some(512 * MIB));
    }

    #[test]
    fn without_a_limit_it_is_what_the_machine_has() {
        let files = [
            MACHINE,
            ("/proc/self/cgroup", "4:memory:/a\n0::/\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory.max", "max\n"),
        ];
        assert_eq!(limit_of(files), Some(16 << 30));
        assert_eq!(limit_of([]), None);
    }

    #[test]
    fn a_budget_is_a_size_that_holds_something() {
        let budget = |text| memory_budget(&Vars::from([("MEMORY_BUDGET", text)]), &mut Problems::none());
        assert_eq!(budget("512Mi"), Some(512 * MIB));
        assert_eq!([budget("0"), budget("1023Ki"), budget("half")], [None; 3]);
        assert_eq!(budget(""), Some(memory_limit() / 2));
    }
}
