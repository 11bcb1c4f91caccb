//! Who is believed on the proxied port: with certificates, activators of the authority; without, whoever reaches it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use daemon::{Problem, Problems, Vars};
use forward::tls::{Part, Parties, Pem, PemFiles, ServerTls, TlsFaults};
use tracing::warn;

use crate::metrics::Metrics;

/// How often it is looked whether the files have changed. A volume of a kubelet follows its Secret within a minute or
/// two, so more often would change little.
const LOOK: Duration = Duration::from_secs(5);

/// Certificates for the proxied port, read and found to be in order.
#[derive(Clone, Debug)]
pub struct ProxiedTls {
    files: PemFiles,
    pem: Pem,
}

/// The same, in use.
#[derive(Debug)]
pub(crate) struct Trusted {
    pub(crate) tls: ServerTls,
    of: ProxiedTls,
}

impl ProxiedTls {
    /// Reads the three files. Blocks.
    ///
    /// # Errors
    /// With everything that is wrong with them.
    pub fn read(files: PemFiles) -> Result<Self, TlsFaults> {
        let pem = files.read()?;
        ServerTls::new(Parties::OF_SIDECAR, &pem, |_| {})?;
        Ok(Self { files, pem })
    }

    pub(crate) fn use_them(self, metrics: &Metrics) -> Result<Trusted, TlsFaults> {
        let metrics = metrics.clone();
        let tls = ServerTls::new(Parties::OF_SIDECAR, &self.pem, move |why| metrics.turned_away(why))?;
        Ok(Trusted { tls, of: self })
    }
}

impl Trusted {
    /// Takes what the files say from then on.
    pub(crate) async fn follow(self) -> Infallible {
        let Self { tls, of: ProxiedTls { files, pem } } = self;
        files.follow(pem, LOOK, move |pem| tls.replace(pem)).await
    }
}

/// All three, or none: `Some(None)`. `None` if they are faulty; the faults are noted.
pub(crate) fn proxied_tls(vars: &Vars, problems: &mut Problems) -> Option<Option<ProxiedTls>> {
    let given = [
        (Part::Certificate, path(vars, "PROXIED_TLS_CERT")),
        (Part::Key, path(vars, "PROXIED_TLS_KEY")),
        (Part::Authority, path(vars, "PROXIED_TLS_CA")),
    ];
    let [(_, (_, certificate)), (_, (_, key)), (_, (_, authority))] = given.clone();
    let files = match (certificate, key, authority) {
        (None, None, None) => return Some(None),
        (Some(certificate), Some(key), Some(authority)) => PemFiles { certificate, key, authority },
        _ => {
            for (part, (name, _)) in given.into_iter().filter(|(_, (_, path))| path.is_none()) {
                problems.add(Problem {
                    name: name.to_owned(),
                    value: None,
                    fault: "is not set, and the other PROXIED_TLS_ settings need it".to_owned(),
                    allowed: allowed(part).to_owned(),
                });
            }
            return None;
        }
    };
    let note = |faults: TlsFaults| {
        for fault in faults.0 {
            let (name, path) = given.iter().find(|(part, _)| *part == fault.part).map(|(_, given)| given.clone())?;
            let value = path.map(|path| path.display().to_string());
            problems.add(Problem {
                name: name.to_owned(),
                value,
                fault: fault.fault,
                allowed: allowed(fault.part).to_owned(),
            });
        }
        None
    };
    ProxiedTls::read(files).map(Some).map_or_else(note, Some)
}

fn path(vars: &Vars, name: &'static str) -> (&'static str, Option<PathBuf>) {
    (name, vars.get(name).map(PathBuf::from))
}

fn allowed(part: Part) -> &'static str {
    match part {
        Part::Certificate => {
            "the path of a certificate in PEM, for servers, of that authority, with the DNS name sidecar.rouse"
        }
        Part::Key => "the path of its private key in PEM, not encrypted",
        Part::Authority => "the path of the certificates of Rouse's authority in PEM, one or more",
    }
}

/// Says aloud if anyone who reaches the proxied port is believed.
pub(crate) fn warn_if_open(listen: SocketAddr, guarded: bool) {
    if !guarded && !listen.ip().is_loopback() {
        warn!(
            address = %listen,
            "the port for activators takes plain TCP from other machines: whoever reaches it is believed; \
             set AUTOSCALER_CA and AUTOSCALER_TOKEN, or PROXIED_TLS_CERT, PROXIED_TLS_KEY and PROXIED_TLS_CA, or let it \
             listen on loopback"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(vars: &[(&str, String)]) -> Vec<(String, String)> {
        let mut given = Vars::default();
        vars.iter().for_each(|(name, value)| given.set(name, value));
        let mut problems = Problems::none();
        assert!(proxied_tls(&given, &mut problems).is_none());
        problems.iter().map(|problem| (problem.name.clone(), problem.fault.clone())).collect()
    }

    #[test]
    fn all_three_are_needed_or_none() {
        let mut problems = Problems::none();
        assert!(matches!(proxied_tls(&Vars::default(), &mut problems), Some(None)));
        let names: Vec<String> =
            faults(&[("PROXIED_TLS_KEY", "/tls.key".to_owned())]).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["PROXIED_TLS_CERT", "PROXIED_TLS_CA"]);
    }

    #[test]
    fn each_file_that_is_faulty_is_told_with_its_setting() {
        let (authority, folder) = (certs::Authority::new(), tempfile::tempdir().unwrap());
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let sidecar = authority.sidecar();
        let (certificate, key) = (write("tls.crt", &sidecar.certificate), write("tls.key", &sidecar.key));
        let ca = write("ca.crt", &authority.pem());
        let set = |cert: &str, key: &str, ca: &str| {
            [
                ("PROXIED_TLS_CERT", cert.to_owned()),
                ("PROXIED_TLS_KEY", key.to_owned()),
                ("PROXIED_TLS_CA", ca.to_owned()),
            ]
        };
        let told = faults(&set("/nowhere", &ca, &key));
        assert_eq!(told.len(), 1, "what cannot be read comes first: {told:?}");
        let told = faults(&set(&certificate, &ca, &key));
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PROXIED_TLS_KEY", "PROXIED_TLS_CA"], "{told:?}");
        let activator = write("activator.crt", &authority.activator().certificate);
        assert_eq!(faults(&set(&activator, &key, &ca))[0].0, "PROXIED_TLS_CERT");

        let mut right = Vars::default();
        set(&certificate, &key, &ca).iter().for_each(|(name, value)| right.set(name, value));
        assert!(matches!(proxied_tls(&right, &mut Problems::none()), Some(Some(_))));
    }
}
