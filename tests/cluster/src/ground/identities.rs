//! Who is who in a cluster of the tests: one authority, one certificate, one key for ServiceAccounts, and tokens.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use serde_json::json;

use crate::inside::NODE;

/// Where the API server listens, for programs of the node.
pub(crate) const SERVER: &str = "https://127.0.0.1:6443";

/// Name of the only node.
pub(crate) const NODE_NAME: &str = "node";

/// Files that programs of the control plane are given.
#[derive(Clone, Debug)]
pub struct Identities {
    folder: PathBuf,
    /// The authority's certificate, PEM.
    pub authority: String,
}

impl Identities {
    /// Makes them in a folder.
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "tests");
        let authority = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);

        let server_key = KeyPair::generate()?;
        let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
        let mut params = CertificateParams::new(names.map(str::to_owned).to_vec())?;
        for address in ["127.0.0.1", NODE, "10.96.0.1"] {
            params.subject_alt_names.push(SanType::IpAddress(address.parse::<IpAddr>()?));
        }
        let server = params.signed_by(&server_key, &issuer)?;

        let accounts = KeyPair::generate()?;
        let write = |name: &str, text: &str| fs::write(folder.join(name), text);
        write("ca.crt", &authority)?;
        write("apiserver.crt", &server.pem())?;
        write("apiserver.key", &server_key.serialize_pem())?;
        write("accounts.key", &accounts.serialize_pem())?;
        write("accounts.pub", &accounts.public_key_pem())?;
        write(
            "tokens.csv",
            &format!(
                "admin,admin,1,system:masters\nscheduler,system:kube-scheduler,2\nproxy,system:kube-proxy,3\n\
             kubelet,system:node:{NODE_NAME},4,system:nodes\n"
            ),
        )?;
        let identities = Self { folder: folder.to_owned(), authority };
        for token in ["admin", "scheduler", "proxy", "kubelet"] {
            write(&format!("{token}.kubeconfig"), &identities.kubeconfig(token))?;
        }
        Ok(identities)
    }

    /// A file among them.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A kubeconfig for whoever has this token.
    pub(crate) fn kubeconfig(&self, token: &str) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "tests",
            "clusters": [{ "name": "tests", "cluster": { "server": SERVER, "certificate-authority": self.file("ca.crt") } }],
            "users": [{ "name": "tests", "user": { "token": token } }],
            "contexts": [{ "name": "tests", "context": { "cluster": "tests", "user": "tests" } }],
        })
        .to_string()
    }

    /// What a client of ours is made of.
    ///
    /// # Errors
    /// If what was written cannot be read again.
    pub async fn client(&self, token: &str) -> anyhow::Result<kube::Client> {
        Ok(kube::Client::try_from(self.config(token).await?)?)
    }

    /// What makes one.
    ///
    /// # Errors
    /// If what was written cannot be read again.
    pub async fn config(&self, token: &str) -> anyhow::Result<kube::Config> {
        let file = kube::config::Kubeconfig::from_yaml(&self.kubeconfig(token))?;
        let options = kube::config::KubeConfigOptions::default();
        Ok(kube::Config::from_custom_kubeconfig(file, &options).await?)
    }
}

/// As text, for a flag.
pub(crate) fn flag(name: &str, value: impl AsRef<Path>) -> String {
    format!("--{name}={}", value.as_ref().display())
}
