//! A replica stays as long as somebody still has something to do with it, and goes after that.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use tokio::time::{MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::Message;
use wired::{File, LEAVING, Model, SlowRequest, Up, secs, throughout, web_socket};

/// Longer than the window (6 s), the grace (1 s) and two rounds of decisions (4 s) together.
const LONG: Duration = secs(12);

async fn up() -> Up {
    Up::start(&File::of(Model::predictor("patient", &[]))).await
}

/// The one replica's process number, once the replica is told as ready.
async fn the_replica(up: &Up) -> i32 {
    up.until_state("patient-v1", "active", secs(20)).await;
    match up.mark().predictors()[..] {
        [pid] => pid,
        ref others => panic!("one replica was expected: {others:?}"),
    }
}

/// The same process is there, and ready, for a long time.
async fn is_kept(up: &Up, pid: i32) {
    throughout(LONG, "the replica is kept", async || {
        let (there, ready) = (up.mark().predictors(), up.ready("patient-v1").await);
        if there == [pid] && ready == 1 { Ok(()) } else { Err(format!("{there:?}, {ready} ready")) }
    })
    .await;
}

#[tokio::test]
async fn a_request_body_that_comes_slowly_keeps_its_replica() {
    let up = up().await;
    let mut request = SlowRequest::begin(up.shared(), "patient").await;
    request.piece("first").await;
    let pid = the_replica(&up).await;
    let sending = async {
        let mut pace = interval(secs(1));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 1.. {
            pace.tick().await;
            request.piece(&format!("piece {number}.")).await;
        }
    };
    tokio::select! {
        () = is_kept(&up, pid) => {}
        () = sending => {}
    }
    assert!(request.end().await.contains("piece 10."), "it was one request all the time");
    up.until_gone("patient-v1", LEAVING).await;
}

#[tokio::test]
async fn server_sent_events_keep_their_replica_for_longer_than_the_window() {
    let up = up().await;
    let mut events = up.client("patient").open("/events?n=0&every=500ms").await;
    let pid = the_replica(&up).await;
    let mut read = 0;
    let reading = async {
        while let Some(frame) = events.body_mut().frame().await {
            frame.expect("the events flow");
            read += 1;
        }
        panic!("the events ended after {read}");
    };
    tokio::select! {
        () = is_kept(&up, pid) => {}
        () = reading => {}
    }
    assert!(10 <= read, "{read} events came");
    drop(events);
    up.until_gone("patient-v1", LEAVING).await;
}

#[tokio::test]
async fn a_web_socket_that_says_nothing_keeps_its_replica() {
    let up = up().await;
    let mut socket = web_socket(up.shared(), "patient").await;
    is_kept(&up, the_replica(&up).await).await;
    socket.send(Message::text("still there?")).await.unwrap();
    let echo = tokio::time::timeout(secs(20), socket.next()).await.expect("it answers").expect("it is open").unwrap();
    assert_eq!(echo, Message::text("still there?"));
    drop(socket);
    up.until_gone("patient-v1", LEAVING).await;
}
