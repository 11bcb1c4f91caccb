//! The way to a cluster: which one, and where Rouse is in it.
//!
//! Whoever builds without the feature `cluster` has the flags all the same, and is told what to do about it.

#[cfg(feature = "cluster")]
mod leader;
#[cfg(feature = "cluster")]
pub(crate) use leader::Cached;

/// Which cluster, and where Rouse is in it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Way {
    /// Which cluster of the kubeconfig; its current one if it is not said
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The namespace that Rouse is installed in
    #[arg(long, value_name = "NAMESPACE", default_value = "rouse")]
    rouse_namespace: String,
    #[cfg(feature = "cluster")]
    #[arg(skip)]
    found: Cached,
}

impl Way {
    /// For people.
    pub(crate) fn name(&self) -> String {
        let context = self.context.as_ref().map_or_else(String::new, |context| format!(" of {context}"));
        format!("the autoscaler that leads in namespace {}{context}", self.rouse_namespace)
    }

    /// The namespace that Rouse is installed in.
    #[cfg(feature = "cluster")]
    pub(crate) fn namespace(&self) -> &str {
        &self.rouse_namespace
    }

    /// A connection to the admin port of whoever leads.
    #[cfg(not(feature = "cluster"))]
    pub(crate) async fn connect(&self) -> anyhow::Result<Box<dyn crate::admin::Stream>> {
        Err(built_without())
    }
}

/// What whoever built without the feature is told.
#[cfg(not(feature = "cluster"))]
pub(crate) fn built_without() -> anyhow::Error {
    let what = "this program was built without what it needs for a cluster";
    daemon::Unavailable(format!("{what}; build it with: cargo build --release -p rouse --features cluster")).into()
}
