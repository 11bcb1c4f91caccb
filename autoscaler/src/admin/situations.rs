//! What the admin port tells in each situation that a person may ask about. Kept as files, so that what is said to people
//! is tried on what is really told (`rouse why`).

use std::time::Duration;

use daemon::Clock;
use platform::Path;
use serde_json::{Value, json};
use tokio::time::sleep;
use units::Moment;

use super::tests::ask;
use crate::stage::toy::{Activator, Toy, until};

/// Where `rouse why` finds them.
const FOLDER: &str = "../../../rouse/src/why/situations";

/// 2026-01-02T03:04:05Z. The same each time, and a whole second.
const BEGIN: Moment = Moment::from_unix(Duration::from_secs(1_767_323_045));

fn toy() -> Toy {
    let toy = Toy::on(Clock::beginning_at(BEGIN));
    annotate(&toy, "target-utilization-percentage", "70");
    annotate(&toy, "window", "60s");
    toy
}

fn annotate(toy: &Toy, key: &str, value: &str) {
    let (key, value) = (format!("autoscaling.knative.dev/{key}"), value.to_owned());
    toy.world.change(move |revision| drop(revision.layers[0].values.insert(key, value)));
}

/// Woken by one request, and at work on so many for longer than a stable window.
async fn at_work(toy: &mut Toy, in_flight: u32) -> Activator {
    let activator = toy.activator("activator-a").await;
    activator.wake(1).await;
    until("it is up", || toy.world.replicas() != 0).await;
    activator.serve(in_flight);
    sleep(Duration::from_secs(90)).await;
    activator
}

async fn keep(toy: &Toy, name: &str) {
    const REVISION: &str = "/api/v1/revisions/default/v1";
    let mut revision = ask(toy, REVISION).await.1;
    let decisions = ask(toy, &format!("{REVISION}/decisions")).await.1["decisions"].take();
    let wakes = ask(toy, &format!("{REVISION}/wakes")).await.1["wakes"].take();
    // A name of its own reads better in what is said.
    revision["name"] = "iris-v1".into();
    insta::with_settings!({
        snapshot_path => FOLDER, prepend_module_to_snapshot => false, omit_expression => true,
        snapshot_suffix => "", sort_maps => true,
    }, {
        let told: Value = json!({ "revision": revision, "decisions": decisions, "wakes": wakes });
        insta::assert_json_snapshot!(name, told);
    });
}

#[tokio::test(start_paused = true)]
async fn asleep_at_zero() {
    let mut toy = toy();
    let activator = at_work(&mut toy, 5).await;
    activator.serve(0);
    until("there is none", || toy.world.replicas() == 0).await;
    sleep(Duration::from_secs(10)).await;
    keep(&toy, "zero").await;
}

#[tokio::test(start_paused = true)]
async fn waking() {
    let mut toy = toy();
    toy.world.never_ready();
    let activator = toy.activator("activator-a").await;
    activator.wake(3).await;
    until("it is starting", || toy.world.replicas() == 1).await;
    sleep(Duration::from_millis(400)).await;
    keep(&toy, "waking").await;
}

#[tokio::test(start_paused = true)]
async fn stable() {
    let mut toy = toy();
    let _activator = at_work(&mut toy, 10).await;
    keep(&toy, "stable").await;
}

#[tokio::test(start_paused = true)]
async fn in_panic() {
    let mut toy = toy();
    let activator = at_work(&mut toy, 5).await;
    activator.serve(60);
    until("there are more", || 5 < toy.world.replicas()).await;
    sleep(Duration::from_secs(3)).await;
    keep(&toy, "panic").await;
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_that_is_not_over() {
    let mut toy = toy();
    let activator = at_work(&mut toy, 5).await;
    activator.serve(60);
    until("there are more", || 5 < toy.world.replicas()).await;
    sleep(Duration::from_secs(4)).await;
    activator.serve(5);
    until("less is enough", || toy.because() == Some("holding-peak")).await;
    sleep(Duration::from_secs(2)).await;
    keep(&toy, "panic-ends").await;
}

#[tokio::test(start_paused = true)]
async fn held_by_a_delay() {
    let mut toy = toy();
    annotate(&toy, "scale-down-delay", "2m");
    let activator = at_work(&mut toy, 25).await;
    activator.serve(10);
    until("it is held", || toy.because() == Some("scale-down-delay")).await;
    sleep(Duration::from_secs(30)).await;
    keep(&toy, "delay").await;
}

#[tokio::test(start_paused = true)]
async fn bounded_by_the_maximum() {
    let mut toy = toy();
    annotate(&toy, "max-scale", "3");
    let _activator = at_work(&mut toy, 40).await;
    keep(&toy, "maximum").await;
}

#[tokio::test(start_paused = true)]
async fn kept_by_the_minimum() {
    let mut toy = toy();
    annotate(&toy, "min-scale", "2");
    let activator = at_work(&mut toy, 5).await;
    activator.serve(0);
    sleep(Duration::from_secs(90)).await;
    keep(&toy, "minimum").await;
}

#[tokio::test(start_paused = true)]
async fn idle_until_the_window_ends() {
    let mut toy = toy();
    let activator = at_work(&mut toy, 5).await;
    activator.serve(0);
    sleep(Duration::from_secs(20)).await;
    keep(&toy, "idle").await;
}

/// The path was direct, so that routers have to learn that it is not any more.
#[tokio::test(start_paused = true)]
async fn waiting_for_grace() {
    let mut toy = toy();
    toy.world.change(|revision| revision.sidecars = true);
    annotate(&toy, "target-burst-capacity", "0");
    toy.world.set(1);
    let _activator = toy.activator("activator-a").await;
    let in_flight = toy.working_sidecar("v1-1").await;
    *in_flight.lock() = 1;
    until("it is direct", || toy.world.endpoint().route.path() == Path::Direct).await;
    *in_flight.lock() = 0;
    until("it waits", || toy.because() == Some("grace")).await;
    sleep(Duration::from_secs(5)).await;
    keep(&toy, "grace").await;
}

#[tokio::test(start_paused = true)]
async fn sealed() {
    let mut toy = toy();
    let activator = at_work(&mut toy, 5).await;
    activator.veto();
    activator.serve(0);
    until("it is sealed", || toy.because() == Some("sealed")).await;
    sleep(Duration::from_secs(10)).await;
    keep(&toy, "sealed").await;
}

#[tokio::test(start_paused = true)]
async fn an_activator_is_not_heard() {
    let mut toy = toy();
    let activator = at_work(&mut toy, 10).await;
    let silent = toy.activator("activator-b").await;
    silent.serve(10);
    sleep(Duration::from_secs(90)).await;
    silent.fall_silent();
    activator.serve(1);
    until("it is missed", || toy.because() == Some("activator-unheard")).await;
    sleep(Duration::from_secs(5)).await;
    keep(&toy, "unheard").await;
}

#[tokio::test(start_paused = true)]
async fn failed_to_start() {
    let mut toy = toy();
    toy.world.never_ready();
    let activator = toy.activator("activator-a").await;
    activator.wake(1).await;
    until("it is starting", || toy.world.replicas() == 1).await;
    toy.world.crash(5, "exit status 1: no such file: model.pkl");
    until("it is told", || activator.refusal().is_some()).await;
    activator.serve(0);
    until("there is none", || toy.world.replicas() == 0).await;
    sleep(Duration::from_secs(2)).await;
    keep(&toy, "failed").await;
}

#[tokio::test(start_paused = true)]
async fn a_setting_is_refused() {
    let mut toy = toy();
    annotate(&toy, "max-scale", "8");
    let _activator = at_work(&mut toy, 10).await;
    annotate(&toy, "max-scale", "many");
    annotate(&toy, "window", "1s");
    sleep(Duration::from_secs(4)).await;
    keep(&toy, "refused").await;
}
