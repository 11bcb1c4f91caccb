//! The stream to an autoscaler.

use bytes::{Bytes, BytesMut};
use http::Response;
use queue_proxy::Identity;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wire::{Down, FromAutoscaler, IdleQuestion, Settings, SidecarStats, ToAutoscaler, Up};

use super::stage::{Sidecar, client, get, hello_model, model, past_the_sidecar, request, whole, within};

/// An autoscaler's end of one stream.
pub(super) struct Autoscaler<T = TcpStream>(pub(super) T);

impl<T: AsyncRead + AsyncWrite + Unpin> Autoscaler<T> {
    pub(super) async fn hear(&mut self) -> Up {
        let mut length = [0; 4];
        within(self.0.read_exact(&mut length)).await.unwrap();
        let mut frame = BytesMut::zeroed(wire::frame_length(&length).unwrap().unwrap());
        within(self.0.read_exact(&mut frame)).await.unwrap();
        wire::decode::<ToAutoscaler>(Bytes::from(frame)).unwrap().kind.unwrap()
    }

    pub(super) async fn hear_stats(&mut self, wanted: impl Fn(&SidecarStats) -> bool) -> SidecarStats {
        loop {
            if let Up::SidecarStats(stats) = self.hear().await
                && wanted(&stats)
            {
                return stats;
            }
        }
    }

    async fn hear_idle(&mut self) -> bool {
        loop {
            if let Up::IdleAnswer(answer) = self.hear().await {
                assert_eq!((answer.epoch, answer.seq), (3, 4));
                return answer.idle;
            }
        }
    }

    pub(super) async fn say(&mut self, kind: Down) {
        let frame = wire::encode(&FromAutoscaler { kind: Some(kind) });
        self.0.write_all(&frame).await.unwrap();
        self.0.flush().await.unwrap();
    }
}

pub(super) async fn autoscaler() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

pub(super) fn identity() -> Identity {
    Identity { namespace: "shop".into(), pod_name: "v1-abc".into(), pod_uid: "uid-1".into(), revision: "v1".into() }
}

#[tokio::test]
async fn who_is_connected_past_it_is_reported_and_keeps_it_from_being_idle() {
    let model = hello_model().await;
    let mut other = past_the_sidecar(model.port()).await;
    let (listener, address) = autoscaler().await;
    let _sidecar = Sidecar::beside(model, |config| {
        (config.autoscalers, config.identity) = (vec![address], identity());
    })
    .await;
    let mut autoscaler = Autoscaler(within(listener.accept()).await.unwrap().0);
    let Up::Hello(_) = autoscaler.hear().await else { panic!("no hello") };
    let first = autoscaler.hear_stats(|_| true).await;
    assert_eq!(first.foreign, 1);
    let question = Down::IdleQuestion(IdleQuestion { epoch: 3, seq: 4 });
    autoscaler.say(question.clone()).await;
    assert!(!autoscaler.hear_idle().await);
    other.kill().await.unwrap();
    autoscaler.hear_stats(|stats| stats.foreign == 0).await;
    autoscaler.say(question).await;
    assert!(autoscaler.hear_idle().await);
}

#[tokio::test]
async fn it_says_who_it_is_that_it_is_ready_and_what_it_counted() {
    let (listener, address) = autoscaler().await;
    let sidecar = Sidecar::beside(hello_model().await, |config| {
        (config.autoscalers, config.identity) = (vec![address], identity());
    })
    .await;
    let mut autoscaler = Autoscaler(within(listener.accept()).await.unwrap().0);
    let Up::Hello(hello) = autoscaler.hear().await else { panic!("no hello") };
    assert_eq!((hello.namespace.as_str(), hello.name.as_str(), hello.revision.as_str()), ("shop", "v1-abc", "v1"));
    autoscaler.hear_stats(|stats| stats.ready).await;
    get(sidecar.direct, "/").await;
    get(sidecar.proxied, "/").await;
    let stats = autoscaler.hear_stats(|stats| stats.requests == 2 && stats.in_flight == 0).await;
    assert_eq!((stats.proxied_requests, stats.upgraded, stats.foreign), (1, 0, 0));
    assert!(0 < stats.concurrency_us && stats.concurrency_us < stats.elapsed_us);

    // Another autoscaler takes over: the counts go on.
    drop(autoscaler);
    let mut autoscaler = Autoscaler(within(listener.accept()).await.unwrap().0);
    let Up::Hello(again) = autoscaler.hear().await else { panic!("no hello") };
    assert_eq!(again.incarnation, hello.incarnation);
    let later = autoscaler.hear_stats(|_| true).await;
    assert!(later.requests == 2 && stats.number < later.number);
}

#[tokio::test]
async fn settings_are_applied_live_and_reported_back() {
    let (listener, address) = autoscaler().await;
    let (open, gate) = tokio::sync::watch::channel(false);
    let model = model(move |_| {
        let mut gate = gate.clone();
        async move {
            let _ = gate.wait_for(|open| *open).await;
            Response::new(whole("done"))
        }
    })
    .await;
    let sidecar = Sidecar::beside(model, |config| {
        (config.autoscalers, config.identity) = (vec![address], identity());
    })
    .await;
    let mut autoscaler = Autoscaler(within(listener.accept()).await.unwrap().0);
    let settings = Settings {
        generation: 7,
        container_concurrency: 1,
        request_timeout_ms: 5_000,
        response_start_timeout_ms: 0,
        idle_timeout_ms: 0,
    };
    autoscaler.say(Down::Settings(settings)).await;
    sidecar.until(|stats| stats["settingsGeneration"] == 7).await;
    let direct = sidecar.direct;
    let both = [0, 1].map(|_| tokio::spawn(async move { get(direct, "/").await }));
    sidecar.until(|stats| stats["inFlight"] == 2 && stats["held"] == 1).await;
    assert_eq!(autoscaler.hear_stats(|stats| stats.in_flight == 2).await.settings_generation, 7);
    open.send_replace(true);
    for one in both {
        assert_eq!(within(one).await.unwrap().1, "done");
    }
}

#[tokio::test]
async fn it_is_idle_only_when_nothing_is_here() {
    let (listener, address) = autoscaler().await;
    let model = model(async |_| std::future::pending().await).await;
    let sidecar = Sidecar::beside(model, |config| {
        (config.autoscalers, config.identity) = (vec![address], identity());
    })
    .await;
    let mut autoscaler = Autoscaler(within(listener.accept()).await.unwrap().0);
    let question = || Down::IdleQuestion(IdleQuestion { epoch: 3, seq: 4 });
    autoscaler.say(question()).await;
    assert!(autoscaler.hear_idle().await);
    let direct = sidecar.direct;
    let working = tokio::spawn(async move { client().request(request(direct, "/").body(whole("")).unwrap()).await });
    sidecar.until(|stats| stats["inFlight"] == 1).await;
    autoscaler.say(question()).await;
    assert!(!autoscaler.hear_idle().await);
    working.abort();
    sidecar.until(|stats| stats["inFlight"] == 0).await;
    autoscaler.say(question()).await;
    assert!(autoscaler.hear_idle().await);
}

#[tokio::test]
async fn that_the_last_request_has_ended_is_said_at_the_next_tick() {
    let (listener, address) = autoscaler().await;
    let model = model(async |_| std::future::pending().await).await;
    let sidecar = Sidecar::beside(model, |config| {
        (config.autoscalers, config.identity) = (vec![address], identity());
    })
    .await;
    let mut autoscaler = Autoscaler(within(listener.accept()).await.unwrap().0);
    let direct = sidecar.direct;
    let working = tokio::spawn(async move { client().request(request(direct, "/").body(whole("")).unwrap()).await });
    let mut busy = autoscaler.hear_stats(|stats| stats.in_flight == 1).await;
    working.abort();
    // It may have reported once more before it noticed.
    let idle = loop {
        let stats = autoscaler.hear_stats(|_| true).await;
        if stats.in_flight == 0 {
            break stats;
        }
        busy = stats;
    };
    let after_us = idle.elapsed_us - busy.elapsed_us;
    assert!(after_us < 4_000_000, "an idle sidecar's pause is 5 s, this took {after_us} us");
}

#[tokio::test]
async fn nonsense_from_an_autoscaler_ends_its_stream_and_nothing_else() {
    let (listener, address) = autoscaler().await;
    let sidecar = Sidecar::beside(hello_model().await, |config| {
        (config.autoscalers, config.identity) = (vec![address], identity());
    })
    .await;
    let (mut stream, _) = within(listener.accept()).await.unwrap();
    stream.write_all(&[0xff; 64]).await.unwrap();
    within(listener.accept()).await.unwrap();
    assert_eq!(get(sidecar.direct, "/").await.1, "hello");
}
