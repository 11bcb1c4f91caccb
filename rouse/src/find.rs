//! What a person means by a name: a revision, or an endpoint and with it all of its revisions.

use anyhow::bail;
use api::admin::{Endpoint, EndpointList, Revision};
use api::{Fault, Faults};

use crate::admin::{Server, typed};
use crate::cluster::Way;

/// The flags of every command that asks about a revision.
#[derive(Debug, clap::Args)]
pub(crate) struct About {
    /// A revision, or an endpoint and with it all of its revisions: NAME, or NAMESPACE/NAME
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) asked: Asked,
}

/// Who is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Asked {
    /// Where `rouse up` has its admin port
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8090", conflicts_with = "cluster")]
    admin: String,
    /// Ask the autoscaler that leads in a cluster, as kubectl would find it, through a port-forward
    #[arg(long)]
    cluster: bool,
    #[command(flatten)]
    way: Way,
}

impl Asked {
    /// The admin port.
    ///
    /// # Errors
    /// If it is no URL.
    pub(crate) fn server(&self) -> Result<Server, Faults> {
        if self.cluster {
            return Ok(Server::leader(self.way.clone()));
        }
        let why = "a URL such as http://127.0.0.1:8090";
        Server::parse(&self.admin).ok_or_else(|| Faults(vec![Fault::of_flag("--admin", &self.admin, why)]))
    }
}

impl About {
    /// The revisions that are meant; all of them if no name was given.
    ///
    /// # Errors
    /// If there is none of that name, with the nearest one.
    pub(crate) async fn revisions(&self, server: &Server) -> anyhow::Result<Vec<Revision>> {
        Ok(self.endpoints(server).await?.into_iter().flat_map(|endpoint| endpoint.revisions).collect())
    }

    /// The same with their endpoints, which have no other revisions than those that are meant.
    ///
    /// # Errors
    /// If there is none of that name, with the nearest one.
    pub(crate) async fn endpoints(&self, server: &Server) -> anyhow::Result<Vec<Endpoint>> {
        let endpoints = typed::<EndpointList>(server.get("/api/v1/endpoints").await?)?.endpoints;
        match &self.name {
            None => Ok(endpoints),
            Some(name) => named(endpoints, name).map(|endpoint| vec![endpoint]),
        }
    }
}

fn named(endpoints: Vec<Endpoint>, asked: &str) -> anyhow::Result<Endpoint> {
    let (namespace, name) = asked.split_once('/').unwrap_or(("default", asked));
    let is = |other_namespace: &str, other: &str| other_namespace == namespace && other == name;
    let mut known = Vec::new();
    for mut endpoint in endpoints {
        if endpoint.revisions.iter().any(|revision| is(&revision.namespace, &revision.name)) {
            endpoint.revisions.retain(|revision| is(&revision.namespace, &revision.name));
            return Ok(endpoint);
        }
        if is(&endpoint.namespace, &endpoint.name) {
            return Ok(endpoint);
        }
        known.push(full(&endpoint.namespace, &endpoint.name));
        known.extend(endpoint.revisions.iter().map(|revision| full(&revision.namespace, &revision.name)));
    }
    match api::nearest(asked, known.iter().map(String::as_str)) {
        Some(near) => bail!("there is no revision or endpoint {asked}; the nearest one is {near}"),
        None if known.is_empty() => bail!("there is no revision or endpoint {asked}, nor any other"),
        None => bail!("there is no revision or endpoint {asked}; there are {}", known.join(", ")),
    }
}

/// As it would be asked for.
pub(crate) fn full(namespace: &str, name: &str) -> String {
    if namespace == "default" { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// Where the admin port tells something of a revision.
pub(crate) fn path(revision: &Revision, part: &str) -> String {
    format!("/api/v1/revisions/{}/{}/{part}", revision.namespace, revision.name)
}
