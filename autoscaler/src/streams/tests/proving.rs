//! Streams on which everyone proves who it is: forged, foreign and late ones among them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use certs::{Use, Valid};
use daemon::tls::{AUTOSCALER, Client, Io, Server};

use platform::Holder;

use super::super::trust::{Signer, Trust};
use super::*;

/// A port with TLS, and an API server that knows some tokens.
struct Trusting {
    port: Port,
    client: Client,
    signer: watch::Sender<Option<Signer>>,
    asked: Arc<AtomicUsize>,
}

fn holder(namespace: &str, account: &str, pod: &str) -> Holder {
    let owned = str::to_owned;
    Holder { namespace: owned(namespace), account: owned(account), pod_name: owned(pod), pod_uid: owned(pod) }
}

fn signer(generation: u64) -> Signer {
    let certify = move |name: &str, key: &[u8]| Ok(format!("{generation} certifies {} for {name}", key[0]));
    Signer { generation, authorities: format!("{generation}").into(), certify: Arc::new(certify) }
}

impl Trusting {
    fn new() -> Self {
        let authority = certs::Authority::new();
        let (leaf, tls) = (authority.issue(AUTOSCALER, Use::Server, Valid::Now), Server::default());
        tls.show(leaf.certificate.as_bytes(), leaf.key.as_bytes()).unwrap();
        let client = Client::default();
        client.believe(authority.pem().as_bytes()).unwrap();
        let tokens: BTreeMap<&str, Holder> = [
            ("of-activator-a", holder("default", "rouse-activator", "a")),
            ("of-v1-1", holder("default", "default", "v1-1")),
            ("of-v1-2", holder("default", "default", "v1-2")),
            ("of-v1-1-in-lab", holder("lab", "default", "v1-1")),
            ("of-activator-in-lab", holder("lab", "rouse-activator", "a")),
        ]
        .into();
        let asked = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&asked);
        let who_holds = move |token: String| {
            counts.fetch_add(1, Ordering::Relaxed);
            let holder = tokens.get(token.as_str()).cloned();
            let answer = holder.ok_or_else(|| match token.as_str() {
                "while-nobody-answers" => Unproven::Unknown("no answer".to_owned()),
                _ => Unproven::Refused("expired".to_owned()),
            });
            let never = token == "never-answered";
            Box::pin(async move { if never { std::future::pending().await } else { answer } })
                as futures_util::future::BoxFuture<'static, _>
        };
        let (sender, receiver) = watch::channel(Some(signer(1)));
        let trust = Trust {
            tls,
            who_holds: Arc::new(who_holds),
            namespace: "default".into(),
            activators: "rouse-activator".into(),
            signer: receiver,
            plaintext: false,
        };
        let mut port = Port::new();
        port.streams.gate = Some(Arc::new(Gate::new(trust)));
        Self { port, client, signer: sender, asked }
    }

    /// The same port, which takes plain TCP too, with a socket.
    async fn with_plaintext(mut self) -> (Self, std::net::SocketAddr, JoinSet<anyhow::Result<Infallible>>) {
        let gate = self.port.streams.gate.take().unwrap();
        let trust = Trust { plaintext: true, ..gate.trust().clone() };
        self.port.streams.gate = Some(Arc::new(Gate::new(trust)));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let (address, mut serving) = (listener.address(), JoinSet::new());
        serving.spawn(self.port.streams.clone().serve(listener));
        (self, address, serving)
    }

    async fn connect(&mut self) -> Io {
        let raw = self.port.connect(1 << 14);
        self.client.connect(raw, AUTOSCALER).await.unwrap()
    }

    /// One who says hello as this, with a token.
    async fn greeted(&mut self, hello: Hello, token: &str) -> stage::Peer<Io> {
        let mut peer = stage::Peer::silent(self.connect().await);
        let proof = wire::Proof { token: token.to_owned(), public_key: vec![4; 65] };
        peer.say(Up::Hello(Hello { proof: Some(proof), ..hello })).await;
        peer
    }

    fn ended(&self, reason: &str) -> u64 {
        self.port.streams.metrics.streams_ended(reason)
    }
}

fn given(generation: u64, certificate: &str) -> Option<Down> {
    let (certificate, authorities) = (certificate.to_owned(), generation.to_string());
    Some(Down::Trust(wire::Trust { generation, certificate, authorities }))
}

#[tokio::test]
async fn who_proves_what_it_says_is_heard() {
    let mut stage = Trusting::new();
    let mut inbox = stage.port.revision("v1");
    let mut activator = stage.greeted(hello(Role::Activator, "a", ""), "of-activator-a").await;
    assert_eq!(activator.next().await, LEADING);
    let mut sidecar = stage.greeted(hello(Role::Sidecar, "v1-1", "v1"), "of-v1-1").await;
    assert_eq!(sidecar.next().await, LEADING);
    sidecar.say(Up::SidecarStats(wire::SidecarStats::default())).await;
    assert!(matches!(inbox.recv().await, Some(Heard::SidecarCame)));
    assert!(matches!(inbox.recv().await, Some(Heard::Sidecar { .. })));
}

#[tokio::test]
async fn who_proves_something_else_or_nothing_is_cut_off_counted_and_has_no_effect() {
    let in_lab = |role, name, revision| Hello { namespace: "lab".into(), ..hello(role, name, revision) };
    let with_uid = |uid: &str| Hello { uid: uid.into(), ..hello(Role::Sidecar, "v1-1", "v1") };
    let (v1_1, a) = (hello(Role::Sidecar, "v1-1", "v1"), hello(Role::Activator, "a", ""));
    let cases = [
        // Another pod of the same Deployment, one of the same name elsewhere, and one that had the name before.
        (v1_1.clone(), "of-v1-2", "unproven"),
        (v1_1.clone(), "of-v1-1-in-lab", "unproven"),
        (with_uid("the-one-before"), "of-v1-1", "unproven"),
        (v1_1.clone(), "forged-or-expired", "unproven"),
        (v1_1.clone(), "", "unproven"),
        // A sidecar as an activator, and somebody who calls its own account like Rouse's.
        (hello(Role::Activator, "v1-1", ""), "of-v1-1", "unproven"),
        (in_lab(Role::Activator, "a", ""), "of-activator-in-lab", "unproven"),
        (a, "while-nobody-answers", "not-looked-at"),
    ];
    for (hello, token, reason) in cases {
        let mut stage = Trusting::new();
        let mut inbox = stage.port.revision("v1");
        let mut peer = stage.greeted(hello.clone(), token).await;
        // Said before anybody knows that it is refused.
        peer.say(Up::SidecarStats(wire::SidecarStats { in_flight: 9, ..Default::default() })).await;
        peer.say(Up::Wake(stage::wake("v1", 9))).await;
        assert_eq!(peer.next().await, None, "{token}");
        stage.port.open.join_next().await.unwrap().unwrap();
        assert_eq!(stage.ended(reason), 1, "{token}");
        assert!(inbox.try_recv().is_err(), "{token}");
        assert!(stage.port.streams.peers.activators().is_empty(), "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_activator_does_not_wait_behind_sidecars_that_nobody_answers_about() {
    let mut stage = Trusting::new();
    let mut waiting = Vec::new();
    for _ in 0..17 {
        waiting.push(stage.greeted(hello(Role::Sidecar, "v1-1", "v1"), "never-answered").await);
    }
    let mut activator = stage.greeted(hello(Role::Activator, "a", ""), "of-activator-a").await;
    assert_eq!(activator.next().await, LEADING);
    stage.port.open.join_next().await.unwrap().unwrap();
    assert_eq!(stage.ended("not-looked-at"), 1, "who waits for too long comes again");
}

#[tokio::test]
async fn who_speaks_plain_tcp_is_cut_off_before_anybody_is_asked() {
    let mut stage = Trusting::new();
    let raw = stage.port.connect(1 << 14);
    let mut peer = stage::Peer::silent(raw);
    let proof = wire::Proof { token: "of-activator-a".to_owned(), public_key: Vec::new() };
    peer.say(Up::Hello(Hello { proof: Some(proof), ..hello(Role::Activator, "a", "") })).await;
    stage.port.open.join_next().await.unwrap().unwrap();
    assert_eq!((stage.ended("no-tls"), stage.asked.load(Ordering::Relaxed)), (1, 0));
    assert!(stage.port.streams.peers.activators().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_at_all_is_cut_off_in_time() {
    let mut stage = Trusting::new();
    let _silent = stage.port.connect(1 << 14);
    let before = Instant::now();
    stage.port.open.join_next().await.unwrap().unwrap();
    assert_eq!((before.elapsed(), stage.ended("no-hello")), (Duration::from_secs(5), 1));
}

#[tokio::test]
async fn a_sidecar_is_given_whom_to_believe_and_a_certificate_for_its_key_at_once_and_on_each_change() {
    let mut stage = Trusting::new();
    let mut sidecar = stage.greeted(hello(Role::Sidecar, "v1-1", "v1"), "of-v1-1").await;
    assert_eq!(sidecar.next().await, LEADING);
    assert_eq!(sidecar.next().await, given(1, "1 certifies 4 for sidecar.rouse"));
    stage.signer.send_replace(Some(signer(2)));
    assert_eq!(sidecar.next().await, given(2, "2 certifies 4 for sidecar.rouse"));
    // Made anew before it expires: of the same authority.
    stage.signer.send_replace(Some(signer(2)));
    assert_eq!(sidecar.next().await, given(2, "2 certifies 4 for sidecar.rouse"));
    let mut activator = stage.greeted(hello(Role::Activator, "a", ""), "of-activator-a").await;
    assert_eq!(activator.next().await, LEADING);
    stage.signer.send_replace(Some(signer(3)));
    stage.port.epoch.send_replace(None);
    let lead = Some(Down::Lead(Lead { leading: false, epoch: 0 }));
    assert_eq!(activator.next().await, lead, "which has its certificate from elsewhere");
}

#[tokio::test]
async fn a_sidecar_with_a_certificate_of_its_own_is_told_whom_to_believe() {
    let mut stage = Trusting::new();
    let mut sidecar = stage::Peer::silent(stage.connect().await);
    let proof = wire::Proof { token: "of-v1-1".to_owned(), public_key: Vec::new() };
    sidecar.say(Up::Hello(Hello { proof: Some(proof), ..hello(Role::Sidecar, "v1-1", "v1") })).await;
    assert_eq!(sidecar.next().await, LEADING);
    assert_eq!(sidecar.next().await, given(1, ""));
}

#[tokio::test]
async fn where_plain_tcp_is_taken_too_each_is_spoken_to_as_it_speaks() {
    let (stage, address, _serving) = Trusting::new().with_plaintext().await;
    let connect = async || tokio::net::TcpStream::connect(address).await.unwrap();
    let mut plain = stage::Peer::silent(connect().await);
    plain.say(Up::Hello(hello(Role::Sidecar, "v1-0", "v1"))).await;
    assert_eq!(plain.next().await, LEADING);
    // Whoever could speak for an activator could take what is up down for everybody.
    assert_eq!(stage::Peer::activator(connect().await, "plain").await.next().await, None);
    let proving = async |token: &str| {
        let mut peer = stage::Peer::silent(stage.client.connect(connect().await, AUTOSCALER).await.unwrap());
        let proof = wire::Proof { token: token.to_owned(), public_key: vec![4; 65] };
        peer.say(Up::Hello(Hello { proof: Some(proof), ..hello(Role::Sidecar, "v1-1", "v1") })).await;
        peer
    };
    let mut sidecar = proving("of-v1-1").await;
    assert_eq!((sidecar.next().await, sidecar.next().await), (LEADING, given(1, "1 certifies 4 for sidecar.rouse")));
    // Who begins to prove something is held to it.
    assert_eq!(proving("of-v1-2").await.next().await, None);
    assert_eq!(stage.asked.load(Ordering::Relaxed), 2);
}
