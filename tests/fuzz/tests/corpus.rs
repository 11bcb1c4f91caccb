//! Plays every kept input, without the engine.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Plays `corpus/DOOR`. All of it: one that fails does not hide the next.
fn play(door: &str, law: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(door);
    let kept = read(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    assert!(!kept.is_empty(), "{} is empty", folder.display());
    let breaks = |(file, data): (PathBuf, Vec<u8>)| catch_unwind(|| law(&data)).is_err().then_some(file);
    let found: Vec<PathBuf> = kept.into_iter().filter_map(breaks).collect();
    assert!(found.is_empty(), "a law does not hold for {found:#?}");
}

fn read(folder: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    files.into_iter().map(|file| fs::read(&file).map(|data| (file, data))).collect()
}

#[test]
fn the_laws_of_headers_hold_for_all_that_is_kept() {
    play("headers", fuzz::headers);
}

#[test]
fn the_laws_of_frames_hold_for_all_that_is_kept() {
    play("frames", fuzz::frames);
}

#[test]
fn the_laws_of_the_file_hold_for_all_that_is_kept() {
    play("file", fuzz::file);
}

#[test]
fn the_laws_of_settings_hold_for_all_that_is_kept() {
    play("settings", fuzz::settings);
}
