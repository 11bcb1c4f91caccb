//! What is held at zero, and who hears of it.

use std::time::Duration;

use activator::Budget;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wire::Up;

use crate::autoscaler::wake;
use crate::client::{Connection, Request};
use crate::replica::Replica;
use crate::world::{World, endpoint, until, within};

#[tokio::test]
async fn a_request_at_zero_is_held_and_wakes_at_once_and_again_until_a_replica_is_there() {
    let world = World::at_zero().await;
    let replica = Replica::starting("a").await;
    let request = Request::get("/").header("x-request-id", "first");
    let waking = async {
        let first = world.autoscaler.hears_wake_after(0).await;
        assert_eq!((&*first.revision, first.held, &*first.request_id), ("v1", 1, "first"));
        let wakes = || -> Vec<_> { world.autoscaler.heard().iter().filter_map(|heard| wake(&heard.said)).collect() };
        let four = until("three repetitions", || Some(wakes()).filter(|wakes| 4 <= wakes.len())).await;
        // By the activator's own clock. A slow machine makes pauses longer; never are two said in a row.
        let said_after: Vec<u64> = four.iter().map(|wake| wake.oldest_wait_ms).collect();
        assert!(said_after.iter().zip([0, 250, 500, 750]).all(|(said, due)| due <= *said), "{said_after:?}");
        world.put_replicas("v1", &[&replica]);
        replica.become_ready();
    };
    let (answer, ()) = tokio::join!(world.send(request), waking);
    assert_eq!((answer.status.as_u16(), &*answer.body, answer.header("rouse-revision")), (200, "a", "v1"));
    assert!(answer.header("server-timing").starts_with("wake;dur="), "{:?}", answer.headers);

    // Once it has said that nothing is held, it says no more of it.
    let nothing_held = |up: &Up| match up {
        Up::Frame(frame) => frame.demands.iter().any(|demand| (demand.requests, demand.in_flight) == (1, 0)),
        _ => false,
    };
    let said = || world.autoscaler.heard().iter().position(|heard| nothing_held(&heard.said));
    let so_far = 1 + until("a frame says that nothing is held", said).await;
    world.autoscaler.hears_after(so_far, "a frame", |up| matches!(up, Up::Frame(_)).then_some(())).await;
    let later = world.autoscaler.heard().into_iter().skip(so_far).find_map(|heard| wake(&heard.said));
    assert_eq!(later, None, "a wake though nothing is held");
}

#[tokio::test]
async fn what_waits_for_room_becomes_a_wake_when_the_last_replica_goes() {
    let replica = Replica::ready("a").await;
    let world = World::at_zero().await;
    let mut one_at_once = endpoint("model", &[("v1", 100)]);
    one_at_once.generation = 2;
    one_at_once.container_concurrency = units::ConcurrencyLimit::from_field(1);
    world.put_endpoint(one_at_once);
    world.autoscaler.acknowledged("model", 2).await;
    world.put_replicas("v1", &[&replica]);
    assert_eq!(world.get("/").await.body, "a");
    let so_far = world.autoscaler.heard().len();

    let going = async {
        world.until_held(1).await;
        world.put_replicas("v1", &[]);
        world.autoscaler.hears_wake_after(so_far).await;
        world.put_replicas("v1", &[&replica]);
        replica.let_go(2);
    };
    let (first, second, ()) = tokio::join!(world.get("/wait"), world.get("/wait"), going);
    assert_eq!((&*first.body, &*second.body), ("a", "a"));
}

#[tokio::test]
async fn a_client_that_leaves_while_it_is_held_frees_its_place() {
    let world = World::at_zero().await;
    // The last is not read to its end.
    let (small, large) = ("{\"inputs\": []}", "x".repeat(150_000));
    let post = Request::new("POST", "/");
    for request in [Request::get("/"), post.clone().body(small), post.body(large)] {
        let mut connection = Connection::open(world.address).await;
        tokio::select! {
            _ = connection.begin(request) => panic!("nobody can have answered"),
            () = world.until_held(1) => {}
        }
        drop(connection);
        world.until_in_flight(0).await;
        world.until_held(0).await;
    }
}

#[tokio::test]
async fn the_body_of_what_was_held_arrives_whole() {
    let world = World::at_zero().await;
    let replica = Replica::ready("a").await;
    // The last is more than the line of this endpoint keeps, so it is read from the client only when it is sent.
    for bytes in [10, 300_000, 3_000_000] {
        let sent: String = (b'a'..=b'z').cycle().take(bytes).map(char::from).collect();
        let starting = async {
            world.until_held(1).await;
            world.put_replicas("v1", &[&replica]);
        };
        let request = Request::new("POST", "/").body(sent.clone());
        let (answer, ()) = tokio::join!(world.send(request), starting);
        assert!(answer.body.strip_prefix("a ") == Some(&*sent), "{bytes} bytes: {}", answer.status);
        world.put_replicas("v1", &[]);
        until_at_zero(&world).await;
    }
}

/// A replica that is taken off the board is used a little longer.
async fn until_at_zero(world: &World) {
    let asking = async {
        loop {
            let mut connection = Connection::open(world.address).await;
            tokio::select! {
                _ = connection.begin(Request::get("/")) => {}
                () = world.until_held(1) => return,
            }
        }
    };
    within("nothing is forwarded any more", asking).await;
    world.until_held(0).await;
}

#[tokio::test]
async fn a_start_that_failed_refuses_with_the_reason_who_waits_and_who_comes() {
    let world = World::at_zero().await;
    let request = Request::get("/").header("accept", "application/json");
    let failing = async {
        world.autoscaler.hears_wake_after(0).await;
        world.autoscaler.refuses("start-failed", "exit status 1", Duration::from_secs(100));
    };
    let (waited, ()) = tokio::join!(world.send(request.clone()), failing);
    for answer in [waited, world.send(request).await] {
        assert_eq!((answer.status.as_u16(), answer.header("rouse-reason")), (503, "start-failed"));
        let seconds: u64 = answer.header("retry-after").parse().unwrap();
        assert!((60..=120).contains(&seconds), "{seconds}");
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(problem["reason"], "start-failed");
        assert!(problem["detail"].as_str().unwrap().contains("exit status 1"), "{problem}");
    }
    // Another workload may start.
    world.autoscaler.refuses("", "", Duration::ZERO);
    let replica = Replica::ready("a").await;
    world.put_replicas("v1", &[&replica]);
    assert_eq!(until_answered(&world).await, "a");
}

/// A message to the activator and a request race; so ask until it has been heard.
async fn until_answered(world: &World) -> String {
    let asking = async {
        loop {
            let answer = world.get("/").await;
            if answer.status == 200 {
                return answer.body;
            }
        }
    };
    within("an answer of a replica", asking).await
}

#[tokio::test]
async fn a_refusal_ends_with_the_stream_of_the_autoscaler_that_said_it() {
    let mut world = World::at_zero().await;
    let failing = async {
        world.autoscaler.hears_wake_after(0).await;
        world.autoscaler.refuses("start-failed", "exit status 1", Duration::from_secs(300));
    };
    let (refused, ()) = tokio::join!(world.get("/"), failing);
    assert_eq!(refused.header("rouse-reason"), "start-failed");

    world.autoscaler.go().await;
    let mut held = Connection::open(world.address).await;
    let asking = async {
        // Until it has noticed that nobody is there.
        while held.send(Request::get("/")).await.header("rouse-reason") == "start-failed" {}
    };
    tokio::select! {
        () = asking => panic!("nobody can have answered"),
        () = world.until_held(1) => {}
    }
}

#[tokio::test]
async fn without_an_autoscaler_what_is_up_is_served_and_what_is_at_zero_is_held_until_it_is_back() {
    let up = Replica::ready("up").await;
    let mut world = World::with(&[&up]).await;
    world.put_endpoint(endpoint("asleep", &[("v2", 100)]));
    world.boards.revisions.put(crate::world::revision_key("v2"), crate::world::revision("v2", &[]));
    world.autoscaler.acknowledged("asleep", 1).await;
    world.autoscaler.go().await;
    assert_eq!(world.get("/").await.body, "up");

    let address = world.address;
    let mut asking = tokio::task::JoinSet::new();
    asking.spawn(async move { Request::get("/").header("host", "asleep.default").send(address).await });
    until("one held", || (world.metric("rouse_held_requests", "v2") == 1.0).then_some(())).await;
    let so_far = world.autoscaler.heard().len();
    world.autoscaler.come_back().await;
    let wake = world.autoscaler.hears_wake_after(so_far).await;
    assert_eq!((&*wake.revision, wake.held), ("v2", 1));
    let replica = Replica::ready("woken").await;
    world.boards.revisions.put(crate::world::revision_key("v2"), crate::world::revision("v2", &[&replica]));
    assert_eq!(within("the answer", asking.join_next()).await.unwrap().unwrap().body, "woken");
}

#[tokio::test]
async fn a_body_of_unknown_length_that_was_read_while_held_arrives_whole() {
    let world = World::at_zero().await;
    let replica = Replica::ready("a").await;
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: model.default\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n").as_bytes()).await.unwrap();
    world.until_held(1).await;
    world.put_replicas("v1", &[&replica]);
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\na hello!"), "{answer}");
}

#[tokio::test]
async fn who_waited_in_vain_hears_whether_anyone_was_there_who_could_have_woken_it() {
    let mut world = World::at_zero().await;
    let mut hasty = endpoint("model", &[("v1", 100)]);
    hasty.generation = 2;
    hasty.queue.max_wait = Duration::from_millis(300);
    world.put_endpoint(hasty);
    world.autoscaler.acknowledged("model", 2).await;

    // It is connected, and does not lead.
    assert_eq!(world.get("/").await.header("rouse-reason"), "cannot-wake");
    world.autoscaler.leads(1).await;
    let answer = world.get("/").await;
    assert_eq!((answer.status.as_u16(), answer.header("rouse-reason")), (503, "waited-too-long"));
    let retry_after: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&retry_after), "{retry_after}");

    world.autoscaler.go().await;
    let abandoned = async {
        loop {
            let answer = world.send(Request::get("/").header("accept", "application/json")).await;
            if answer.header("rouse-reason") == "cannot-wake" {
                return answer;
            }
        }
    };
    let answer = within("nobody leads", abandoned).await;
    assert!(answer.body.contains("has no replica, and after 300ms none of the 1 autoscalers"), "{}", answer.body);
}

#[tokio::test]
async fn what_has_no_room_in_the_budget_is_refused_and_what_leaves_makes_room() {
    let world = World::small(Budget::new(70 << 10)).await;
    let beyond = async {
        world.until_held(2).await;
        world.get("/").await
    };
    let refused = tokio::select! {
        _ = world.get("/") => panic!("nobody can have answered"),
        _ = world.get("/") => panic!("nobody can have answered"),
        refused = beyond => refused,
    };
    assert_eq!((refused.status.as_u16(), refused.header("rouse-reason")), (503, "activator-full"));
    assert!(1 <= refused.header("retry-after").parse::<u32>().unwrap());

    // The two have left with the selection.
    world.until_in_flight(0).await;
    let mut again = Connection::open(world.address).await;
    tokio::select! {
        _ = again.begin(Request::get("/")) => panic!("nobody can have answered"),
        () = world.until_held(1) => {}
    }
}
