//! What each program of the control plane is told. Where a flag looks odd, there is no other way within namespaces.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::identities::{Identities, NODE_NAME, flag};
use crate::inside::{NODE, SERVICES};

/// A data folder, and addresses that all four have to agree on. Nobody needs what is written to survive the machine.
pub(super) fn etcd(folder: &Path) -> Vec<String> {
    let (client, peer) = ("http://127.0.0.1:2379", "http://127.0.0.1:2380");
    let flags = format!(
        "--name=tests --initial-cluster=tests={peer} --initial-advertise-peer-urls={peer} --listen-peer-urls={peer} \
         --listen-client-urls={client} --advertise-client-urls={client} --unsafe-no-fsync --log-level=warn"
    );
    words(&flags).chain([flag("data-dir", folder.join("etcd"))]).collect()
}

/// Requests of Rouse's own programs go into the audit log, with their bodies.
pub(super) fn apiserver(folder: &Path, identities: &Identities) -> anyhow::Result<Vec<String>> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "Request", "userGroups": ["system:serviceaccounts:rouse"] },
            { "level": "None" },
        ],
    });
    fs::write(folder.join("audit.json"), policy.to_string())?;
    let flags = format!(
        "--etcd-servers=http://127.0.0.1:2379 --service-account-issuer=https://kubernetes.default.svc \
         --advertise-address={NODE} --authorization-mode=Node,RBAC --secure-port=6443 --bind-address=0.0.0.0 \
         --service-cluster-ip-range={SERVICES} --shutdown-watch-termination-grace-period=1s \
         --kubelet-preferred-address-types=InternalIP"
    );
    let file = |name, file| flag(name, identities.file(file));
    Ok(words(&flags)
        .chain([
            file("service-account-key-file", "accounts.pub"),
            file("service-account-signing-key-file", "accounts.key"),
            file("tls-cert-file", "apiserver.crt"),
            file("tls-private-key-file", "apiserver.key"),
            file("client-ca-file", "ca.crt"),
            file("token-auth-file", "tokens.csv"),
            flag("audit-policy-file", folder.join("audit.json")),
            flag("audit-log-path", folder.join("audit.log")),
            // All of it in one file, for whoever counts.
            "--audit-log-maxsize=10000".to_owned(),
        ])
        .collect())
}

/// As it is by itself, but that nobody leads and that its requests are not slowed down.
pub(super) fn controller_manager(folder: &Path, identities: &Identities) -> Vec<String> {
    let flags =
        "--leader-elect=false --bind-address=127.0.0.1 --secure-port=10257 --kube-api-qps=200 --kube-api-burst=400";
    words(flags)
        .chain([
            flag("kubeconfig", identities.file("admin.kubeconfig")),
            flag("cert-dir", folder.join("controllers")),
            flag("root-ca-file", identities.file("ca.crt")),
            flag("service-account-private-key-file", identities.file("accounts.key")),
        ])
        .collect()
}

pub(super) fn scheduler(folder: &Path, identities: &Identities) -> Vec<String> {
    words("--leader-elect=false --bind-address=127.0.0.1 --secure-port=10259")
        .chain([
            flag("kubeconfig", identities.file("scheduler.kubeconfig")),
            flag("cert-dir", folder.join("scheduler")),
        ])
        .collect()
}

/// Connection tracking cannot be set from within. A pause of a second between two changes would hide as slowness of ours.
pub(super) fn proxy(folder: &Path, identities: &Identities) -> anyhow::Result<Vec<String>> {
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "mode": "nftables", "hostnameOverride": NODE_NAME,
        "clientConnection": { "kubeconfig": identities.file("proxy.kubeconfig") },
        "conntrack": { "maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
        "nftables": { "minSyncPeriod": "10ms" },
        "healthzBindAddress": "127.0.0.1:10256", "metricsBindAddress": "127.0.0.1:10249",
    });
    let file = folder.join("proxy.json");
    fs::write(&file, config.to_string())?;
    Ok(vec![flag("config", file)])
}

/// Without control groups; and told of what happens by the runtime, so that nothing waits for it to look.
pub(super) fn kubelet(folder: &Path, identities: &Identities, socket: &Path) -> anyhow::Result<Vec<String>> {
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{}", socket.display()),
        "enforceNodeAllocatable": ["none"], "cgroupsPerQOS": false, "failSwapOn": false,
        "featureGates": { "KubeletInUserNamespace": true, "EventedPLEG": true },
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "podLogsDir": folder.join("pods"),
        "clusterDNS": [NODE], "clusterDomain": "cluster.local", "resolvConf": "",
        "maxPods": 500, "serializeImagePulls": false, "registryPullQPS": 0, "eventRecordQPS": 0,
        "kubeAPIQPS": 200, "kubeAPIBurst": 400,
        // A disk that is nearly full is not what is tried here.
        "evictionHard": { "memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%" },
    });
    if is_v1_host() {
        config["failCgroupV1"] = Value::Bool(false);
    }
    let file = folder.join("kubelet.json");
    fs::write(&file, config.to_string())?;
    Ok(vec![
        flag("config", file),
        flag("kubeconfig", identities.file("kubelet.kubeconfig")),
        flag("root-dir", folder.join("kubelet")),
        flag("cert-dir", folder.join("kubelet-certificates")),
        format!("--hostname-override={NODE_NAME}"),
        format!("--node-ip={NODE}"),
    ])
}

fn is_v1_host() -> bool {
    !Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The runtime of the tests.
pub(super) fn runtime(folder: &Path, socket: &Path, images: &Path) -> Vec<String> {
    words(&format!("--pod-cidr=10.244.1.0/24 --node-address={NODE}"))
        .chain([flag("socket", socket), flag("root", folder.join("runtime")), flag("images", images)])
        .collect()
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().into_iter()
}
