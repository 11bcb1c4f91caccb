//! An autoscaler that hears everything and says what it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};
use wire::{Down, FromAutoscaler, Lead, Outcome, Seal, SealOutcome, ToAutoscaler, Up, Verdict, Wake};

use crate::world::until;

pub(crate) struct Autoscaler {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    say: Arc<Mutex<Option<mpsc::UnboundedSender<Down>>>>,
    serving: JoinSet<()>,
}

/// A message, and on which stream it came.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) stream: usize,
    pub(crate) said: Up,
}

impl Autoscaler {
    pub(crate) async fn start() -> Self {
        let mut autoscaler = Self {
            address: ([127, 0, 0, 1], 0).into(),
            heard: Arc::default(),
            say: Arc::default(),
            serving: JoinSet::new(),
        };
        autoscaler.come_back().await;
        autoscaler
    }

    /// Listens where it listened before.
    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let (heard, say) = (Arc::clone(&self.heard), Arc::clone(&self.say));
        self.serving.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, &heard, &say).await;
            }
        });
    }

    /// Closes its stream and its port.
    pub(crate) async fn go(&mut self) {
        self.serving.shutdown().await;
        *self.say.lock() = None;
    }

    pub(crate) fn say(&self, message: Down) {
        self.say.lock().as_ref().expect("the activator is connected").send(message).unwrap();
    }

    /// Is a stream to it open?
    pub(crate) fn is_spoken_to(&self) -> bool {
        self.say.lock().as_ref().is_some_and(|say| !say.is_closed())
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().clone()
    }

    /// Waits for a message that `look` takes.
    pub(crate) async fn hears<T>(&self, what: &str, look: impl Fn(&Up) -> Option<T>) -> T {
        self.hears_after(0, what, look).await
    }

    /// The same, among those that come after the first `count`.
    pub(crate) async fn hears_after<T>(&self, count: usize, what: &str, look: impl Fn(&Up) -> Option<T>) -> T {
        until(what, || self.heard.lock().iter().skip(count).find_map(|heard| look(&heard.said))).await
    }

    pub(crate) async fn acknowledged(&self, endpoint: &str, generation: u64) {
        let what = format!("generation {generation} of {endpoint} is acknowledged");
        let look = |up: &Up| match up {
            Up::RouteAck(ack) if ack.endpoint == endpoint && ack.generation == generation => Some(()),
            _ => None,
        };
        self.hears(&what, look).await;
    }

    pub(crate) async fn hears_wake_after(&self, count: usize) -> Wake {
        self.hears_after(count, "a wake", wake).await
    }

    /// Leads from now on, and the activator knows it: what is said on a stream is heard in its order, so an answer to a
    /// later question, about a revision that is not there, says that this was heard too.
    pub(crate) async fn leads(&self, epoch: u64) {
        self.say(Down::Lead(Lead { leading: true, epoch }));
        let (namespace, revision) = ("default".to_owned(), "nobody".to_owned());
        self.say(Down::Seal(Seal { namespace, revision, epoch, seq: 0, ttl_ms: 0 }));
        assert_eq!(self.hears_verdict_at(epoch, 0).await, Verdict::Veto);
    }

    pub(crate) fn asks_for_a_promise(&self, seq: u64) {
        self.asks_at(1, seq);
    }

    pub(crate) fn asks_at(&self, epoch: u64, seq: u64) {
        let (namespace, revision) = ("default".to_owned(), "v1".to_owned());
        self.say(Down::Seal(Seal { namespace, revision, epoch, seq, ttl_ms: 3_000 }));
    }

    pub(crate) fn ends_promise(&self, seq: u64, outcome: Outcome) {
        let (namespace, revision) = ("default".to_owned(), "v1".to_owned());
        self.say(Down::Outcome(SealOutcome { namespace, revision, epoch: 1, seq, outcome: outcome as i32 }));
    }

    pub(crate) async fn hears_verdict(&self, seq: u64) -> Verdict {
        self.hears_verdict_at(1, seq).await
    }

    pub(crate) async fn hears_verdict_at(&self, epoch: u64, seq: u64) -> Verdict {
        let look = |up: &Up| match up {
            Up::SealAnswer(answer) if (answer.epoch, answer.seq) == (epoch, seq) => Some(answer.verdict()),
            _ => None,
        };
        self.hears("an answer to the seal", look).await
    }

    pub(crate) fn refuses(&self, reason: &str, detail: &str, retry_after: Duration) {
        self.refuses_to_wake("v1", reason, detail, retry_after);
    }

    pub(crate) fn refuses_to_wake(&self, revision: &str, reason: &str, detail: &str, retry_after: Duration) {
        self.say(Down::Refusal(wire::Refusal {
            namespace: "default".into(),
            revision: revision.into(),
            reason: reason.into(),
            detail: detail.into(),
            retry_after_ms: retry_after.as_millis() as u64,
        }));
    }
}

pub(crate) fn wake(up: &Up) -> Option<Wake> {
    match up {
        Up::Wake(wake) => Some(wake.clone()),
        _ => None,
    }
}

async fn serve(stream: TcpStream, heard: &Mutex<Vec<Heard>>, say: &Mutex<Option<mpsc::UnboundedSender<Down>>>) {
    let (reader, mut writer) = stream.into_split();
    let codec = LengthDelimitedCodec::builder().max_frame_length(wire::MAX_FRAME_BYTES).new_codec();
    let mut reader = FramedRead::new(reader, codec);
    let (sender, mut messages) = mpsc::unbounded_channel();
    *say.lock() = Some(sender);
    let number = heard.lock().last().map_or(0, |last| last.stream + 1);
    loop {
        tokio::select! {
            frame = reader.next() => {
                let Some(Ok(frame)) = frame else { return };
                let message: ToAutoscaler = wire::decode(frame.freeze()).unwrap();
                let said = message.kind.unwrap();
                heard.lock().push(Heard { stream: number, said });
            }
            Some(message) = messages.recv() => {
                writer.write_all(&wire::encode(&FromAutoscaler { kind: Some(message) })).await.unwrap();
            }
        }
    }
}
