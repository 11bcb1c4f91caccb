//! Hosts, ports, long answers, and leaving.

use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Connection, Request};
use crate::replica::{Replica, reserve};
use crate::world::{World, endpoint, endpoint_key, revision, revision_key, until, within};

#[tokio::test]
async fn an_unknown_host_is_answered_with_404_in_json() {
    let world = World::at_zero().await;
    let request = Request::new("POST", "/").header("host", "nobody.example.com").body("{}");
    let answer = world.send(request.header("accept", "application/json")).await;
    assert_eq!((answer.status.as_u16(), answer.header("rouse-reason")), (404, "unknown-host"));
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("nobody.example.com"), "{problem}");
}

#[tokio::test]
async fn before_everything_is_known_no_host_is_unknown() {
    let world = World::unsynced().await;
    let answer = world.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("rouse-reason")), (503, "not-synced"));
    assert_ne!(answer.header("retry-after"), "");
}

#[tokio::test]
async fn on_its_own_port_an_endpoint_answers_every_host_but_the_name_of_another() {
    let world = World::empty().await;
    let (first, second) = (reserve(), reserve());
    for (name, revision_name, own_port) in [("one", "v1", first.1), ("two", "v2", second.1)] {
        let mut endpoint = endpoint(name, &[(revision_name, 100)]);
        endpoint.own_port = Some(own_port);
        world.put_endpoint(endpoint);
        world.autoscaler.acknowledged(name, 1).await;
    }
    let (one, two) = (Replica::ready("one").await, Replica::ready("two").await);
    world.boards.revisions.put(revision_key("v1"), revision("v1", &[&one]));
    world.boards.revisions.put(revision_key("v2"), revision("v2", &[&two]));
    let ask = async |address, host| within("an answer", Request::get("/").header("host", host).send(address)).await;
    assert_eq!(ask(first.1, "gateway.example.com").await.body, "one");
    assert_eq!(ask(second.1, "gateway.example.com").await.body, "two");
    assert_eq!(ask(second.1, "two.default:80").await.body, "two");
    let misdirected = ask(second.1, "one.default.svc.cluster.local").await;
    assert_eq!((misdirected.status.as_u16(), misdirected.header("rouse-reason")), (421, "misdirected"));

    // A connection that is kept while the endpoint goes.
    let mut kept = Connection::open(second.1).await;
    assert_eq!(kept.send(Request::get("/")).await.body, "two");
    let in_flight = kept.begin(Request::get("/wait"));
    let going = async {
        until("it has begun", || two.begun().contains(&"GET /wait".to_owned()).then_some(())).await;
        world.boards.endpoints.remove(&endpoint_key("two"));
        let gone = async { while world.send(Request::get("/").header("host", "two.default")).await.status != 404 {} };
        within("the endpoint is gone", gone).await;
        two.let_go(1);
    };
    let (answer, ()) = tokio::join!(in_flight, going);
    assert_eq!(answer.status().as_u16(), 200, "what was begun is finished");
}

#[tokio::test]
async fn a_head_request_is_answered_without_a_body_and_its_connection_stays() {
    let replica = Replica::ready("a").await;
    let world = World::with(&[&replica]).await;
    let mut connection = Connection::open(world.address).await;
    for host in ["model.default", "nobody.example.com", "model.default"] {
        let answer = connection.send(Request::new("HEAD", "/").header("host", host)).await;
        assert_eq!(answer.body, "");
        assert_eq!(answer.status.as_u16(), if host == "model.default" { 200 } else { 404 });
    }
    assert_eq!(connection.send(Request::get("/")).await.body, "a");
}

#[tokio::test]
async fn a_stream_of_events_counts_until_its_last_byte() {
    let replica = Replica::ready("a").await;
    let world = World::with(&[&replica]).await;
    let mut connection = Connection::open(world.address).await;
    let mut body = connection.begin(Request::get("/events")).await.into_body();
    let first = within("the first event", body.frame()).await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "data: first\n\n");
    world.until_in_flight(1).await;
    world.autoscaler.asks_for_a_promise(1);
    assert_eq!(world.autoscaler.hears_verdict(1).await, wire::Verdict::Veto);
    replica.let_go(1);
    assert_eq!(within("the rest", body.collect()).await.unwrap().to_bytes(), "data: last\n\n");
    world.until_in_flight(0).await;
}

#[tokio::test]
async fn an_upgraded_connection_counts_until_it_is_closed() {
    let replica = Replica::ready("a").await;
    let world = World::with(&[&replica]).await;
    let mut connection = Connection::open(world.address).await;
    let request = Request::get("/upgrade").header("connection", "upgrade").header("upgrade", "echo");
    let mut answer = connection.begin(request).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["upgrade"]), (101, &"echo".parse().unwrap()));
    let mut stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    stream.write_all(b"hello").await.unwrap();
    let mut echoed = [0; 5];
    within("an echo", stream.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(&echoed, b"hello");
    world.autoscaler.asks_for_a_promise(1);
    assert_eq!(world.autoscaler.hears_verdict(1).await, wire::Verdict::Veto);
    drop((stream, connection));
    world.until_in_flight(0).await;
}

#[tokio::test]
async fn who_is_held_or_at_a_replica_is_answered_before_it_leaves() {
    let replica = Replica::ready("a").await;
    let mut world = World::with(&[&replica]).await;
    world.put_endpoint(endpoint("asleep", &[("v2", 100)]));
    world.boards.revisions.put(revision_key("v2"), revision("v2", &[]));
    world.autoscaler.acknowledged("asleep", 1).await;
    let at_zero = Request::get("/").header("host", "asleep.default");
    let leaving = async {
        world.until_in_flight(1).await;
        world.autoscaler.hears_wake_after(0).await;
        world.begin_draining();
        // It listens no more once it drains.
        let refused = async { while tokio::net::TcpStream::connect(world.address).await.is_ok() {} };
        within("it does not listen any more", refused).await;
        world.boards.revisions.put(revision_key("v2"), revision("v2", &[&replica]));
        replica.let_go(1);
    };
    let (in_flight, held, ()) = tokio::join!(world.get("/wait"), world.send(at_zero), leaving);
    for answer in [in_flight, held] {
        assert_eq!((answer.status.as_u16(), &*answer.body, answer.header("connection")), (200, "a", "close"));
    }
    world.ended().await;
}
