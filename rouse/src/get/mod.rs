//! `rouse get`: what is running, and why, as the admin port tells it.
//!
//! Here: the flags and what is asked for. How it is fetched: `admin`; how it looks: `table`.

mod table;

use std::io::Write as _;

use anyhow::bail;
use api::admin::{Endpoint, EndpointList, Revision, Shadow, ShadowList};
use api::{Fault, Faults};
use serde_json::Value;

use crate::admin::{Server, typed};
use crate::find::Asked;

/// Show endpoints or revisions: their state, replicas, demand, and why they have as many replicas as they have; or shadows,
/// and how their answers compare
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// endpoints, revisions, or shadows
    #[arg(default_value = "endpoints")]
    kind: String,
    /// Only this one: NAME, or NAMESPACE/NAME
    name: Option<String>,
    #[command(flatten)]
    asked: Asked,
    /// `json` for everything there is to know, as the admin port says it
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: String,
}

const EXAMPLES: &str = "\
Examples:
  rouse get                                     every endpoint
  rouse get revisions                           every revision, and why it has as many replicas
  rouse get revisions recommender-v1 -o json    everything about one: its settings and who set them, its replicas
  rouse get shadows                             what gets copies of requests, and how its answers compare
  rouse get shadows recommender-v3 -o json      where the last that were not alike differ

Of shadows activators know: on a cluster each of its own copies, at its admin port. Ask them one by one:
  kubectl -n rouse port-forward POD 9090    of each activator
  rouse get shadows --admin 127.0.0.1:9090";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Endpoints,
    Revisions,
    Shadows,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Table,
    Json,
}

/// What is asked for, checked.
#[derive(Debug)]
struct Query {
    kind: Kind,
    /// Namespace and name.
    name: Option<(String, String)>,
    admin: Server,
    format: Format,
}

impl Query {
    fn parse(args: &Args) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let kind = match args.kind.as_str() {
            "endpoints" | "endpoint" | "ep" | "mep" => Kind::Endpoints,
            "revisions" | "revision" | "rev" => Kind::Revisions,
            "shadows" | "shadow" => Kind::Shadows,
            other => {
                faults.push(Fault::of_flag("KIND", other, "endpoints, revisions or shadows"));
                Kind::Endpoints
            }
        };
        let format = match args.output.as_str() {
            "table" => Format::Table,
            "json" => Format::Json,
            other => {
                faults.push(Fault::of_flag("--output", other, "json or table"));
                Format::Table
            }
        };
        let name = args.name.as_ref().map(|name| {
            let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
            (namespace.to_owned(), name.to_owned())
        });
        let in_url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if let Some((namespace, name)) = &name
            && (name.is_empty() || !name.chars().all(in_url) || !namespace.chars().all(in_url))
        {
            faults.push(Fault::of_flag("NAME", format!("{namespace}/{name}"), "NAME or NAMESPACE/NAME"));
        }
        match (args.asked.server(), faults.is_empty()) {
            (Ok(admin), true) => Ok(Self { kind, name, admin, format }),
            (Err(Faults(more)), _) => Err(Faults(faults.into_iter().chain(more).collect())),
            (Ok(_), false) => Err(Faults(faults)),
        }
    }
}

/// Does what the flags say.
///
/// # Errors
/// [`Faults`] if the flags are wrong; [`daemon::Unavailable`] if nothing answers; else if there is no such thing.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let query = Query::parse(args)?;
    let answer = daemon::runtime(1)?.block_on(ask(&query))?;
    let text = match query.format {
        Format::Json => format!("{answer:#}\n"),
        Format::Table => as_table(&query, answer)?,
    };
    // Colours are left out unless this is a terminal that wants them.
    match anstream::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// The JSON of what was asked for: a list, or the one thing.
async fn ask(query: &Query) -> anyhow::Result<Value> {
    if query.kind == Kind::Shadows {
        return ask_of_shadows(query).await;
    }
    let Some((namespace, name)) = &query.name else { return query.admin.get("/api/v1/endpoints").await };
    if query.kind == Kind::Revisions {
        let path = format!("/api/v1/revisions/{namespace}/{name}");
        if let Some(revision) = query.admin.find(&path).await? {
            return Ok(revision);
        }
    }
    let mut list = query.admin.get("/api/v1/endpoints").await?;
    let empty = Vec::new();
    let endpoints = list.get("endpoints").and_then(Value::as_array).unwrap_or(&empty);
    let named = |thing: &Value, key: &str| thing.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let known: Vec<(String, String)> = match query.kind {
        Kind::Endpoints => endpoints.iter().map(|one| (named(one, "namespace"), named(one, "name"))).collect(),
        Kind::Revisions => {
            let lists = endpoints.iter().filter_map(|endpoint| endpoint.get("revisions")?.as_array());
            lists.flatten().map(|one| (named(one, "namespace"), named(one, "name"))).collect()
        }
        Kind::Shadows => Vec::new(),
    };
    match known.iter().position(|(space, known)| space == namespace && known == name) {
        Some(at) if query.kind == Kind::Endpoints => Ok(list["endpoints"][at].take()),
        Some(_) | None => bail!("{}", missing(query.kind, &full(namespace, name), &known)),
    }
}

async fn ask_of_shadows(query: &Query) -> anyhow::Result<Value> {
    let Some(list) = query.admin.find("/api/v1/shadows").await? else {
        bail!(
            "{} knows of no shadows: activators do, each of its own; rouse get --help says how to ask them",
            query.admin.name()
        );
    };
    let Some((namespace, name)) = &query.name else { return Ok(list) };
    let shadows = typed::<ShadowList>(list)?.shadows;
    let known: Vec<(String, String)> = shadows.iter().map(|one| (one.namespace.clone(), one.name.clone())).collect();
    match shadows.into_iter().find(|one| one.namespace == *namespace && one.name == *name) {
        Some(one) => Ok(serde_json::to_value(one)?),
        None => bail!("{}", missing(Kind::Shadows, &full(namespace, name), &known)),
    }
}

fn missing(kind: Kind, name: &str, known: &[(String, String)]) -> String {
    let kind = match kind {
        Kind::Endpoints => "endpoint",
        Kind::Revisions => "revision",
        Kind::Shadows => "shadow",
    };
    let names: Vec<String> = known.iter().map(|(namespace, name)| full(namespace, name)).collect();
    match (api::nearest(name, names.iter().map(String::as_str)), names.is_empty()) {
        (Some(near), _) => format!("there is no {kind} {name}; the nearest one is {near}"),
        (None, false) => format!("there is no {kind} {name}; there are {}", names.join(", ")),
        (None, true) => format!("there is no {kind} {name}, nor any other"),
    }
}

/// As it would be asked for.
fn full(namespace: &str, name: &str) -> String {
    if namespace == "default" { name.to_owned() } else { format!("{namespace}/{name}") }
}

fn as_table(query: &Query, answer: Value) -> anyhow::Result<String> {
    Ok(match (query.kind, &query.name) {
        (Kind::Endpoints, None) => table::endpoints(&typed::<EndpointList>(answer)?.endpoints),
        (Kind::Endpoints, Some(_)) => table::endpoints(&[typed::<Endpoint>(answer)?]),
        (Kind::Revisions, None) => {
            let endpoints = typed::<EndpointList>(answer)?.endpoints;
            let revisions = endpoints.into_iter().flat_map(|endpoint| endpoint.revisions);
            table::revisions(&revisions.collect::<Vec<_>>())
        }
        (Kind::Revisions, Some(_)) => table::revisions(&[typed::<Revision>(answer)?]),
        (Kind::Shadows, None) => table::shadows(&typed::<ShadowList>(answer)?.shadows),
        (Kind::Shadows, Some(_)) => table::shadows(&[typed::<Shadow>(answer)?]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_another_namespace_is_named_with_it() {
        let known = [("shop".to_owned(), "iris-v1".to_owned())];
        let told = missing(Kind::Revisions, "iris-v1", &known);
        assert_eq!(told, "there is no revision iris-v1; there are shop/iris-v1");
    }
}
