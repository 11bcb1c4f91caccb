//! `rouse inject`: the sidecar into files, for who keeps what is deployed in git, or runs Rouse without its webhook.

#[cfg(feature = "cluster")]
mod stream;

use std::path::PathBuf;

/// Put the sidecar into the pods of a YAML stream, as the webhook does when they are made
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// YAML or JSON with any number of documents; - is standard input
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Also pods without the label rouse.dev/inject; never those where it says something else than "true"
    #[arg(long)]
    all: bool,
    /// The image of queue-proxy
    #[arg(long, value_name = "IMAGE", default_value = IMAGE)]
    image: String,
    /// The namespace that Rouse is installed in
    #[arg(long, value_name = "NAMESPACE", default_value = "rouse")]
    rouse_namespace: String,
    /// The cluster's domain
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    cluster_domain: String,
    /// Whom the sidecar believes to be an autoscaler, PEM (ca.crt of ConfigMap rouse-trust); without it, plain TCP
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// What the kubelet brings to ask whether requests have drained, 16 characters or more; a new one if it is not said
    #[arg(long, value_name = "TOKEN", env = "ROUSE_INJECT_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// As `deploy/base` has it.
const IMAGE: &str = concat!("rouse.dev/queue-proxy:", env!("CARGO_PKG_VERSION"));

const EXAMPLES: &str = "\
Examples:
  kustomize build . | rouse inject -f - | kubectl apply -f -
  rouse inject -f model.yaml --image registry.example.com/rouse/queue-proxy:0.1.0 > injected.yaml
  ROUSE_INJECT_TOKEN=$(openssl rand -hex 16) rouse inject -f model.yaml --all

Pods ask for the sidecar by a label of theirs, rouse.dev/inject: \"true\": in a Deployment that is
spec.template.metadata.labels. Deployments, ReplicaSets, StatefulSets, Pods and Lists of them are looked at; every other
document passes unchanged, to the byte. Of a document that is changed the comments within are lost. What was done and
what was left alone, with the reason, is said on standard error. Injecting twice changes nothing more.

A sidecar has to know whom to believe, but where Rouse has PLAINTEXT=true:
  kubectl -n rouse get configmap rouse-trust -o jsonpath='{.data.ca\\.crt}' > ca.crt
  rouse inject -f model.yaml --ca ca.crt

The token stands in the pod, in the sidecar and in the hooks of the other containers. The webhook makes a new one for each
pod; in a template it is shared by all of its pods. Without --token each run makes another one, so that applying what it
wrote starts all pods anew: give one, and keep it as long as the template.

Annotations of the pod: rouse.dev/port (the model's, a number or a name), rouse.dev/request-timeout (such as 90s),
rouse.dev/container-concurrency.";

/// Does what the flags say.
///
/// # Errors
/// With every document that cannot be read.
#[cfg(feature = "cluster")]
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    use std::io::Write as _;

    let (mut out, mut faults, mut template) = (String::new(), Vec::new(), false);
    let token = match &args.token {
        Some(token) => {
            if let Err(why) = daemon::Token::new(token) {
                faults.push(api::Fault::of_flag("--token", "", format!("{why}; openssl rand -hex 16 makes one")));
            }
            token.clone()
        }
        None => kubernetes::new_token()?,
    };
    let domain = &args.cluster_domain;
    let mut sidecar =
        kubernetes::Sidecar::of(&args.image, &args.rouse_namespace, domain, kubernetes::Site::STREAMS_PORT);
    if let Some(file) = &args.ca {
        match believed(file) {
            Ok(authorities) => sidecar.authorities = Some(authorities.into()),
            Err(why) => faults.push(api::Fault::of_flag("--ca", file.display().to_string(), why)),
        }
    }
    for file in &args.files {
        let name = file.display().to_string();
        match read(file) {
            Ok(text) => {
                let told = inject_text(&text, args.all, &sidecar, &token, &mut out);
                for told in told {
                    match told {
                        Told::Said(line, of_template) => {
                            template |= of_template;
                            eprintln!("{line}");
                        }
                        Told::Fault(index, why) => {
                            faults.push(api::Fault::of_flag(format!("{name}, document {index}"), "", why));
                        }
                    }
                }
            }
            Err(error) => {
                faults.push(api::Fault::of_flag("--file", name, format!("a file that can be read: {error}")));
            }
        }
    }
    // Half of a stream would be applied by whoever reads it.
    api::Faults(faults).into_result()?;
    if template && args.token.is_none() {
        eprintln!("mind: the token is a new one with each run, which starts all pods anew; --token keeps it");
    }
    match std::io::stdout().write_all(out.as_bytes()) {
        // Whoever reads has had enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Says that it cannot.
#[cfg(not(feature = "cluster"))]
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let Args { files: _, all: _, image: _, rouse_namespace: _, cluster_domain: _, ca: _, token: _ } = args;
    Err(crate::cluster::built_without())
}

/// What `--ca` names. A sidecar that cannot read it does not start, and nothing of its pod does.
#[cfg(feature = "cluster")]
fn believed(file: &std::path::Path) -> Result<String, String> {
    let text = read(file).map_err(|error| format!("a file that can be read: {error}"))?;
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(text)
    } else {
        Err("certificates as PEM; there are none".to_owned())
    }
}

#[cfg(feature = "cluster")]
fn read(file: &std::path::Path) -> std::io::Result<String> {
    if file.as_os_str() == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) }
}

/// Of a document.
#[cfg(feature = "cluster")]
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// A line for a person, and whether a template was changed.
    Said(String, bool),
    /// The document of this number, from 1, cannot be read: why.
    Fault(usize, String),
}

/// A text to the end of `out`, injected.
#[cfg(feature = "cluster")]
fn inject_text(text: &str, all: bool, sidecar: &kubernetes::Sidecar, token: &str, out: &mut String) -> Vec<Told> {
    let mut told = Vec::new();
    if !out.is_empty() && !text.starts_with("---") {
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str("---\n");
    }
    for (index, document) in stream::documents(text).into_iter().enumerate() {
        let mut value = match stream::read(document) {
            Ok(Some(value)) => value,
            Ok(None) => {
                out.push_str(document);
                continue;
            }
            Err(why) => {
                told.push(Told::Fault(index + 1, why));
                continue;
            }
        };
        let changed = kubernetes::inject_workload(&mut value, all, sidecar, token);
        let is_injected =
            |changed: &kubernetes::Changed| matches!(changed.outcome, Some(kubernetes::Outcome::Injected { .. }));
        if changed.iter().any(is_injected) {
            match stream::write(document, &value) {
                Ok(written) => out.push_str(&written),
                Err(why) => told.push(Told::Fault(index + 1, why)),
            }
        } else {
            out.push_str(document);
        }
        for of in &changed {
            let of_template = is_injected(of) && !of.name.starts_with("Pod ");
            told.extend(lines(of).into_iter().map(|line| Told::Said(line, of_template)));
        }
    }
    told
}

/// What is said of one object.
#[cfg(feature = "cluster")]
fn lines(changed: &kubernetes::Changed) -> Vec<String> {
    use kubernetes::Outcome;

    let name = &changed.name;
    match &changed.outcome {
        None => vec![format!(
            "{name}: as it was: its pods do not have the label rouse.dev/inject: \"true\" (--all takes those without too)"
        )],
        Some(Outcome::AlreadyThere) => vec![format!("{name}: as it was: it has a queue-proxy")],
        Some(Outcome::LeftAlone(why)) => vec![format!("{name}: left alone: {}", why.join("; "))],
        Some(Outcome::Injected { done, mind }) => {
            let done = std::iter::once("injected").chain(done.iter().map(String::as_str)).collect::<Vec<_>>();
            let mind = mind.iter().map(|mind| format!("{name}: mind: {mind}"));
            std::iter::once(format!("{name}: {}", done.join("; "))).chain(mind).collect()
        }
    }
}

#[cfg(all(test, feature = "cluster"))]
mod tests {
    use super::*;

    const MODEL: &str = "\
# a model
apiVersion: apps/v1
kind: Deployment
metadata: { name: recommender-v1, namespace: shop }
spec:
  template:
    metadata: { labels: { rouse.dev/inject: \"true\" } }
    spec: { containers: [ { name: model, ports: [ { containerPort: 8080 } ] } ] }
";
    const WORDS: &str = "---\nkind:   ConfigMap   # as it is\napiVersion: v1\ndata: { a: 0644, b: on }\n";

    fn injected(text: &str) -> (String, Vec<Told>) {
        let sidecar = kubernetes::Sidecar::of("queue-proxy:1", "rouse", "cluster.local", 8081);
        let mut out = String::new();
        let told = inject_text(text, false, &sidecar, "0123456789abcdef", &mut out);
        (out, told)
    }

    #[test]
    fn what_asks_for_it_is_injected_and_the_rest_passes_to_the_byte() {
        let (out, told) = injected(&format!("{MODEL}{WORDS}"));
        assert!(out.starts_with("# a model\napiVersion: apps/v1\n") && out.ends_with(WORDS), "{out}");
        let model = stream::read(&out[..out.len() - WORDS.len()]).unwrap().unwrap();
        let spec = &model["spec"]["template"]["spec"];
        assert_eq!(spec["initContainers"][0]["image"], "queue-proxy:1");
        assert_eq!(spec["initContainers"][0]["restartPolicy"], "Always");
        let line = "Deployment shop/recommender-v1: injected; the grace is 315 s in place of 30 s";
        assert_eq!(told, [Told::Said(line.to_owned(), true)]);
    }

    #[test]
    fn injected_again_it_is_the_same_to_the_byte() {
        let (once, _) = injected(&format!("{MODEL}{WORDS}"));
        let (twice, told) = injected(&once);
        assert_eq!(once, twice);
        let line = "Deployment shop/recommender-v1: as it was: it has a queue-proxy";
        assert_eq!(told, [Told::Said(line.to_owned(), false)]);
    }

    #[test]
    fn each_document_that_is_no_yaml_is_told_by_its_number() {
        let (_, told) = injected("a: 1\n---\n{\n---\nb: [\n");
        let faults: Vec<usize> =
            told.iter().filter_map(|told| if let Told::Fault(index, _) = told { Some(*index) } else { None }).collect();
        assert_eq!(faults, [2, 3]);
    }
}
