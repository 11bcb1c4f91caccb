//! The short form: one command, and the documents that it stands for.

use std::path::Path;

use api::{Autoscaling, Deployment, Documents, Fault, Faults, Knob, ModelEndpoint, Placed, Reading};
use units::{ConcurrencyLimit, EndpointKey, RevisionKey};

/// Replicas of a model fill a machine quickly; who has a large one says so.
const MAX_REPLICAS: u32 = 4;

/// The flags of the short form, unparsed: their faults are told together with all others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// `--max`.
    pub(crate) max: Option<String>,
    /// `--concurrency`.
    pub(crate) concurrency: Option<String>,
    /// `--name`.
    pub(crate) name: Option<String>,
}

impl Flags {
    /// With files none of them has a meaning.
    pub(crate) fn refuse_beside_files(&self, faults: &mut Vec<Fault>) {
        if !self.command.is_empty() {
            let why = "either files or a command; put the command into a Deployment in the file";
            faults.push(Fault::of_flag("COMMAND", self.command.join(" "), why));
        }
        for (flag, value, field) in [
            ("--max", &self.max, "spec.autoscaling.maxReplicas"),
            ("--concurrency", &self.concurrency, "spec.containerConcurrency"),
            ("--name", &self.name, "metadata.name"),
        ] {
            if let Some(value) = value {
                faults.push(Fault::of_flag(flag, value, format!("only with a command; with files say {field}")));
            }
        }
    }
}

/// The documents that the flags stand for.
pub(crate) fn read(flags: &Flags) -> Reading {
    let mut faults = Vec::new();
    let mut warnings = Vec::new();
    if flags.command.first().is_none_or(String::is_empty) {
        let why = "files with -f, or a command after `--`, as in: rouse up -- python serve.py --port '$(PORT)'";
        faults.push(Fault::of_flag("COMMAND", "missing", why));
    } else if !flags.command.iter().any(|word| word.contains("$(PORT)")) {
        let why = "no $(PORT) in it, so the server has to read PORT from its environment; \
                   in a shell put it in single quotes: '$(PORT)'";
        warnings.push(Fault::of_flag("COMMAND", flags.command.join(" "), why));
    }
    let max = number("--max", flags.max.as_deref(), MAX_REPLICAS, 1..=10_000, &mut faults);
    let concurrency = number("--concurrency", flags.concurrency.as_deref(), 0, 0..=100_000, &mut faults);
    let name = match &flags.name {
        Some(name) if is_name(name) => name.clone(),
        Some(name) => {
            let why = "lower-case letters, digits and `-`, beginning with a letter, at most 60";
            faults.push(Fault::of_flag("--name", name, why));
            "model".to_owned()
        }
        None => name_of(&flags.command),
    };
    let revision = format!("{name}-v1");
    let mut endpoint = ModelEndpoint::new(EndpointKey::new("default", name), &revision);
    endpoint.container_concurrency = ConcurrencyLimit::from_field(concurrency);
    // A limit of 0 is none, and is not written.
    endpoint.said.container_concurrency = concurrency != 0;
    endpoint.autoscaling = Autoscaling([(Knob::MaxReplicas, max.to_string())].into());
    let workload = Deployment::new(RevisionKey::new("default", revision), flags.command.clone());
    let documents =
        Documents { endpoints: vec![Placed::made(endpoint)], deployments: vec![Placed::made(workload)], config: None };
    Reading { documents, faults: Faults(faults), warnings }
}

fn number(
    flag: &str,
    given: Option<&str>,
    default: u32,
    bounds: std::ops::RangeInclusive<u32>,
    faults: &mut Vec<Fault>,
) -> u32 {
    let Some(text) = given else { return default };
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    number.unwrap_or_else(|| {
        let why = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        faults.push(Fault::of_flag(flag, text, why));
        default
    })
}

/// The revision's `-v1` has to fit into a DNS label too.
fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=60).contains(&name.len())
        && name.bytes().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
}

/// What a person would call it: the script where an interpreter runs one, `rouse`'s subcommand, else the program.
fn name_of(command: &[String]) -> String {
    let stem = |word: &str| {
        let file = Path::new(word).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        file.split('.').next().unwrap_or_default().to_lowercase()
    };
    let program = command.first().map_or_else(String::new, |word| stem(word));
    let interprets =
        ["python", "pypy", "node", "deno", "bun", "ruby", "java", "sh", "bash", "zsh", "uv", "uvx", "rouse"];
    let plain = program.trim_end_matches(|c: char| c.is_ascii_digit());
    let mut words = vec![program.clone()];
    if interprets.contains(&plain) {
        // The first argument that is a word and not an option; `run` as in `uv run serve.py` says nothing.
        let argument =
            command.iter().skip(1).find(|word| !word.starts_with('-') && !word.contains("$(") && *word != "run");
        words.splice(0..0, argument.map(|word| stem(word)));
    }
    let dns = |word: &String| {
        let kept: String = word.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(60).collect();
        let kept = kept.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('-').to_owned();
        is_name(&kept).then_some(kept)
    };
    words.iter().find_map(dns).unwrap_or_else(|| "model".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn an_endpoint_is_called_what_a_person_would_call_it() {
        for (command, name) in [
            ("python3.11 -u examples/serve.py --port $(PORT)", "serve"),
            ("./my_Server.bin $(PORT)", "my-server"),
            ("rouse predictor --port $(PORT)", "predictor"),
            ("uv run serve.py", "serve"),
            ("/opt/llama.cpp/llama-server", "llama-server"),
            ("python -m http.server $(PORT)", "http"),
            ("python $(SCRIPT)", "python"),
            ("漢字", "model"),
            ("42", "model"),
        ] {
            assert_eq!(name_of(&words(command)), name, "{command}");
        }
    }

    #[test]
    fn the_documents_read_back_without_a_fault() {
        let flags = Flags {
            command: words("python serve.py --port $(PORT)"),
            max: Some("3".to_owned()),
            concurrency: Some("2".to_owned()),
            name: Some("iris".to_owned()),
        };
        let reading = read(&flags);
        assert!(reading.faults.0.is_empty() && reading.warnings.is_empty(), "{reading:?}");
        let text = api::to_yaml(&reading.documents).unwrap();
        let again = api::read(&[("printed.yaml", text)]);
        assert_eq!((again.faults.to_string(), again.documents), (String::new(), reading.documents));
    }

    #[test]
    fn every_fault_of_the_flags_is_told() {
        let flags = Flags {
            command: Vec::new(),
            max: Some("0".to_owned()),
            concurrency: Some("-1".to_owned()),
            name: Some("Iris".to_owned()),
        };
        let faults = read(&flags).faults;
        let flags: Vec<&str> = faults.0.iter().map(|fault| fault.path.as_str()).collect();
        assert_eq!(flags, ["COMMAND", "--max", "--concurrency", "--name"]);
    }

    #[test]
    fn a_command_without_a_port_is_told_about_quotes() {
        let reading = read(&Flags { command: words("python serve.py --port"), ..Flags::default() });
        assert!(reading.warnings[0].to_string().contains("single quotes"), "{:?}", reading.warnings);
    }
}
