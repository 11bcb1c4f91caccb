//! Images: names that stand for programs of this machine.
//!
//! A file says which; it is read whenever an image is asked for, so that a test can change what an image does between two
//! starts. Nothing is downloaded: a pull only makes a name present.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer};

/// What an image runs, and which faults it has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Image {
    /// The entry point. A pod's `command` takes its place, a pod's `args` come behind it.
    pub(crate) command: Vec<String>,
    /// A pod's own variables win.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Shown to the container at the same place, read-only, besides those of the command's own paths.
    #[serde(default)]
    pub(crate) folders: Vec<PathBuf>,
    /// How long a start takes before there is a process.
    #[serde(default, deserialize_with = "duration")]
    pub(crate) start_delay: Duration,
    /// Whether the registry denies having it, also if it was pulled before.
    #[serde(default)]
    pub(crate) refuse_pull: bool,
}

/// The images there are, and those that were pulled.
pub(crate) struct Images {
    file: PathBuf,
    pulled: Mutex<BTreeSet<String>>,
}

impl Images {
    pub(crate) fn at(file: PathBuf) -> Self {
        Self { file, pulled: Mutex::default() }
    }

    /// Makes an image present and gives its id; `None` if there is no such image to be had.
    pub(crate) fn pull(&self, reference: &str) -> anyhow::Result<Option<String>> {
        let name = name_in(reference);
        let known = self.read()?.get(name).is_some_and(|image| !image.refuse_pull);
        if known {
            self.pulled.lock().insert(name.to_owned());
        }
        Ok(known.then(|| name.to_owned()))
    }

    /// The names of those that are present.
    pub(crate) fn present(&self) -> anyhow::Result<Vec<String>> {
        let known = self.read()?;
        let pulled = self.pulled.lock();
        Ok(pulled.iter().filter(|&name| known.get(name).is_some_and(|image| !image.refuse_pull)).cloned().collect())
    }

    /// Forgets that an image was pulled.
    pub(crate) fn remove(&self, reference: &str) {
        self.pulled.lock().remove(name_in(reference));
    }

    /// What the image is now.
    pub(crate) fn find(&self, reference: &str) -> anyhow::Result<Option<Image>> {
        Ok(self.read()?.remove(name_in(reference)))
    }

    fn read(&self) -> anyhow::Result<BTreeMap<String, Image>> {
        let file = self.file.display();
        let text = std::fs::read(&self.file).with_context(|| format!("cannot read the images in {file}"))?;
        serde_json::from_slice(&text).with_context(|| format!("cannot make sense of the images in {file}"))
    }
}

/// The name within a reference: without digest, and without tag. A colon before the last slash is that of a port.
pub(crate) fn name_in(reference: &str) -> &str {
    let reference = reference.split('@').next().unwrap_or(reference);
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        Some(_) | None => reference,
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    humantime::parse_duration(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_or_a_digest_is_no_part_of_a_name_and_a_port_is() {
        for reference in
            ["host:5000/a/b", "host:5000/a/b:latest", "host:5000/a/b:1@sha256:00", "host:5000/a/b@sha256:00"]
        {
            assert_eq!(name_in(reference), "host:5000/a/b");
        }
    }

    #[test]
    fn what_a_registry_refuses_is_not_present_either_until_it_is_pulled_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("images.json");
        let images = Images::at(file.clone());
        let write = |refused: bool| {
            std::fs::write(&file, format!(r#"{{"a": {{"command": ["/a"], "refusePull": {refused}}}}}"#))
        };

        write(false).unwrap();
        assert_eq!(images.pull("a:latest").unwrap().as_deref(), Some("a"));
        assert_eq!(images.pull("b").unwrap(), None);
        assert_eq!(images.present().unwrap(), ["a"]);
        write(true).unwrap();
        assert_eq!(images.pull("a").unwrap(), None);
        assert!(images.present().unwrap().is_empty());
    }
}
