//! `$(NAME)` in commands, arguments and environment, as Kubernetes expands it.

use std::collections::BTreeMap;

use super::Container;

/// What a replica runs, with everything expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The program: a path, or a name to be looked up on `PATH`.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What is added to the environment, `PORT` first. A later one of the same name wins.
    pub env: Vec<(String, String)>,
}

impl Container {
    /// What a replica runs that is to listen on `port`. A `PORT` in the file gives way to the replica's own.
    pub fn invocation(&self, port: u16) -> Invocation {
        let mut env = vec![("PORT".to_owned(), port.to_string())];
        let mut known = BTreeMap::from([("PORT".to_owned(), port.to_string())]);
        for variable in self.env.iter().filter(|variable| variable.name != "PORT") {
            let value = expand(&variable.value, &known);
            known.insert(variable.name.clone(), value.clone());
            env.push((variable.name.clone(), value));
        }
        let mut words = self.command.iter().chain(&self.args).map(|word| expand(word, &known));
        Invocation { program: words.next().unwrap_or_default(), args: words.collect(), env }
    }
}

/// Replaces each `$(NAME)` that is known; others stay as they are. `$$` stands for one `$`, so that `$$(NAME)` comes
/// out as `$(NAME)`.
pub fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        let reference = after.strip_prefix('(').and_then(|inside| inside.split_once(')'));
        rest = match reference {
            Some((name, behind)) => {
                match known.get(name) {
                    Some(value) => out.push_str(value),
                    None => {
                        out.push_str("$(");
                        out.push_str(name);
                        out.push(')');
                    }
                }
                behind
            }
            None => {
                out.push('$');
                after.strip_prefix('$').unwrap_or(after)
            }
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use units::RevisionKey;

    use super::*;
    use crate::deployment::{Deployment, EnvVar};

    fn with(known: &[(&str, &str)], text: &str) -> String {
        let known = known.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        expand(text, &known)
    }

    #[test]
    fn known_names_are_replaced_and_unknown_ones_stay() {
        assert_eq!(with(&[("A", "1")], "x$(A)y$(B)z"), "x1y$(B)z");
        assert_eq!(with(&[("A", "$(A)")], "$(A)"), "$(A)");
    }

    #[test]
    fn two_dollars_stand_for_one() {
        assert_eq!(with(&[("A", "1")], "$$(A) $$$(A) $$ $"), "$(A) $1 $ $");
    }

    #[test]
    fn what_is_not_a_reference_stays() {
        assert_eq!(with(&[("A", "1")], "$A ${A} $( $(A"), "$A ${A} $( $(A");
    }

    #[test]
    fn a_replica_gets_its_own_port_in_place_of_the_files() {
        let mut workload = Deployment::new(
            RevisionKey::new("default", "m"),
            ["serve", "--port", "$(PORT)", "$(URL)"].map(str::to_owned).to_vec(),
        );
        workload.container.env = [("URL", "http://localhost:$(PORT)/$(LATER)"), ("PORT", "8080"), ("LATER", "x")]
            .map(|(name, value)| EnvVar { name: name.to_owned(), value: value.to_owned() })
            .to_vec();
        let run = workload.container.invocation(41_233);
        assert_eq!(run.program, "serve");
        assert_eq!(run.args, ["--port", "41233", "http://localhost:41233/$(LATER)"]);
        let env: Vec<String> = run.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["PORT=41233", "URL=http://localhost:41233/$(LATER)", "LATER=x"]);
    }
}
