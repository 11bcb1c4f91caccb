//! Reference pages that are made from the code: what a program knows of itself is written down by the program.
//!
//! `make docs` writes them; the tests fail while a page says something else than the code.

mod metrics;
mod settings;
mod table;

use std::path::{Path, PathBuf};

pub use metrics::metrics;
pub use settings::settings;

/// A page that is made: its place under `docs/`, and its text.
#[derive(Clone, Debug)]
pub struct Page {
    /// Under `docs/`.
    pub name: &'static str,
    /// Markdown.
    pub text: String,
}

/// All of them.
///
/// # Errors
/// If a program's metrics contradict each other.
pub fn pages() -> prometheus::Result<Vec<Page>> {
    Ok(vec![Page { name: "settings.md", text: settings() }, Page { name: "metrics.md", text: metrics()? }])
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
