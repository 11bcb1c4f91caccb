//! Images that pods of the tests may name, each a program of this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde_json::{Value, json};

/// A file that the runtime reads whenever a pod names an image.
#[derive(Debug)]
pub struct Images {
    file: PathBuf,
    known: Mutex<BTreeMap<String, Value>>,
}

impl Images {
    /// Our own programs.
    pub(crate) fn of_ours(file: PathBuf, ours: &Path) -> anyhow::Result<Self> {
        let of = |name: &str, command: &[&str]| {
            let program = ours.join(command[0]);
            let command: Vec<&str> = program.to_str().into_iter().chain(command[1..].iter().copied()).collect();
            (format!("rouse.dev/{name}"), json!({ "command": command }))
        };
        let known = [
            of("predictor", &["rouse", "predictor"]),
            of("queue-proxy", &["queue-proxy"]),
            of("activator", &["activator"]),
            of("autoscaler", &["autoscaler"]),
        ];
        let mut known = BTreeMap::from(known);
        // For pods that do what a script says.
        // A model that ends at once when it is told to, whatever it is doing.
        let abrupt = r#"trap 'kill -KILL $!; exit' TERM; "$0" predictor "$@" & wait"#;
        let command = json!({ "command": ["/bin/sh", "-c", abrupt, ours.join("rouse")] });
        known.insert("rouse.dev/abrupt".to_owned(), command);
        known.insert("rouse.dev/shell".to_owned(), json!({ "command": ["/bin/sh"] }));
        let images = Self { file, known: Mutex::new(known) };
        images.write()?;
        Ok(images)
    }

    /// Changes what an image does from the next start on: `startDelay`, `refusePull`, `command` …
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set(&self, image: &str, what: Value) -> anyhow::Result<()> {
        self.known.lock().insert(image.to_owned(), what);
        self.write()
    }

    fn write(&self) -> anyhow::Result<()> {
        let unfinished = self.file.with_extension("unfinished");
        std::fs::write(&unfinished, serde_json::to_vec(&*self.known.lock())?)?;
        Ok(std::fs::rename(&unfinished, &self.file)?)
    }
}
