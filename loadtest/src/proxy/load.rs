//! Who asks: as fast as answers come, for what a request costs; and at a constant rate, for what it is late.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use loadtest::times::Times;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::proxy::message::{self, Asked, Size};
use crate::proxy::model::{discard, write_bytes};
use crate::proxy::trust::Trust;

/// What every connection of a client asks.
#[derive(Debug)]
struct Question {
    head: String,
    /// Bytes of the body that come after what is in `head`.
    to_follow: usize,
    answer: Size,
}

impl Question {
    fn new(to: SocketAddr, asked: Asked) -> Self {
        let (head, to_follow) = message::request(&to.to_string(), asked);
        Self { head, to_follow, answer: asked.answer }
    }
}

/// Connections, each of which asks again as soon as it is answered.
#[derive(Debug)]
pub(crate) struct ClosedLoop {
    streams: Vec<Either<TcpStream, TlsStream<TcpStream>>>,
    question: Arc<Question>,
}

impl ClosedLoop {
    /// `tls`: `None`, they speak without.
    pub(crate) async fn connect(
        to: SocketAddr,
        tls: Option<&Trust>,
        connections: usize,
        asked: Asked,
    ) -> anyhow::Result<Self> {
        let mut streams = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect(to).await.with_context(|| format!("connecting to {to}"))?;
            stream.set_nodelay(true)?;
            streams.push(match tls {
                None => Either::Left(stream),
                Some(tls) => Either::Right(tls.connect(stream).await?),
            });
        }
        Ok(Self { streams, question: Arc::new(Question::new(to, asked)) })
    }

    /// Asks so often, all connections together, and says how long that took. The connections stay open.
    ///
    /// # Errors
    /// With the first request that was not answered as it should be.
    pub(crate) async fn ask(&mut self, requests: u64) -> anyhow::Result<Duration> {
        let left = Arc::new(AtomicU64::new(requests));
        let begin = Instant::now();
        let mut clients = JoinSet::new();
        for mut stream in self.streams.drain(..) {
            let (left, question) = (Arc::clone(&left), Arc::clone(&self.question));
            clients.spawn(async move {
                let mut heard = Vec::with_capacity(4096);
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    exchange(&mut stream, &question, &mut heard).await?;
                }
                anyhow::Ok(stream)
            });
        }
        while let Some(client) = clients.join_next().await {
            self.streams.push(client.context("a client's task")??);
        }
        Ok(begin.elapsed())
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    question: &Question,
    heard: &mut Vec<u8>,
) -> anyhow::Result<()> {
    stream.write_all(question.head.as_bytes()).await?;
    write_bytes(stream, question.to_follow).await.context("writing the request's body")?;
    stream.flush().await?;
    heard.clear();
    loop {
        ensure!(stream.read_buf(heard).await? != 0, "the connection ended before the answer did");
        if let Some(missing) = missing(heard, question.answer)? {
            return discard(stream, missing).await.context("reading the answer's body");
        }
    }
}

/// How much of the answer is still to come; `None` while that cannot be told.
///
/// # Errors
/// If it is not the answer that was asked for.
fn missing(heard: &[u8], asked: Size) -> anyhow::Result<Option<usize>> {
    let Some((head, body)) = message::length(heard)? else { return Ok(None) };
    let missing = (head + body).saturating_sub(heard.len());
    if asked == Size::Small && missing != 0 {
        return Ok(None);
    }
    let is = message::is_the_answer(heard, body, asked);
    ensure!(is, "not the answer that was given: {}", String::from_utf8_lossy(&heard[..heard.len().min(1000)]));
    Ok(Some(missing))
}

/// Connections that share a constant rate. A thread each, for a runtime's timers are exact to a millisecond only.
const PACED: u32 = 8;
/// A sleeping thread may be woken so much late; what remains until a request is due is waited for awake.
const AWAKE: Duration = Duration::from_micros(150);

/// Asks for small answers at a constant rate, whether or not others are answered, and times each from when it was due.
/// Blocks.
///
/// # Errors
/// With the first request that was not answered as it should be.
pub(crate) fn at_constant_rate(to: SocketAddr, a_second: u32, lasts: Duration) -> anyhow::Result<Times> {
    let begin = Instant::now() + Duration::from_millis(20);
    let step = Duration::from_secs(1) / a_second;
    let each = u32::try_from(lasts.as_nanos() / step.as_nanos())? / PACED;
    let threads: Vec<_> =
        (0..PACED).map(|number| thread::spawn(move || paced(to, begin + step * number, step * PACED, each))).collect();
    let mut all = Times::new();
    for thread in threads {
        let times = thread.join().map_err(|_| anyhow::anyhow!("a client's thread panicked"))?;
        times?.into_iter().for_each(|time| all.record(time));
    }
    Ok(all)
}

fn paced(to: SocketAddr, first: Instant, step: Duration, requests: u32) -> anyhow::Result<Vec<Duration>> {
    let mut stream = std::net::TcpStream::connect(to).with_context(|| format!("connecting to {to}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let Question { head, answer, .. } = Question::new(to, Asked::SMALL);
    let (mut heard, mut piece) = (Vec::with_capacity(4096), [0; 4096]);
    let mut times = Vec::with_capacity(requests as usize);
    for number in 0..requests {
        let due = first + step * number;
        thread::sleep(due.saturating_duration_since(Instant::now()).saturating_sub(AWAKE));
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        stream.write_all(head.as_bytes())?;
        heard.clear();
        while missing(&heard, answer)?.is_none() {
            let read = stream.read(&mut piece).context("waiting for an answer")?;
            ensure!(read != 0, "the connection ended before the answer did");
            heard.extend_from_slice(&piece[..read]);
        }
        times.push(due.elapsed());
    }
    Ok(times)
}
