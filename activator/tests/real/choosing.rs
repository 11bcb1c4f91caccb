//! Which revision a request gets: by tag, by what it looks like, by whose it is, by its turn. Two activators that know
//! nothing of each other agree on whose it is.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderName, Method};
use platform::Endpoint;
use traffic::{Match, Pattern, Regex, Sticky};

use crate::client::{Answer, Connection, Request};
use crate::replica::Replica;
use crate::world::{World, endpoint, within};

const KEYS: usize = 10_000;

fn by_user() -> Option<Sticky> {
    Some(Sticky::Header(HeaderName::from_static("x-user")))
}

pub(crate) fn any(to: usize) -> Match {
    Match { header: None, cookie: None, path: None, method: None, to }
}

pub(crate) fn header(name: &'static str, value: &str, to: usize) -> Match {
    Match { header: Some((HeaderName::from_static(name), Pattern::Exact(value.into()))), ..any(to) }
}

pub(crate) fn model(shares: &[(&str, u8)], matches: &[Match], sticky: Option<Sticky>) -> Endpoint {
    Endpoint { matches: matches.into(), sticky, ..endpoint("model", shares) }
}

/// An activator in front of this endpoint, with a replica for each revision, called like it.
pub(crate) async fn activator(endpoint: Endpoint, replicas: &[&Replica]) -> World {
    let world = World::empty().await;
    for replica in replicas {
        world.put_replicas(&replica.name, &[replica]);
    }
    world.put_endpoint(endpoint);
    world.autoscaler.acknowledged("model", 1).await;
    world
}

pub(crate) async fn replicas<const N: usize>(names: [&str; N]) -> [Replica; N] {
    futures_util::future::join_all(names.map(Replica::ready)).await.try_into().ok().unwrap()
}

async fn ask(connection: &mut Connection, request: Request) -> Answer {
    let answer = within("an answer", connection.send(request)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, answer.header("rouse-revision"));
    answer
}

/// Who answers each of the first so many users.
async fn of_users(world: &World, count: usize) -> Vec<String> {
    let mut connection = Connection::open(world.address).await;
    let mut chosen = Vec::new();
    for user in 0..count {
        let request = Request::get("/").header("x-user", &format!("user-{user}"));
        chosen.push(ask(&mut connection, request).await.body);
    }
    chosen
}

/// From which revision to which, for each user that is moved by other shares. One activator is asked before the change,
/// another one after it.
async fn moves(before: &[(&str, u8)], after: &[(&str, u8)]) -> Vec<(String, String)> {
    let replicas = replicas(["v1", "v2", "v3"]).await;
    let replicas: Vec<&Replica> = replicas.iter().collect();
    let first = activator(model(before, &[], by_user()), &replicas).await;
    let second = activator(model(before, &[], by_user()), &replicas).await;
    let (at_first, at_second) = tokio::join!(of_users(&first, KEYS), of_users(&second, KEYS / 10));
    assert_eq!(at_first[..KEYS / 10], at_second, "both send everybody to the same revision");

    second.put_endpoint(Endpoint { generation: 2, ..model(after, &[], by_user()) });
    second.autoscaler.acknowledged("model", 2).await;
    let ends = at_first.into_iter().zip(of_users(&second, KEYS).await);
    ends.filter(|(from, to)| from != to).collect()
}

#[tokio::test]
async fn from_90_and_10_to_80_and_20_at_most_11_of_100_clients_move_and_only_from_the_first_to_the_second() {
    let moves = moves(&[("v1", 90), ("v2", 10)], &[("v1", 80), ("v2", 20)]).await;
    assert!((900..=1_100).contains(&moves.len()), "{}", moves.len());
    assert!(moves.iter().all(|(from, to)| (&**from, &**to) == ("v1", "v2")));
}

#[tokio::test]
async fn from_50_30_and_20_to_40_30_and_30_at_most_13_of_100_clients_move() {
    let (before, after) = ([("v1", 50), ("v2", 30), ("v3", 20)], [("v1", 40), ("v2", 30), ("v3", 30)]);
    let moves = moves(&before, &after).await;
    assert!((1_000..=1_300).contains(&moves.len()), "{}", moves.len());
    assert!(moves.iter().all(|(from, to)| from != "v3" && to != "v1"), "who loses gets nobody, who gains loses nobody");
}

#[tokio::test]
async fn shares_are_exact_over_any_hundred_whose_turn_it_is_whatever_comes_between_them() {
    let [v1, v2] = [Replica::ready("v1").await, Replica::ready("v2").await];
    let endpoint = model(&[("v1", 93), ("v2", 7)], &[header("x-beta", "1", 1)], by_user());
    let two = [activator(endpoint.clone(), &[&v1, &v2]).await, activator(endpoint, &[&v1, &v2]).await];
    for world in &two {
        let mut connection = Connection::open(world.address).await;
        let mut turns = Vec::new();
        for number in 0..250 {
            turns.push(ask(&mut connection, Request::get("/")).await.body);
            // None of these is anybody's turn.
            let pinned = match number % 3 {
                0 => Request::get("/").header("rouse-tag", "v2"),
                1 => Request::get("/").header("x-beta", "1"),
                _ => Request::get("/").header("x-user", "a"),
            };
            ask(&mut connection, pinned).await;
        }
        for hundred in turns.windows(100) {
            assert_eq!(hundred.iter().filter(|name| *name == "v2").count(), 7);
        }
    }
}

#[tokio::test]
async fn a_tag_goes_before_the_first_match_that_fits_and_that_before_stickiness() {
    let all = replicas(["v1", "v2", "v3"]).await;
    let path = Match { path: Some(Pattern::Prefix("/v2/".into())), method: Some(Method::POST), ..any(2) };
    let cookie = Pattern::Regex(Regex::new("on|1").unwrap());
    let cookie = Match { cookie: Some(("beta".into(), cookie)), ..any(1) };
    let whole_path = Match { path: Some(Pattern::Exact("/whole".into())), ..any(1) };
    let matches = [header("x-beta", "1", 1), path, cookie, whole_path];
    // Whoever is not sent elsewhere gets v1.
    let endpoint = model(&[("v1", 100), ("v2", 0), ("v3", 0)], &matches, by_user());
    let world = activator(endpoint, &all.iter().collect::<Vec<_>>()).await;
    let mut connection = Connection::open(world.address).await;
    let (get, post) = (|path| Request::new("GET", path), |path| Request::new("POST", path));
    for (request, who) in [
        (get("/v2/models").header("x-user", "a"), "v1"),
        (get("/").header("X-Beta", "1").header("x-user", "a"), "v2"),
        (get("/").header("x-beta", "0"), "v1"),
        (post("/v2/models?a=/b").header("x-user", "a"), "v3"),
        (post("/v1/models?a=/v2/"), "v1"),
        (post("/v2/models").header("x-beta", "1"), "v2"),
        (post("/v2/models").header("cookie", "beta=on"), "v3"),
        (get("/").header("cookie", "a=b; beta=on"), "v2"),
        (get("/").header("cookie", "beta=onward"), "v1"),
        (get("/whole?a=b"), "v2"),
        (get("/").header("x-beta", "1").header("rouse-tag", "v3"), "v3"),
        (post("/v2/models").header("rouse-tag", "v1"), "v1"),
    ] {
        let told = format!("{request:?}");
        assert_eq!(ask(&mut connection, request).await.body, who, "{told}");
    }
    // Also where the tag is nobody's.
    let answer = within("an answer", connection.send(get("/").header("x-beta", "1").header("rouse-tag", "v9"))).await;
    assert_eq!((answer.status.as_u16(), answer.header("rouse-reason")), (503, "revision-missing"));
}

#[tokio::test]
async fn a_match_wakes_a_revision_with_nothing_else_from_zero() {
    let [v1, v2] = [Replica::ready("v1").await, Replica::ready("v2").await];
    let endpoint = model(&[("v1", 100), ("v2", 0)], &[header("x-beta", "1", 1)], None);
    let world = activator(endpoint, &[&v1]).await;
    world.put_replicas("v2", &[]);
    let waking = async {
        let wake = world.autoscaler.hears_wake_after(0).await;
        assert_eq!((&*wake.revision, wake.held), ("v2", 1));
        world.put_replicas("v2", &[&v2]);
    };
    let (answer, ()) = tokio::join!(world.send(Request::get("/").header("x-beta", "1")), waking);
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, "v2"));
    assert_eq!(world.get("/").await.body, "v1");
}

#[tokio::test]
async fn a_client_without_a_cookie_gets_its_turn_and_a_cookie_with_which_it_stays_at_every_activator() {
    let all = replicas(["v1", "v2", "v3"]).await;
    let all: Vec<&Replica> = all.iter().collect();
    let sticky = Some(Sticky::Cookie { name: "session".into(), set: true });
    let shares = [("v1", 60), ("v2", 39), ("v3", 1)];
    let endpoint = model(&shares, &[header("x-beta", "1", 1)], sticky);
    let (first, second) = (activator(endpoint.clone(), &all).await, activator(endpoint, &all).await);
    let mut at_first = Connection::open(first.address).await;
    let mut at_second = Connection::open(second.address).await;
    let mut turns: BTreeMap<String, u8> = BTreeMap::new();
    let mut given = BTreeSet::new();
    for _ in 0..100 {
        let answer = ask(&mut at_first, Request::get("/").header("cookie", "other=1; session=")).await;
        let set = answer.header("set-cookie").to_owned();
        let (cookie, attributes) = set.split_once("; ").unwrap();
        assert!(cookie.starts_with("session=") && attributes == "Path=/; HttpOnly; SameSite=Lax", "{set}");
        assert!(given.insert(cookie.to_owned()), "each client is one of its own: {set}");
        *turns.entry(answer.body.clone()).or_default() += 1;
        // It comes back with it, here or there, and is not given another one.
        for connection in [&mut at_first, &mut at_second] {
            let again = ask(connection, Request::get("/").header("cookie", &format!("other=1; {cookie}"))).await;
            assert_eq!((&again.body, again.header("set-cookie")), (&answer.body, ""));
        }
    }
    let turns: Vec<(&str, u8)> = turns.iter().map(|(name, count)| (&**name, *count)).collect();
    assert_eq!(turns, shares, "who brings none takes turns, and nobody else");
    // Whom something else sends somewhere needs none.
    for (name, value) in [("x-beta", "1"), ("rouse-tag", "v3")] {
        assert_eq!(ask(&mut at_first, Request::get("/").header(name, value)).await.header("set-cookie"), "");
    }
}

#[tokio::test]
async fn a_clients_address_is_where_its_connection_comes_from_whatever_it_says() {
    let [v1, v2] = [Replica::ready("v1").await, Replica::ready("v2").await];
    let endpoint = model(&[("v1", 50), ("v2", 50)], &[], Some(Sticky::ClientAddress));
    let (first, second) = (activator(endpoint.clone(), &[&v1, &v2]).await, activator(endpoint, &[&v1, &v2]).await);
    let mut chosen = Vec::new();
    for number in 1..=32 {
        let client = [127, 0, 0, number].into();
        let mut all = Vec::new();
        for world in [&first, &second] {
            let mut connection = Connection::from(client, world.address).await;
            for forged in ["203.0.113.1", "203.0.113.2"] {
                all.push(ask(&mut connection, Request::get("/").header("x-forwarded-for", forged)).await.body);
            }
        }
        assert!(all.iter().all(|one| *one == all[0]), "{client}: {all:?}");
        chosen.push(all.swap_remove(0));
    }
    assert!(["v1", "v2"].iter().all(|name| chosen.iter().any(|chosen| chosen == name)), "{chosen:?}");
}
