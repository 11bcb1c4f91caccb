//! Files that are made from the code: what a program knows of itself is written down by the program. Reference pages
//! (`make docs`), and the CustomResourceDefinition (`make crds`).
//!
//! The tests fail while a file says something else than the code.

mod metrics;
mod settings;
mod table;

use std::path::{Path, PathBuf};

pub use metrics::metrics;
pub use settings::settings;

/// A file that is made: its place in the workspace, and its text.
#[derive(Clone, Debug)]
pub struct Made {
    /// Under the root of the workspace.
    pub path: &'static str,
    /// Markdown or YAML.
    pub text: String,
}

/// All reference pages.
///
/// # Errors
/// If a program's metrics contradict each other.
pub fn pages() -> anyhow::Result<Vec<Made>> {
    Ok(vec![Made { path: "docs/settings.md", text: settings() }, Made { path: "docs/metrics.md", text: metrics()? }])
}

/// All that is applied to a cluster.
///
/// # Errors
/// If the YAML library refuses.
pub fn crds() -> anyhow::Result<Vec<Made>> {
    Ok(vec![Made { path: "deploy/crds/modelendpoints.yaml", text: api::crd_yaml()? }])
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
