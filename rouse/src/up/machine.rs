//! What the machine has: programs, folders, ports. Looked at before anything is started, so that nothing is half started.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use api::{Container, Documents, Fault, Placed};
use daemon::{BindFault, Listener};

/// A command of this name is this very program, wherever it was installed.
const OURSELVES: &str = "rouse";

/// Where ports are drawn from that may be any: below those that kernels give out (from 32768), beside those of replicas.
const ANY_PORT: RangeInclusive<u16> = 10_000..=19_999;

/// What the machine has.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    path: OsString,
    /// Addresses that are ours already, since an earlier version of the files.
    held: BTreeSet<SocketAddr>,
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        // Not `var`: a PATH need not be UTF-8.
        Self { path: std::env::var_os("PATH").unwrap_or_default(), held: BTreeSet::new() }
    }

    /// The same, knowing that these addresses are taken by this program itself.
    pub(crate) fn holding(&self, held: BTreeSet<SocketAddr>) -> Self {
        Self { path: self.path.clone(), held }
    }

    /// Notes every command and working directory that is not there.
    pub(crate) fn look_for_commands(&self, documents: &Documents, faults: &mut Vec<Fault>) {
        for deployment in &documents.deployments {
            let container = &deployment.value.container;
            let folder = working_dir(deployment, container);
            if let Some(folder) = &folder
                && !folder.is_dir()
            {
                faults.push(deployment.fault(
                    "spec.template.spec.containers[0].workingDir",
                    format!("a folder that exists; {} does not", folder.display()),
                ));
                continue;
            }
            if let Err(why) = self.find(container, folder.as_deref()) {
                let path = "spec.template.spec.containers[0].command[0]";
                let program = container.invocation(0).program;
                let mut fault = deployment.fault(path, why);
                if fault.place.is_none() {
                    fault = Fault::of_flag("COMMAND", program, fault.allowed);
                }
                faults.push(fault);
            }
        }
    }

    /// Where a container's program is, or what is wrong with it. A program without a name has its fault already.
    fn find(&self, container: &Container, folder: Option<&Path>) -> Result<(), String> {
        let run = container.invocation(0);
        let program = Path::new(&run.program);
        if run.program.is_empty() || run.program == OURSELVES {
            return Ok(());
        }
        if run.program.contains('/') {
            let whole = folder.map_or_else(|| program.to_owned(), |folder| folder.join(program));
            return match executable(&whole) {
                Ok(true) => Ok(()),
                Ok(false) => Err(format!("a program; {} is not executable", whole.display())),
                Err(error) => Err(format!("a program; {}: {error}", whole.display())),
            };
        }
        let own = run.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| OsString::from(value));
        let path = own.unwrap_or_else(|| self.path.clone());
        let found = std::env::split_paths(&path).any(|place| matches!(executable(&place.join(program)), Ok(true)));
        if found { Ok(()) } else { Err("a program on PATH, or a path with `/` in it".to_owned()) }
    }

    /// Notes an address that cannot be listened on. Must run inside a runtime.
    pub(crate) fn look_for_address(
        &self,
        address: SocketAddr,
        fault: impl FnOnce(String) -> Fault,
        faults: &mut Vec<Fault>,
    ) {
        if let Err(why) = self.try_address(address) {
            faults.push(fault(why));
        }
    }

    /// Can it be listened on? Ours can, whoever asks.
    pub(crate) fn try_address(&self, address: SocketAddr) -> Result<(), String> {
        if self.held.contains(&address) {
            return Ok(());
        }
        Listener::bind(address).map(drop).map_err(|fault| why_not(&fault))
    }

    /// A free port of the same machine address. None that the kernel would give to a socket that takes any: what is free
    /// now could be somebody else's, or our own, before it is listened on.
    pub(crate) fn any_port(&self, near: SocketAddr) -> Option<SocketAddr> {
        let drawn = std::iter::repeat_with(|| SocketAddr::new(near.ip(), fastrand::u16(ANY_PORT)));
        drawn.take(100).find(|address| self.try_address(*address).is_ok())
    }
}

fn why_not(fault: &BindFault) -> String {
    let what = match fault.source.kind() {
        io::ErrorKind::AddrInUse => "a free port; this one is in use",
        io::ErrorKind::AddrNotAvailable => "an address of this machine",
        io::ErrorKind::PermissionDenied => "a port that you may listen on; those below 1024 need a privilege",
        _ => return format!("an address that can be listened on: {}", fault.source),
    };
    let owner = fault.owner.as_ref().map_or_else(String::new, |owner| format!(", likely by {owner}"));
    format!("{what}{owner}")
}

fn executable(path: &Path) -> io::Result<bool> {
    let metadata = path.metadata()?;
    Ok(metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Where a container runs: in the folder of the file that it stands in, unless it says another; a relative one is relative
/// to that file. So it does not matter where `rouse up` was started. `None`: a command without a file, which runs here.
pub(crate) fn working_dir<T>(document: &Placed<T>, container: &Container) -> Option<PathBuf> {
    let beside = document.file().and_then(|file| Path::new(&**file).parent());
    let whole = match (beside, container.working_dir.as_deref()) {
        (None, None) => return None,
        (Some(beside), None) => beside.to_owned(),
        (beside, Some(given)) => beside.unwrap_or(Path::new("")).join(given),
    };
    // `.` rather than nothing, for who joins it.
    Some(if whole.as_os_str().is_empty() { PathBuf::from(".") } else { whole })
}

/// The container as it is run here: `rouse` is this program, and paths no longer depend on where the file stands.
pub(crate) fn at_home<T>(document: &Placed<T>, container: &Container) -> Container {
    let mut container = container.clone();
    let folder = working_dir(document, &container);
    if let Some(program) = container.command.first_mut() {
        if program == OURSELVES {
            local::THIS_PROGRAM.clone_into(program);
        } else if program.contains('/') && !program.contains("$(") {
            // A program with a relative path is looked for from the folder that it runs in, and starting it from there
            // would look from ours.
            let whole = folder.as_deref().unwrap_or(Path::new(".")).join(&*program);
            if let Some(whole) =
                std::path::absolute(&whole).ok().and_then(|path| path.into_os_string().into_string().ok())
            {
                *program = whole;
            }
        }
    }
    container.working_dir =
        folder.and_then(|folder| std::path::absolute(folder).ok()?.into_os_string().into_string().ok());
    container
}

#[cfg(test)]
mod tests;
