//! Clients that leave, models that hang or hang up, and time-outs, through both hops.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::chain::{AnyBody, Chain, Fault, Notes, by_hand, ends_well, nothing, piece, request, whole};
use crate::world::within;

/// `/upload` reads to the end of the body, `/download` sends without an end, `/hang` never answers, `/stop` answers a
/// piece and then nothing, `/small` all it has. Each notes when it is over.
fn model(notes: &Notes) -> impl Fn(Request<Incoming>) -> Answering + Clone + Send + Sync + 'static {
    let notes = notes.clone();
    move |request| Box::pin(answer(notes.clone(), request))
}

type Answering = Pin<Box<dyn Future<Output = Response<AnyBody>> + Send>>;

async fn answer(notes: Notes, request: Request<Incoming>) -> Response<AnyBody> {
    let path = request.uri().path().to_owned();
    notes.note(&path);
    let end = notes.at_the_end_of(&path);
    match &*path {
        "/upload" => {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                if frame.is_err() {
                    notes.note("the upload broke");
                    break;
                }
            }
            Response::new(nothing())
        }
        "/hang" => std::future::pending().await,
        "/small" => Response::new(whole("data")),
        "/stop" => Response::new(Stops { piece: Some(Bytes::from("data")), _end: end }.boxed()),
        _ => {
            let (mut sender, body) = by_hand();
            let mut sending = JoinSet::new();
            sending.spawn(async move {
                let _end = end;
                while sender.send_data(Bytes::from(vec![b'x'; 10_000])).await.is_ok() {}
            });
            sending.detach_all();
            Response::new(body)
        }
    }
}

/// One piece, and then nothing, not even an end.
struct Stops<E> {
    piece: Option<Bytes>,
    _end: E,
}

impl<E: Unpin> hyper::body::Body for Stops<E> {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.piece.take().map_or(Poll::Pending, |piece| Poll::Ready(Some(Ok(Frame::data(piece)))))
    }
}

#[tokio::test]
async fn a_client_that_is_gone_in_the_middle_of_its_upload_is_gone_everywhere() {
    let notes = Notes::default();
    let chain = Chain::to(model(&notes)).await;
    for (round, mut client) in [chain.http1().await, chain.http2().await].into_iter().enumerate() {
        let (mut sender, body) = by_hand();
        let mut asking = JoinSet::new();
        asking.spawn(async move {
            let _ = client.begin(request("POST", "/upload").body(body).unwrap()).await;
        });
        sender.send_data(Bytes::from("half of it")).await.unwrap();
        chain.until_at_sidecar(1).await;
        notes.has("/upload").await;
        asking.shutdown().await;
        within("the model sees it", async {
            while notes.count("end of /upload") <= round {
                tokio::task::yield_now().await
            }
        })
        .await;
        chain.until_quiet().await;
    }
}

#[tokio::test]
async fn a_client_that_is_gone_before_an_answer_is_gone_everywhere() {
    let notes = Notes::default();
    let chain = Chain::to(model(&notes)).await;
    for (round, mut client) in [chain.http1().await, chain.http2().await].into_iter().enumerate() {
        let mut asking = JoinSet::new();
        asking.spawn(async move {
            let _ = client.begin(request("POST", "/hang").body(whole("body")).unwrap()).await;
        });
        within("it has begun", async {
            while notes.count("/hang") <= round {
                tokio::task::yield_now().await
            }
        })
        .await;
        asking.shutdown().await;
        within("the model sees it", async {
            while notes.count("end of /hang") <= round {
                tokio::task::yield_now().await
            }
        })
        .await;
        chain.until_quiet().await;
    }
}

#[tokio::test]
async fn a_client_that_is_gone_in_the_middle_of_an_answer_is_gone_everywhere() {
    let notes = Notes::default();
    let chain = Chain::to(model(&notes)).await;
    for (round, mut client) in [chain.http1().await, chain.http2().await].into_iter().enumerate() {
        let answer =
            within("a head", client.begin(request("GET", "/download").body(nothing()).unwrap())).await.unwrap();
        let mut body = answer.into_body();
        piece(&mut body).await;
        drop((body, client));
        let seen = async {
            while notes.count("end of /download") <= round {
                tokio::task::yield_now().await
            }
        };
        within("the model sees it", seen).await;
        chain.until_quiet().await;
    }
}

#[tokio::test]
async fn each_time_out_before_a_head_is_a_504_that_says_so() {
    // Long enough to reach the model.
    let short = Some(Duration::from_millis(500));
    for which in 0..3 {
        let notes = Notes::default();
        let chain = Chain::with(
            model(&notes),
            |_| {},
            |endpoint| {
                let timeouts = &mut endpoint.timeouts;
                *[&mut timeouts.request, &mut timeouts.response_start, &mut timeouts.idle][which] = short;
            },
        );
        let chain = chain.await;
        for mut client in [chain.http1().await, chain.http2().await] {
            let answer = client.send(request("POST", "/hang").body(whole("body")).unwrap()).await;
            assert_eq!((answer.status, answer.header("rouse-reason")), (504, "timeout"), "{which}");
        }
        notes.has("end of /hang").await;
        chain.until_quiet().await;
    }
}

#[tokio::test]
async fn a_time_out_of_the_sidecar_arrives_as_its_own_504() {
    let notes = Notes::default();
    let short = Some(Duration::from_millis(150));
    let chain = Chain::with(model(&notes), |config| config.timeouts.response_start = short, |_| {}).await;
    let answer = chain.http1().await.send(request("GET", "/hang").body(nothing()).unwrap()).await;
    assert_eq!((answer.status, answer.header("rouse-reason")), (504, "timeout"));
    chain.until_quiet().await;
}

#[tokio::test]
async fn an_answer_that_stops_is_cut_by_the_idle_time_out_and_one_that_goes_on_by_that_of_the_request() {
    // Long enough for a head to come through.
    let short = Some(Duration::from_secs(1));
    for path in ["/stop", "/download"] {
        let notes = Notes::default();
        let chain = Chain::with(
            model(&notes),
            |_| {},
            |endpoint| match path {
                "/stop" => endpoint.timeouts.idle = short,
                _ => endpoint.timeouts.request = short,
            },
        );
        let chain = chain.await;
        for mut client in [chain.http1().await, chain.http2().await] {
            let asked = request("GET", path).body(nothing()).unwrap();
            let answer = within("a head", client.begin(asked)).await.unwrap();
            assert_eq!(answer.status(), 200);
            assert!(!ends_well(answer.into_body()).await, "{path}: a cut answer must not look whole");
        }
        notes.has(&format!("end of {path}")).await;
        chain.until_quiet().await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_held_to_the_request_time_out_too() {
    let notes = Notes::default();
    let short = Some(Duration::from_secs(1));
    let chain = Chain::with(model(&notes), |_| {}, |endpoint| endpoint.timeouts.request = short).await;
    let mut stream = TcpStream::connect(chain.world.address).await.unwrap();
    stream.write_all(b"GET /download HTTP/1.1\r\nhost: model.default\r\n\r\n").await.unwrap();
    notes.has("/download").await;
    let mut client = chain.http2().await;
    let unread = within("a head", client.begin(request("GET", "/download").body(nothing()).unwrap())).await.unwrap();
    notes.has("end of /download").await;
    chain.until_quiet().await;
    drop((stream, unread));
}

#[tokio::test]
async fn a_client_that_takes_not_even_a_small_answer_is_held_to_the_request_time_out_too() {
    let notes = Notes::default();
    let short = Some(Duration::from_millis(500));
    let chain = Chain::with(model(&notes), |_| {}, |endpoint| endpoint.timeouts.request = short).await;
    let stream = TcpStream::connect(chain.world.address).await.unwrap();
    let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = client.initial_stream_window_size(0).handshake(TokioIo::new(stream)).await.unwrap();
    let mut running = JoinSet::new();
    running.spawn(connection);
    let asked = Request::get("http://model.default/small").body(nothing()).unwrap();
    let unread = within("a head", sender.send_request(asked)).await.unwrap();
    assert_eq!(unread.status(), 200);
    chain.until_quiet().await;
    drop(unread);
}
