use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use super::*;
use crate::fake::{self, Call, Reply, answer, refusal};

/// An API server that has Leases in one namespace, and lets them be watched.
struct Leases {
    newest: Mutex<(u64, Option<Value>)>,
    told: broadcast::Sender<Value>,
    asked: Mutex<Vec<Call>>,
    silent: watch::Sender<bool>,
}

/// What is told from now on, a line each.
fn events(told: broadcast::Receiver<Value>) -> UnsyncBoxBody<Bytes, std::io::Error> {
    let lines = futures_util::stream::unfold(told, |mut told| async move {
        let event = told.recv().await.ok()?;
        let line = Bytes::from(format!("{event}\n"));
        Some((Ok::<_, std::io::Error>(Frame::data(line)), told))
    });
    StreamBody::new(lines).boxed_unsync()
}

impl Leases {
    fn new() -> Arc<Self> {
        let told = broadcast::Sender::new(64);
        Arc::new(Self { newest: Mutex::default(), told, asked: Mutex::default(), silent: watch::Sender::new(false) })
    }

    /// One that takes part.
    fn cluster(self: &Arc<Self>) -> Cluster {
        let leases = Arc::clone(self);
        fake::cluster(move |call| {
            let leases = Arc::clone(&leases);
            let mut silent = leases.silent.subscribe();
            async move {
                if *silent.borrow_and_update() {
                    return std::future::pending().await;
                }
                leases.serve(call)
            }
            .boxed()
        })
    }

    fn serve(&self, call: Call) -> Reply {
        const ALL: &str = "/apis/coordination.k8s.io/v1/namespaces/rouse/leases";
        self.asked.lock().push(call.clone());
        let mut newest = self.newest.lock();
        let (version, lease) = &mut *newest;
        let is_named = call.path == format!("{ALL}/rouse-autoscaler");
        match (call.method.as_str(), is_named, &*lease) {
            ("GET", true, Some(lease)) => answer(200, lease),
            ("GET", true, None) => answer(404, &refusal(404, "not found")),
            ("GET", false, _) if call.query.contains("watch=") => http::Response::new(events(self.told.subscribe())),
            ("GET", false, lease) => {
                assert_eq!(call.path, ALL);
                let items: Vec<&Value> = lease.iter().collect();
                answer(200, &json!({ "metadata": { "resourceVersion": version.to_string() }, "items": items }))
            }
            ("POST", false, None) => self.write(&mut newest, call.body),
            ("PUT", true, Some(lease))
                if lease["metadata"]["resourceVersion"] == call.body["metadata"]["resourceVersion"] =>
            {
                self.write(&mut newest, call.body)
            }
            _ => answer(409, &refusal(409, "modified")),
        }
    }

    fn write(&self, newest: &mut (u64, Option<Value>), mut body: Value) -> Reply {
        newest.0 += 1;
        body["metadata"]["resourceVersion"] = newest.0.to_string().into();
        newest.1 = Some(body.clone());
        let _ = self.told.send(json!({ "type": "MODIFIED", "object": body }));
        answer(200, &body)
    }

    fn newest(&self) -> Value {
        self.newest.lock().1.clone().unwrap()
    }
}

/// One that takes part, in a task of its own.
struct Member {
    cluster: Cluster,
    leadership: watch::Receiver<Leadership>,
    highest: watch::Sender<u64>,
    leave: CancellationToken,
    task: JoinSet<anyhow::Result<()>>,
}

impl Member {
    fn of(leases: &Arc<Leases>) -> Self {
        let cluster = leases.cluster();
        let (sender, leadership) = watch::channel(Leadership::Following);
        let (highest, heard) = watch::channel(0);
        let leave = CancellationToken::new();
        let mut task = JoinSet::new();
        let (elects, left) = (cluster.clone(), leave.clone());
        task.spawn(async move { elects.elect(sender, heard, left).await });
        Self { cluster, leadership, highest, leave, task }
    }

    /// Its epoch, once it leads.
    async fn leads(&mut self) -> u64 {
        match *self.until(|leadership| leadership != Leadership::Following).await {
            Leadership::Leading { epoch, .. } => epoch,
            Leadership::Following => 0,
        }
    }

    async fn until(&mut self, is: impl Fn(Leadership) -> bool) -> watch::Ref<'_, Leadership> {
        let seen = self.leadership.wait_for(|leadership| is(*leadership));
        timeout(Duration::from_secs(60), seen).await.expect("it came to be").unwrap()
    }

    fn follows(&self) -> bool {
        *self.leadership.borrow() == Leadership::Following
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_leads_at_once_and_the_second_follows() {
    let leases = Leases::new();
    let mut first = Member::of(&leases);
    assert_eq!(first.leads().await, 1);
    let second = Member::of(&leases);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(second.follows());
    assert_eq!(first.leads().await, 1);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_hands_over_at_once() {
    let leases = Leases::new();
    let mut first = Member::of(&leases);
    first.leads().await;
    let mut second = Member::of(&leases);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let told = second.cluster.clock.now();
    first.leave.cancel();
    first.until(|leadership| leadership == Leadership::Following).await;
    assert_eq!(second.leads().await, 2);
    assert!(second.cluster.clock.now().since(told) < Duration::from_millis(100));
    timeout(Duration::from_secs(60), first.task.join_next()).await.unwrap().unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_dies_is_followed_after_a_lease() {
    let leases = Leases::new();
    let mut first = Member::of(&leases);
    first.leads().await;
    let mut second = Member::of(&leases);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let died = second.cluster.clock.now();
    first.task.abort_all();
    assert_eq!(second.leads().await, 2);
    let took = second.cluster.clock.now().since(died);
    assert!(Duration::from_secs(12) <= took && took <= Duration::from_millis(15_100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn without_an_api_server_nobody_leads_past_the_deadline_and_with_it_again_somebody_does() {
    let leases = Leases::new();
    let mut member = Member::of(&leases);
    assert_eq!(member.leads().await, 1);
    let gone = member.cluster.clock.now();
    leases.silent.send_replace(true);
    member.until(|leadership| leadership == Leadership::Following).await;
    // A call that was on its way when the deadline came may end first.
    assert!(member.cluster.clock.now().since(gone) <= Timing::ROUSE.renew + PROMPT);
    leases.silent.send_replace(false);
    assert_eq!(member.leads().await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_leader_leads_anew_above_the_epoch_that_an_activator_has_seen() {
    let leases = Leases::new();
    let mut member = Member::of(&leases);
    assert_eq!(member.leads().await, 1);
    member.highest.send_replace(41);
    member.until(|leadership| matches!(leadership, Leadership::Leading { epoch: 42, .. })).await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_asks_nothing_while_it_is_told() {
    let leases = Leases::new();
    let mut first = Member::of(&leases);
    first.leads().await;
    let _second = Member::of(&leases);
    tokio::time::sleep(Duration::from_secs(10)).await;
    leases.asked.lock().clear();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let asked = leases.asked.lock();
    assert!(asked.iter().all(|call| call.method == "PUT"), "{asked:?}");
    assert!((20..=31).contains(&asked.len()), "{}", asked.len());
}

#[tokio::test(start_paused = true)]
async fn the_lease_says_who_holds_it_since_when_and_keeps_what_others_wrote() {
    let leases = Leases::new();
    let note = json!({ "metadata": { "name": "rouse-autoscaler", "annotations": { "note": "keep" } } });
    leases.write(&mut leases.newest.lock(), note);
    Member::of(&leases).leads().await;
    let lease = leases.newest();
    assert_eq!(lease["metadata"]["annotations"], json!({ "note": "keep", "rouse.dev/epoch": "1" }));
    let spec = &lease["spec"];
    assert!(spec["holderIdentity"].as_str().unwrap().starts_with("autoscaler-0_"), "{spec}");
    assert_eq!((&spec["leaseDurationSeconds"], &spec["leaseTransitions"]), (&json!(15), &json!(1)));
    for time in [&spec["renewTime"], &spec["acquireTime"]] {
        let fraction = time.as_str().unwrap().strip_suffix('Z').unwrap().split_once('.').unwrap().1;
        assert_eq!(fraction.len(), 6, "{time}");
    }
}
