//! A container's root: this machine's programs, read-only, and nothing else of it.
//!
//! A tmpfs holds every folder and every mount point, so that nothing is ever made on the machine itself. Volumes are mounted
//! last, as the kubelet lists them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::pivot_root;

use super::ContainerSpec;

/// The machine's programs and libraries.
const SYSTEM: [&str; 8] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "opt"];

/// What a container has of its own, so that no path of an image may bring the machine's.
const OWN: [&str; 4] = ["etc", "dev", "proc", "sys"];

/// What programs need of the machine's /etc: where libraries lie, which authorities to trust, which of several programs a
/// name stands for.
const ETC: [&str; 8] =
    ["alternatives", "ca-certificates", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "services", "ssl"];

/// Makes the container's root and has nothing but it from then on. Needs a mount and a PID namespace of its own.
pub(crate) fn enter(spec: &ContainerSpec) -> anyhow::Result<()> {
    let root = &spec.root;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("cannot take the mounts apart")?;
    fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
    mount(Some("root"), root, Some("tmpfs"), MsFlags::empty(), Some("mode=0755")).context("cannot mount a root")?;

    for name in SYSTEM {
        show(root, &Path::new("/").join(name)).with_context(|| format!("cannot show /{name}"))?;
    }
    for folder in ["etc", "dev", "dev/shm", "proc", "sys", "tmp", "var/tmp", "run", "root", "home"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for open in ["tmp", "var/tmp", "dev/shm"] {
        fs::set_permissions(root.join(open), fs::Permissions::from_mode(0o1777))?;
    }
    etc(spec)?;
    devices(root)?;
    for shown in spec.folders.iter().filter_map(|path| shown(path)) {
        bind(&shown, &place(root, &shown)?, true).with_context(|| format!("cannot show {}", shown.display()))?;
    }
    for (from, to, readonly) in &spec.mounts {
        mount_volume(root, Path::new(from), Path::new(to), *readonly)
            .with_context(|| format!("cannot mount {from} at {to}"))?;
    }

    // While the outer one can still be seen: only who sees a whole /proc may mount another.
    mount(Some("proc"), &root.join("proc"), Some("proc"), MsFlags::empty(), none).context("cannot mount /proc")?;
    std::env::set_current_dir(root)?;
    // The old root comes to lie on the new one, and is taken away from there.
    pivot_root(".", ".").context("cannot change the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("cannot leave the old root")?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// Shows a folder of the machine, or the same link if it is one.
fn show(root: &Path, path: &Path) -> anyhow::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if found.is_symlink() {
        let target = fs::read_link(path)?;
        // Relative to the root, or what follows it here would leave the new one.
        symlink(target.strip_prefix("/").unwrap_or(&target), within(root, path))?;
        return Ok(());
    }
    bind(path, &place(root, path)?, true)
}

fn etc(spec: &ContainerSpec) -> anyhow::Result<()> {
    let etc = spec.root.join("etc");
    for name in ETC {
        let from = Path::new("/etc").join(name);
        if let Ok(from) = fs::canonicalize(&from) {
            bind(&from, &make(&etc.join(name), from.is_dir())?, true)
                .with_context(|| format!("cannot show /etc/{name}"))?;
        }
    }
    for (name, text) in [
        ("passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
        ("group", "root:x:0:\nnogroup:x:65534:\n"),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
        ("hosts", "127.0.0.1 localhost\n"),
        ("hostname", &format!("{}\n", spec.hostname)),
        ("resolv.conf", &spec.resolv_conf),
    ] {
        fs::write(etc.join(name), text)?;
    }
    Ok(())
}

/// Single devices, since the machine's own folder of them must not get mount points.
fn devices(root: &Path) -> anyhow::Result<()> {
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let from = Path::new("/dev").join(name);
        bind(&from, &place(root, &from)?, false).with_context(|| format!("cannot show {}", from.display()))?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, root.join("dev").join(name))?;
    }
    Ok(())
}

/// What is shown for a path of an image: a folder itself; a file's folder, as programs look beside themselves for their data.
/// Not so /tmp and the root, which are the container's own: there it is the file alone. None if it is there anyway or must
/// not be, or is not on this machine.
fn shown(path: &Path) -> Option<PathBuf> {
    let first = path.components().nth(1)?.as_os_str();
    if SYSTEM.iter().chain(&OWN).any(|&name| name == first) || fs::metadata(path).is_err() {
        return None;
    }
    let beside = path.parent().filter(|&parent| parent != Path::new("/") && parent != Path::new("/tmp"));
    Some(if path.is_dir() { path } else { beside.unwrap_or(path) }.to_owned())
}

fn mount_volume(root: &Path, from: &Path, to: &Path, readonly: bool) -> anyhow::Result<()> {
    if to.components().any(|part| part == Component::ParentDir) {
        bail!("a path with ..");
    }
    bind(from, &make(&within(root, to), from.is_dir())?, readonly)
}

/// A mount point in the new root for a path of the machine.
fn place(root: &Path, path: &Path) -> anyhow::Result<PathBuf> {
    make(&within(root, path), path.is_dir())
}

/// Where a path is once the root is what it will be.
fn within(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Makes a folder or an empty file to mount on.
fn make(into: &Path, folder: bool) -> anyhow::Result<PathBuf> {
    if folder {
        fs::create_dir_all(into)?;
    } else {
        if let Some(parent) = into.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::OpenOptions::new().create(true).append(true).open(into)?;
    }
    Ok(into.to_owned())
}

fn bind(from: &Path, into: &Path, readonly: bool) -> anyhow::Result<()> {
    let none: Option<&str> = None;
    mount(Some(from), into, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
    if readonly {
        // What the machine forbids already must be forbidden again: a user namespace may not allow it.
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | kept(into)?;
        mount(none, into, none, flags, none)?;
    }
    Ok(())
}

fn kept(mounted: &Path) -> anyhow::Result<MsFlags> {
    let found = statvfs(mounted)?.flags();
    let pairs = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    Ok(pairs.into_iter().filter(|&(has, _)| found.contains(has)).map(|(_, keeps)| keeps).collect())
}
