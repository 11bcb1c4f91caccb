//! How a sidecar proves to autoscalers who it is, and what they give it for that: whom to believe from then on, and a
//! certificate to show to activators.
//!
//! Its key it makes itself, and gives to nobody: it ends with the process. Only its public part goes to an autoscaler.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use daemon::tls::{self, Client, Io, Proving};
use daemon::{Problem, Problems, Vars};
use forward::tls::{OwnKey, Parties, ServerTls};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::metrics::Metrics;

/// Settings for it.
#[derive(Clone, Debug)]
pub struct AutoscalerTrust {
    /// Whom it believes to be an autoscaler, PEM, until one says who else.
    pub authorities: String,
    /// The file of its ServiceAccount token.
    pub token: PathBuf,
}

/// The first stream takes a second or two.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// The same, in use.
#[derive(Debug)]
pub(crate) struct Proven {
    proving: Proving,
    /// The port for activators, where its certificates are from an autoscaler.
    port: Option<(ServerTls, OwnKey)>,
    /// Of what was taken last.
    generation: Mutex<u64>,
}

impl Proven {
    /// `certified`: whether the certificate for activators is to come from an autoscaler.
    pub(crate) fn new(trust: AutoscalerTrust, certified: bool, metrics: &Metrics) -> anyhow::Result<Self> {
        let client = Client::default();
        client.believe(trust.authorities.as_bytes())?;
        let port = if certified {
            let metrics = metrics.clone();
            let waiting = ServerTls::waiting(Parties::OF_SIDECAR, move |why| metrics.turned_away(why));
            Some((waiting, OwnKey::generate()?))
        } else {
            None
        };
        Ok(Self { proving: Proving { client, token: trust.token }, port, generation: Mutex::default() })
    }

    /// What the port for activators is guarded by.
    pub(crate) fn guard(&self) -> Option<&ServerTls> {
        self.port.as_ref().map(|(tls, _)| tls)
    }

    /// Says so from time to time until there is a certificate, for who wonders why activators wait.
    pub(crate) async fn tell_while_waiting(&self) {
        let begun = Instant::now();
        let mut pause = FIRST_PATIENCE;
        loop {
            sleep(pause).await;
            if self.port.is_none() || *self.generation.lock() != 0 {
                return;
            }
            warn!(
                after = ?begun.elapsed(),
                "no autoscaler has given a certificate yet, so activators have to wait; direct requests are served"
            );
            pause = PATIENCE;
        }
    }

    /// A stream to an autoscaler that is one, and what to prove oneself with on it.
    pub(crate) async fn open(&self, address: SocketAddr, limit: Duration) -> io::Result<(Io, wire::Proof)> {
        let (stream, token) = tls::open(address, limit, Some(&self.proving)).await?;
        let public_key = self.port.as_ref().map(|(_, key)| key.public().to_vec()).unwrap_or_default();
        Ok((stream, wire::Proof { token: token.unwrap_or_default(), public_key }))
    }

    /// An autoscaler says whom to believe, and what to show. What cannot be used changes nothing.
    pub(crate) fn take(&self, trust: &wire::Trust) {
        let mut generation = self.generation.lock();
        if trust.generation < *generation {
            return;
        }
        let is_new = std::mem::replace(&mut *generation, trust.generation) != trust.generation;
        if let Err(error) = self.proving.client.believe(trust.authorities.as_bytes()) {
            warn!(%error, "an autoscaler names authorities that cannot be believed; the old ones stay");
        }
        if let Some((tls, key)) = self.port.as_ref().filter(|_| !trust.certificate.is_empty())
            && let Err(error) = tls.replace(&key.certified(&trust.certificate, &trust.authorities))
        {
            warn!(%error, "a certificate from an autoscaler is refused, the old one stays");
        }
        if is_new {
            info!(generation = trust.generation, "took new authorities, and a certificate of them");
        }
    }
}

/// Both, or none: `Some(None)`. `None` if they are faulty; the faults are noted.
pub(crate) fn autoscaler_trust(vars: &Vars, problems: &mut Problems) -> Option<Option<AutoscalerTrust>> {
    let (authorities, token) = (vars.get("AUTOSCALER_CA"), vars.get("AUTOSCALER_TOKEN"));
    let mut fault = |name: &str, fault: &str, allowed: &str| {
        let (name, fault, allowed) = (name.to_owned(), fault.to_owned(), allowed.to_owned());
        problems.add(Problem { name, value: None, fault, allowed });
        None
    };
    let certificates = "the certificates of Rouse's authority as PEM text, as ca.crt of ConfigMap rouse-trust has them";
    let file = "the path of a projected ServiceAccount token for the audience rouse";
    match (authorities, token) {
        (None, None) => Some(None),
        (Some(_), None) => fault("AUTOSCALER_TOKEN", "is not set, and AUTOSCALER_CA needs it", file),
        (None, Some(_)) => fault("AUTOSCALER_CA", "is not set, and AUTOSCALER_TOKEN needs it", certificates),
        (Some(authorities), Some(token)) => match Client::default().believe(authorities.as_bytes()) {
            Ok(()) => Some(Some(AutoscalerTrust { authorities: authorities.to_owned(), token: token.into() })),
            Err(error) => fault("AUTOSCALER_CA", &format!("cannot be used: {error:#}"), certificates),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(vars: &[(&str, &str)]) -> Vec<String> {
        let mut given = Vars::default();
        vars.iter().for_each(|(name, value)| given.set(name, value));
        let mut problems = Problems::none();
        let trust = autoscaler_trust(&given, &mut problems);
        let names: Vec<String> = problems.iter().map(|problem| problem.name.clone()).collect();
        assert_eq!(trust.is_none(), !names.is_empty());
        names
    }

    #[test]
    fn both_settings_are_needed_or_none_and_the_text_is_looked_at() {
        let pem = certs::Authority::new().pem();
        assert_eq!(named(&[]), [""; 0]);
        assert_eq!(named(&[("AUTOSCALER_CA", &pem)]), ["AUTOSCALER_TOKEN"]);
        assert_eq!(named(&[("AUTOSCALER_TOKEN", "/token")]), ["AUTOSCALER_CA"]);
        assert_eq!(named(&[("AUTOSCALER_CA", "/a/path"), ("AUTOSCALER_TOKEN", "/token")]), ["AUTOSCALER_CA"]);
        assert_eq!(named(&[("AUTOSCALER_CA", &pem), ("AUTOSCALER_TOKEN", "/token")]), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_said_until_there_is_a_certificate_and_not_any_more() {
        let authorities = certs::Authority::new().pem();
        let trust = AutoscalerTrust { authorities: authorities.clone(), token: "/token".into() };
        let metrics = Metrics::register(&prometheus::Registry::new(), &breaker::Budget::new(1)).unwrap();
        let proven = Proven::new(trust, true, &metrics).unwrap();
        let long = Duration::from_secs(3_600);
        assert!(tokio::time::timeout(long, proven.tell_while_waiting()).await.is_err());
        proven.take(&wire::Trust { generation: 1, authorities, ..wire::Trust::default() });
        assert!(tokio::time::timeout(long, proven.tell_while_waiting()).await.is_ok());
    }
}
