//! The command lines of the two programs that run on a cluster: each setting is a flag and a variable of the environment,
//! and the flag wins. Strings only; what they mean is read with every fault at once (`daemon::Problems`).

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Arg, Command};
use daemon::{Exit, Problems, Vars};

use crate::site::Site;

/// A setting.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// The flag, without its dashes.
    pub name: &'static str,
    /// The variable: the same in capitals.
    pub variable: &'static str,
    /// What stands for a value in the help.
    pub value: &'static str,
    /// What it is unless set; `None` for one that is needed, or is worked out.
    pub default: Option<&'static str>,
    /// What it does.
    pub help: &'static str,
}

/// Those of both programs.
pub const FLAGS: [Flag; 8] = [
    Flag {
        name: "pod-namespace",
        variable: "POD_NAMESPACE",
        value: "NAME",
        default: None,
        help: "Namespace of this pod, its Lease and ConfigMap; by the downward API",
    },
    Flag {
        name: "pod-name",
        variable: "POD_NAME",
        value: "NAME",
        default: None,
        help: "Name of this pod; by the downward API",
    },
    Flag {
        name: "pod-uid",
        variable: "POD_UID",
        value: "UID",
        default: None,
        help: "UID of this pod; by the downward API",
    },
    Flag {
        name: "cluster-domain",
        variable: "CLUSTER_DOMAIN",
        value: "DOMAIN",
        default: Some("cluster.local"),
        help: "The cluster's domain: names under it are Services' and nobody's hosts",
    },
    Flag {
        name: "plaintext",
        variable: "PLAINTEXT",
        value: "BOOL",
        default: Some("false"),
        help: "Also speak plain TCP with Rouse's other programs, and believe who does; the same on both",
    },
    Flag {
        name: "admin-listen",
        variable: "ADMIN_LISTEN",
        value: "ADDRESS",
        default: Some("[::]:9090"),
        help: "Where /healthz, /readyz and /metrics are",
    },
    Flag {
        name: "workers",
        variable: "WORKERS",
        value: "N",
        default: None,
        help: "Threads [default: as many as the processors that it may use]",
    },
    Flag {
        name: "log",
        variable: "LOG",
        value: "LEVEL",
        default: Some("info"),
        help: "Which lines are logged: error, warn, info, debug or trace; also by target",
    },
];

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// What a program says of itself.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name.
    pub program: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it is for, in a sentence.
    pub does: &'static str,
    /// What is said after the flags.
    pub after: &'static str,
    /// Flags of its own.
    pub flags: &'static [Flag],
}

/// Of the environment and above it of the command line; with every default.
///
/// # Errors
/// With the exit code, after help, the version or a fault has been printed.
pub fn read(about: &About, arguments: impl IntoIterator<Item = OsString>, mut vars: Vars) -> Result<Vars, ExitCode> {
    let matches = command(about).try_get_matches_from(arguments).map_err(|told| {
        // Help and the version come this way too; only they are written to standard output.
        let end = if told.use_stderr() { Exit::BadInput } else { Exit::Done };
        // If nobody reads it any more there is nobody to tell.
        let _ = told.print();
        ExitCode::from(end)
    })?;
    for flag in all(about) {
        let set = matches.get_one::<String>(flag.variable);
        let default = flag.default.filter(|_| vars.get(flag.variable).is_none());
        if let Some(value) = set.map(String::as_str).or(default) {
            vars.set(flag.variable, value);
        }
    }
    Ok(vars)
}

fn all(about: &About) -> impl Iterator<Item = Flag> {
    about.flags.iter().copied().chain(FLAGS)
}

fn command(about: &About) -> Command {
    let command = Command::new(about.program)
        .version(about.version)
        .about(about.does)
        .after_help(about.after)
        .styles(STYLES)
        .next_line_help(false);
    all(about).fold(command, |command, flag| {
        let default = flag.default.map(|default| format!(" [default: {default}]")).unwrap_or_default();
        // Said and not given to clap: a variable that is set to nothing counts as not set.
        let help = format!("{}{default} [env: {}]", flag.help, flag.variable);
        command.arg(Arg::new(flag.variable).long(flag.name).value_name(flag.value).help(help).allow_hyphen_values(true))
    })
}

/// Reads where Rouse stands, of what both programs agree on. The ports are the usual ones.
pub fn site(vars: &Vars, problems: &mut Problems) -> Option<Site> {
    let named = |value: &str| Ok::<_, std::convert::Infallible>(value.into());
    let of_pod = "what the downward API gives (fieldRef: metadata.namespace, metadata.name, metadata.uid)";
    let namespace = problems.needed(vars, "POD_NAMESPACE", of_pod, named);
    let pod_name = problems.needed(vars, "POD_NAME", of_pod, named);
    let pod_uid = problems.needed(vars, "POD_UID", of_pod, named);
    let domain = problems.or_default(
        vars,
        "CLUSTER_DOMAIN",
        "cluster.local".into(),
        "a domain such as cluster.local",
        |value| {
            let fits = |label: &str| {
                !label.is_empty()
                    && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            };
            let domain = value.trim_end_matches('.');
            if domain.split('.').all(fits) { Ok(domain.into()) } else { Err("is not a domain") }
        },
    );
    let plaintext = problems.or_default(vars, "PLAINTEXT", false, "true or false", str::parse);
    Some(Site {
        namespace: namespace?,
        pod_name: pod_name?,
        pod_uid: pod_uid?,
        cluster_domain: domain?,
        own_ports: Site::OWN_PORTS,
        shared_port: Site::SHARED_PORT,
        streams_port: Site::STREAMS_PORT,
        plaintext: plaintext?,
    })
}

/// A port that somebody listens on.
///
/// # Errors
/// If it is none.
pub fn port(value: &str) -> Result<u16, &'static str> {
    value.parse().ok().filter(|port| 0 < *port).ok_or("is not a port")
}

/// Reads `WORKERS`.
pub fn workers(vars: &Vars, problems: &mut Problems, default: usize) -> Option<usize> {
    problems.or_default(vars, "WORKERS", default, "1 to 256", |value| {
        value.parse().ok().filter(|workers| (1..=256).contains(workers)).ok_or("is not such a number")
    })
}

/// A range of ports, `20000-29999`.
///
/// # Errors
/// If it is none, is empty, or has ports that need a privilege.
pub fn ports(value: &str) -> Result<RangeInclusive<u16>, &'static str> {
    let (first, last) = value.split_once('-').ok_or("is not two ports with a dash between them")?;
    let port = |text: &str| text.trim().parse::<u16>().map_err(|_| "has something that is not a port");
    match (port(first)?, port(last)?) {
        (first, _) if first < 1024 => Err("begins below 1024, where ports need a privilege"),
        (first, last) if last < first => Err("ends before it begins"),
        (first, last) => Ok(first..=last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About = About {
        program: "activator",
        version: "1.2.3",
        does: "Does.",
        after: "",
        flags: &[Flag {
            name: "listen",
            variable: "LISTEN",
            value: "ADDRESS",
            default: Some("[::]:8080"),
            help: "Where.",
        }],
    };

    fn read_all(arguments: &[&str], vars: Vars) -> Vars {
        let arguments = ["activator"].iter().chain(arguments).map(OsString::from);
        read(&ABOUT, arguments, vars).unwrap()
    }

    #[test]
    fn a_flag_wins_over_its_variable_and_that_over_the_default() {
        let listen = |arguments: &[&str], vars| read_all(arguments, vars).get("LISTEN").map(str::to_owned);
        assert_eq!(listen(&[], Vars::default()).as_deref(), Some("[::]:8080"));
        assert_eq!(listen(&[], Vars::from([("LISTEN", "a")])).as_deref(), Some("a"));
        assert_eq!(listen(&[], Vars::from([("LISTEN", "")])).as_deref(), Some("[::]:8080"));
        assert_eq!(listen(&["--listen", "b"], Vars::from([("LISTEN", "a")])).as_deref(), Some("b"));
    }

    #[test]
    fn every_flag_is_in_the_help_with_its_variable_and_its_default() {
        let help = command(&ABOUT).render_help().to_string();
        for flag in all(&ABOUT) {
            assert!(help.contains(&format!("[env: {}]", flag.variable)), "{help}");
            assert_eq!(flag.name, flag.variable.to_lowercase().replace('_', "-"));
            assert!(flag.default.is_none_or(|default| help.contains(&format!("[default: {default}]"))), "{help}");
        }
    }

    #[test]
    fn where_it_stands_is_needed_and_all_that_lacks_is_told_at_once() {
        let mut problems = Problems::none();
        assert!(site(&Vars::from([("POD_NAME", "a"), ("CLUSTER_DOMAIN", "Cluster..local")]), &mut problems).is_none());
        let names: Vec<&str> = problems.iter().map(|problem| problem.name.as_str()).collect();
        assert_eq!(names, ["POD_NAMESPACE", "POD_UID", "CLUSTER_DOMAIN"]);
    }

    #[test]
    fn a_range_of_ports_has_two_ends_in_order_and_needs_no_privilege() {
        assert_eq!(ports("20000-29999"), Ok(Site::OWN_PORTS));
        assert_eq!(ports("3000-3000"), Ok(3000..=3000));
        for bad in ["20000", "80-90", "3000-2000", "3000-x", "1-70000", ""] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }
}
