use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;

use super::*;
use crate::stage::{self, hello};

mod proving;

/// Streams at which peers can be let in, over a pipe of so many bytes each way.
struct Port {
    streams: Streams,
    epoch: watch::Sender<Option<u64>>,
    open: JoinSet<()>,
}

impl Port {
    fn new() -> Self {
        let (epoch, receiver) = watch::channel(Some(7));
        let streams = Streams {
            peers: Arc::new(Peers::new()),
            inboxes: Arc::new(Inboxes::new()),
            epoch: receiver,
            clock: Clock::start(),
            metrics: Metrics::register(&prometheus::Registry::new()).unwrap(),
            gate: None,
            patience: Duration::from_secs(5),
            silence: Duration::from_secs(15),
        };
        Self { streams, epoch, open: JoinSet::new() }
    }

    fn connect(&mut self, pipe_bytes: usize) -> DuplexStream {
        let (theirs, ours) = duplex(pipe_bytes);
        let streams = self.streams.clone();
        self.open.spawn(async move {
            match streams.gate.clone() {
                Some(gate) => streams.guarded(ours, &gate).await,
                None => streams.stream(ours, None).await,
            }
        });
        theirs
    }

    fn revision(&self, name: &str) -> mpsc::Receiver<Heard> {
        self.streams.inboxes.open(RevisionKey::new("default", name))
    }
}

const LEADING: Option<Down> = Some(Down::Lead(Lead { leading: true, epoch: 7 }));

#[tokio::test(start_paused = true)]
async fn who_says_hello_is_told_who_leads_first_and_again_on_change() {
    let mut port = Port::new();
    let mut peer = stage::Peer::activator(port.connect(1024), "a").await;
    assert_eq!(peer.next().await, LEADING);
    port.epoch.send_replace(None);
    assert_eq!(peer.next().await, Some(Down::Lead(Lead { leading: false, epoch: 0 })));
}

#[tokio::test(start_paused = true)]
async fn a_wake_reaches_its_revision_with_who_asked() {
    let mut port = Port::new();
    let mut inbox = port.revision("v1");
    let mut peer = stage::Peer::activator(port.connect(1024), "a").await;
    peer.say(Up::Wake(stage::wake("v1", 3))).await;
    let Some(Heard::Wake { activator, wake, .. }) = inbox.recv().await else { panic!("a wake was said") };
    assert_eq!((&*activator, wake.held), ("a", 3));
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_speaks_for_the_pod_of_its_hello() {
    let mut port = Port::new();
    let mut inbox = port.revision("v1");
    let mut peer = stage::Peer::sidecar(port.connect(1024), "v1", "v1-1").await;
    peer.say(Up::SidecarStats(wire::SidecarStats { in_flight: 2, ..Default::default() })).await;
    assert!(matches!(inbox.recv().await, Some(Heard::SidecarCame)));
    let Some(Heard::Sidecar { replica, stats, .. }) = inbox.recv().await else { panic!("counts were said") };
    assert_eq!((&*replica, stats.in_flight), ("v1-1", 2));
}

#[tokio::test(start_paused = true)]
async fn who_says_what_its_role_may_not_say_is_cut_off() {
    let seal_answer = Up::SealAnswer(wire::SealAnswer::default());
    for not_for_a_sidecar in [Up::Wake(stage::wake("v2", 1)), Up::Frame(wire::Frame::default()), seal_answer] {
        let mut port = Port::new();
        let mut neighbour = port.revision("v2");
        let mut peer = stage::Peer::sidecar(port.connect(1024), "v1", "v1-1").await;
        assert_eq!(peer.next().await, LEADING);
        peer.say(not_for_a_sidecar).await;
        assert_eq!(peer.next().await, None);
        assert!(neighbour.try_recv().is_err(), "nothing of it reached another revision");
    }
    for not_for_an_activator in
        [Up::SidecarStats(wire::SidecarStats::default()), Up::Hello(hello(Role::Activator, "a", ""))]
    {
        let mut port = Port::new();
        let mut peer = stage::Peer::activator(port.connect(1024), "a").await;
        assert_eq!(peer.next().await, LEADING);
        peer.say(not_for_an_activator).await;
        assert_eq!(peer.next().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_and_giants_cut_off_their_sender_and_nobody_else() {
    let mut port = Port::new();
    let mut good = stage::Peer::activator(port.connect(1024), "a").await;
    assert_eq!(good.next().await, LEADING);
    for bytes in [&[0xff; 64][..], &[0, 0, 0, 0], &[0, 0, 0, 2, 9, 9], b"GET / HTTP/1.1\r\n\r\n"] {
        let mut bad = stage::Peer::silent(port.connect(1024));
        bad.say_bytes(bytes).await;
        assert_eq!(bad.next().await, None, "{bytes:?}");
    }
    let mut inbox = port.revision("v1");
    good.say(Up::Wake(stage::wake("v1", 1))).await;
    assert!(inbox.recv().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn who_does_not_say_hello_in_time_is_cut_off() {
    let mut port = Port::new();
    let before = Instant::now();
    let mut peer = stage::Peer::silent(port.connect(1024));
    assert_eq!(peer.next().await, None);
    assert_eq!(before.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_hello_without_a_name_is_refused() {
    for incomplete in [hello(Role::Activator, "", ""), hello(Role::Sidecar, "v1-1", "")] {
        let mut port = Port::new();
        let mut peer = stage::Peer::silent(port.connect(1024));
        peer.say(Up::Hello(incomplete)).await;
        assert_eq!(peer.next().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn who_falls_silent_is_cut_off_and_forgotten() {
    let mut port = Port::new();
    let mut peer = stage::Peer::activator(port.connect(1024), "a").await;
    assert_eq!(peer.next().await, LEADING);
    assert_eq!(port.streams.peers.activators().len(), 1);
    let before = Instant::now();
    assert_eq!(peer.next().await, None);
    assert_eq!(before.elapsed(), Duration::from_secs(15));
    assert_eq!(port.streams.peers.activators().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_cut_off() {
    let mut port = Port::new();
    // Room for less than the first thing that is said.
    let _unread = stage::Peer::activator(port.connect(4), "a").await;
    let before = Instant::now();
    port.open.join_next().await.unwrap().unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(5));
}
