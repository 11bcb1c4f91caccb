use platform::Workload;
use wire::{Down, Outcome as SealOutcome};

use super::*;
use crate::ring::WakeEnd;
use crate::stage::toy::{Mood, Toy, until, v1};

#[tokio::test(start_paused = true)]
async fn a_wake_is_ordered_at_once_and_not_at_the_next_tick() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    until("something is decided", || toy.because().is_some()).await;
    let before = tokio::time::Instant::now();
    activator.wake(1).await;
    while toy.world.replicas() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(toy.because(), Some("waking"));
}

#[tokio::test(start_paused = true)]
async fn demand_scales_up_and_its_end_scales_to_zero_through_the_seal() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    activator.wake(1).await;
    activator.load(45);
    until("there are five", || toy.world.replicas() == 5).await;
    activator.load(0);
    until("there is none", || toy.world.replicas() == 0).await;
    assert_eq!(activator.outcomes(), [SealOutcome::Committed as i32]);
    let story = toy.story();
    for word in ["waking", "steady", "grace", "sealed", "zero"] {
        assert!(story.contains(&word), "{word} in {story:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revision_whose_task_broke_begins_anew_and_goes_to_zero_again() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    for breaks in [false, false, true] {
        if breaks {
            toy.world.next_mood(Mood::Breaks);
            activator.wake(1).await;
            until("it was ordered", || toy.world.orders().last() == Some(&1)).await;
        }
        until("its task is there", || toy.because().is_some()).await;
        activator.wake(1).await;
        until("there is one", || toy.world.replicas() == 1).await;
        activator.load(0);
        until("there is none", || toy.world.replicas() == 0).await;
    }
    assert_eq!(activator.outcomes(), [SealOutcome::Committed as i32; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_breaks_each_time_takes_no_processor() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    (0..100).for_each(|_| toy.world.next_mood(Mood::Breaks));
    activator.insist(&mut toy, 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let orders = toy.world.orders().len();
    assert!((2..=11).contains(&orders), "{orders} in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_went_before_its_sidecar_was_heard_is_not_waited_for() {
    let mut toy = Toy::new();
    toy.world.change(|revision| revision.sidecars = true);
    let activator = toy.activator("a").await;
    activator.wake(1).await;
    until("there is one", || toy.world.replicas() == 1).await;
    toy.world.change(|revision| revision.replicas[0].name = "v1-other".into());
    let _idle = toy.working_sidecar("v1-other").await;
    activator.load(0);
    until("there is none", || toy.world.replicas() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn who_keeps_it_from_zero_is_named() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    activator.wake(1).await;
    until("there is one", || toy.world.replicas() == 1).await;
    activator.load(0);
    toy.world.add_activator("never-there");
    let blocked_by = || toy.ground.shelf.get(&v1()).map(|place| place.lock().zero_blocked_by.clone());
    until("it is named", || blocked_by().is_some_and(|names| !names.is_empty())).await;
    assert_eq!(blocked_by(), Some(vec!["never-there".into()]));
    toy.remove_activator("never-there");
    until("there is none", || toy.world.replicas() == 0).await;
    until("nobody is named any more", || blocked_by().is_some_and(|names| names.is_empty())).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_to_whom_nobody_says_any_more_who_exists_ends_instead_of_spinning() {
    let toy = Toy::new();
    until("something is decided", || toy.because().is_some()).await;
    let (_, activators) = watch::channel(None);
    let ground = Ground { activators, ..toy.ground.clone() };
    let facts = ground.shelf.get(&v1()).unwrap().lock().facts.clone();
    let (_inbox, heard) = mpsc::channel(1);
    let spun = async {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = keep(ground, facts, heard) => {}
        () = spun => panic!("it goes on"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_activator_blocks_zero_until_its_pod_is_gone() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    let silent = toy.activator("b").await;
    activator.wake(1).await;
    until("it is up", || toy.world.replicas() == 1).await;
    silent.fall_silent();
    activator.load(0);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(toy.world.replicas(), 1);
    toy.remove_activator("b");
    until("there is none", || toy.world.replicas() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_veto_blocks_zero_and_everybody_is_released() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    let vetoes = toy.activator("b").await;
    vetoes.veto();
    activator.wake(1).await;
    until("it is up", || toy.world.replicas() == 1).await;
    activator.load(0);
    until("it was asked twice", || 2 <= vetoes.seals()).await;
    assert_eq!(toy.world.replicas(), 1);
    assert_eq!(activator.outcomes().first(), Some(&(SealOutcome::Released as i32)));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_sealed_while_the_activators_are_not_known() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    activator.wake(1).await;
    until("it is up", || toy.world.replicas() == 1).await;
    toy.world.forget_activators();
    activator.load(0);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!((toy.world.replicas(), activator.seals()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_follower_hears_and_orders_nothing_and_leads_with_full_windows() {
    let mut toy = Toy::new();
    toy.leadership.send_replace(platform::Leadership::Following);
    let activator = toy.activator("a").await;
    activator.load(40);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(toy.world.orders(), [0; 0]);
    toy.leadership.send_replace(platform::Leadership::ALONE);
    until("it is ordered", || !toy.world.orders().is_empty()).await;
    assert_eq!(toy.world.orders(), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_a_peer_has_outlived_orders_nothing() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    toy.ground.highest.send_replace(2);
    until("it follows", || toy.ground.epoch.borrow().is_none()).await;
    activator.wake(1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(toy.world.orders(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_read_and_decided_anew() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    toy.world.next_mood(Mood::Conflict(0));
    activator.wake(1).await;
    until("it is up", || toy.world.replicas() == 1).await;
    assert_eq!(toy.world.orders(), [1, 1]);
    // Somebody raised it meanwhile: that is enough, and is not lowered for a wake.
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    toy.world.next_mood(Mood::Conflict(3));
    activator.wake(1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((toy.world.replicas(), toy.world.orders()), (3, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn an_order_without_an_answer_is_read_back_and_not_given_twice() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    // The catalogue does not tell of it either.
    toy.world.lag();
    toy.world.next_mood(Mood::AnswerLost);
    activator.insist(&mut toy, 1);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((toy.world.replicas(), toy.world.orders()), (1, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn an_order_is_not_given_again_because_the_catalogue_lags_behind() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    toy.world.lag();
    activator.insist(&mut toy, 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!((toy.world.replicas(), toy.world.orders()), (1, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_was_lost_is_given_again() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    toy.world.next_mood(Mood::OrderLost);
    activator.insist(&mut toy, 1);
    until("it is up", || toy.world.replicas() == 1).await;
    assert_eq!(toy.world.orders(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn zero_without_an_answer_is_committed_once_it_is_known() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    activator.wake(1).await;
    until("it is up", || toy.world.replicas() == 1).await;
    toy.world.next_mood(Mood::AnswerLost);
    activator.load(0);
    until("the seal ended", || !activator.outcomes().is_empty()).await;
    assert_eq!((toy.world.replicas(), activator.outcomes()), (0, vec![SealOutcome::Committed as i32]));
}

#[tokio::test(start_paused = true)]
async fn a_failed_start_is_told_at_once_refused_at_each_wake_taken_to_zero_and_tried_again() {
    let mut toy = Toy::new();
    toy.world.never_ready();
    let activator = toy.activator("a").await;
    activator.wake(1).await;
    until("it is starting", || toy.world.replicas() == 1).await;
    toy.world.crash(5, "exit status 1: no such file: model.pkl");
    until("it is told", || activator.refusal().is_some()).await;
    let refusal = activator.refusal().unwrap();
    assert_eq!((&*refusal.reason, &*refusal.detail), ("start-failed", "exit status 1: no such file: model.pkl"));
    assert!((9_000..=10_000).contains(&refusal.retry_after_ms), "{}", refusal.retry_after_ms);

    // What was held is refused by the activator, so nothing speaks against zero.
    activator.load(0);
    until("there is none", || toy.world.replicas() == 0).await;
    activator.wake(1).await;
    until("the wake is refused", || activator.refusal().is_some_and(|last| last.retry_after_ms < 9_000)).await;
    assert_eq!(toy.world.replicas(), 0);

    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(toy.world.replicas(), 0, "nobody waits, so nobody tries again");
    // Told again, it would send away whoever comes to try; and telling it again and again kept a processor busy.
    let last = activator.refusal().map(|last| last.retry_after_ms);
    assert!(last.is_some_and(|retry_after_ms| 0 < retry_after_ms), "a pause that is over is not told: {last:?}");
    activator.wake(1).await;
    until("it is cleared", || activator.refusal().is_some_and(|last| last.reason.is_empty())).await;
    until("it is tried again", || toy.world.replicas() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_workload_is_tried_at_once() {
    let mut toy = Toy::new();
    toy.world.never_ready();
    let activator = toy.activator("a").await;
    activator.wake(1).await;
    until("it is starting", || toy.world.replicas() == 1).await;
    toy.world.crash(5, "exit status 1");
    until("it is told", || activator.refusal().is_some()).await;
    toy.world.change(|revision| {
        let scale = revision.scale().cloned().unwrap();
        revision.workload = Workload::Present { generation: 2, scale };
        revision.trouble = None;
    });
    until("it is cleared", || activator.refusal().is_some_and(|last| last.reason.is_empty())).await;
}

#[tokio::test(start_paused = true)]
async fn settings_are_live_and_a_bad_one_changes_nothing() {
    let mut toy = Toy::new();
    let _activator = toy.activator("a").await;
    let with = |key: &str, value: &str| {
        let (key, value) = (key.to_owned(), value.to_owned());
        move |revision: &mut platform::Revision| {
            revision.layers[0].values.insert(key, value);
        }
    };
    toy.world.change(with("autoscaling.knative.dev/min-scale", "2"));
    until("the minimum is there", || toy.world.replicas() == 2).await;
    toy.world.change(with("autoscaling.knative.dev/min-scale", "many"));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(toy.world.replicas(), 2);
    let place = toy.ground.shelf.get(&crate::stage::toy::v1()).unwrap();
    assert_eq!(place.lock().settings.refusals[0].value, "many");
}

#[tokio::test(start_paused = true)]
async fn the_idlest_go_first() {
    let mut toy = Toy::new();
    toy.world.change(|revision| revision.sidecars = true);
    toy.world.set(3);
    let mut sidecars = Vec::new();
    for (replica, in_flight) in [("v1-1", 2), ("v1-2", 0), ("v1-3", 5)] {
        let mut sidecar = toy.sidecar(replica).await;
        sidecar.say(wire::Up::SidecarStats(wire::SidecarStats { in_flight, ..Default::default() })).await;
        sidecars.push(sidecar);
    }
    until("all are heard", || {
        let place = toy.ground.shelf.get(&crate::stage::toy::v1());
        place.is_some_and(|place| place.lock().in_flight.len() == 3)
    })
    .await;
    toy.world.change(|revision| {
        revision.layers[0].values.insert("autoscaling.knative.dev/max-scale".into(), "1".into());
    });
    let _activator = toy.activator("a").await;
    until("two are ordered away", || toy.world.orders() == [1]).await;
    let victims = toy.world.last_victims();
    assert_eq!(victims.iter().map(|name| &**name).collect::<Vec<_>>(), ["v1-2", "v1-1", "v1-3"]);
}

#[tokio::test(start_paused = true)]
async fn requests_that_only_a_sidecar_has_seen_have_come_through_rouse_too() {
    let mut toy = Toy::new();
    toy.world.change(|revision| (revision.sidecars, revision.adopted) = (true, false));
    toy.world.set(1);
    let mut sidecar = toy.sidecar("v1-1").await;
    until("it is known", || toy.ground.shelf.get(&crate::stage::toy::v1()).is_some()).await;
    let place = toy.ground.shelf.get(&crate::stage::toy::v1()).unwrap();
    for (in_flight, requests) in [(1, 0), (2, 3)] {
        let stats = wire::SidecarStats { in_flight, requests, ..Default::default() };
        sidecar.say(wire::Up::SidecarStats(stats)).await;
        until("it is heard", || place.lock().in_flight.values().any(|seen| *seen == in_flight)).await;
        assert_eq!(place.lock().asked_for, 0 < requests);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_replica_cut_as_it_left_is_counted_once_and_by_who_leads() {
    let mut toy = Toy::new();
    toy.world.change(|revision| revision.sidecars = true);
    toy.world.set(1);
    let mut sidecar = toy.sidecar("v1-1").await;
    let mut cut = async |leadership, cut_streaming, in_flight| {
        toy.leadership.send_replace(leadership);
        let stats = wire::SidecarStats { in_flight, cut_streaming, ..Default::default() };
        sidecar.say(wire::Up::SidecarStats(stats)).await;
        until("it is heard", || {
            let place = toy.ground.shelf.get(&crate::stage::toy::v1());
            place.is_some_and(|place| place.lock().in_flight.values().any(|seen| *seen == in_flight))
        })
        .await;
        toy.ground.metrics.cuts("streaming")
    };
    assert_eq!(cut(platform::Leadership::ALONE, 2, 3).await, 2);
    assert_eq!(cut(platform::Leadership::ALONE, 2, 2).await, 2);
    assert_eq!(cut(platform::Leadership::ALONE, 3, 1).await, 3);
    assert_eq!(cut(platform::Leadership::Following, 5, 4).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_is_told_its_settings_when_it_connects_and_when_they_change() {
    let mut toy = Toy::new();
    toy.world.change(|revision| revision.sidecars = true);
    toy.world.set(1);
    let mut sidecar = toy.sidecar("v1-1").await;
    let mut next_settings = async || loop {
        match sidecar.next().await {
            Some(Down::Settings(settings)) => return settings,
            Some(_) => {}
            None => panic!("it was cut off"),
        }
    };
    let first = next_settings().await;
    assert_eq!((first.container_concurrency, first.request_timeout_ms), (0, 300_000));
    toy.world.change(|revision| revision.container_concurrency = units::ConcurrencyLimit::from_field(4));
    let second = next_settings().await;
    assert_eq!(second.container_concurrency, 4);
    toy.world.change_endpoint(|endpoint| endpoint.timeouts.request = None);
    let third = next_settings().await;
    assert_eq!((third.container_concurrency, third.request_timeout_ms), (4, 0));
    assert!(first.generation != second.generation && second.generation != third.generation);
}

#[tokio::test(start_paused = true)]
async fn a_wake_is_kept_with_who_asked_and_its_phases() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    activator.wake(3).await;
    until("it is up", || toy.world.replicas() == 1).await;
    let place = toy.ground.shelf.get(&crate::stage::toy::v1()).unwrap();
    until("the wake ended", || place.lock().wakes.under_way().is_none()).await;
    let shown = place.lock();
    let wake = shown.wakes.iter().next().unwrap();
    assert_eq!((&*wake.asked_by, &*wake.request_id, wake.held), ("a", "request-1", 3));
    assert!(wake.ordered.is_some() && wake.ordered <= wake.started, "{wake:?}");
    assert!(matches!(wake.end, Some((_, WakeEnd::Ready))), "{:?}", wake.end);
}

#[tokio::test(start_paused = true)]
async fn a_wake_has_started_when_a_process_runs_and_not_when_a_replica_was_made() {
    let mut toy = Toy::new();
    toy.world.never_spawned();
    let activator = toy.activator("a").await;
    activator.wake(1).await;
    until("a replica is made", || toy.world.replicas() == 1).await;
    let place = toy.ground.shelf.get(&crate::stage::toy::v1()).unwrap();
    let started = || place.lock().wakes.iter().next().unwrap().started;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(started(), None);
    let spawned = toy.ground.clock.now();
    toy.world.change(|revision| revision.replicas[0].spawned = Some(spawned));
    until("it has started", || started().is_some()).await;
    assert_eq!(started(), Some(spawned));
}

#[tokio::test(start_paused = true)]
async fn what_is_configured_for_all_is_live_too() {
    let mut toy = Toy::new();
    let _activator = toy.activator("a").await;
    until("something is decided", || toy.because().is_some()).await;
    toy.world.configure("min-scale", "3");
    until("the minimum is there", || toy.world.replicas() == 3).await;
}

#[tokio::test(start_paused = true)]
async fn decisions_wakes_and_replicas_are_counted() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    activator.wake(1).await;
    until("it is up", || toy.world.replicas() == 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let published = |family: &str, label: &str| {
        let families = toy.registry.gather();
        let family = families.iter().find(|known| known.name() == family).unwrap();
        let series =
            family.get_metric().iter().find(|series| series.get_label().iter().any(|one| one.value() == label));
        let series = series.unwrap();
        series.get_counter().get_value()
            + series.get_gauge().get_value()
            + series.get_histogram().get_sample_count() as f64
    };
    assert_eq!(published("rouse_wakes_total", "served"), 1.0);
    assert_eq!(published("rouse_wake_duration_seconds", "ordered"), 1.0);
    assert_eq!(published("rouse_scale_orders_total", "done"), 1.0);
    assert_eq!(published("rouse_replicas", "ready"), 1.0);
    assert!(1.0 <= published("rouse_decisions_total", "waking"));
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_with_something_in_flight_keeps_its_replica_and_an_idle_one_lets_it_go() {
    let mut toy = Toy::new();
    toy.world.change(|revision| revision.sidecars = true);
    toy.world.set(1);
    let activator = toy.activator("a").await;
    let in_flight = toy.working_sidecar("v1-1").await;
    *in_flight.lock() = 1;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!((toy.world.replicas(), activator.seals()), (1, 0));
    *in_flight.lock() = 0;
    until("there is none", || toy.world.replicas() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_sidecar_is_silent_is_not_taken_away() {
    let mut toy = Toy::new();
    toy.world.change(|revision| revision.sidecars = true);
    toy.world.set(1);
    let _activator = toy.activator("a").await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(toy.world.replicas(), 1);
}

#[tokio::test(start_paused = true)]
async fn with_room_for_bursts_the_path_goes_direct_and_before_zero_it_goes_back() {
    let mut toy = Toy::new();
    toy.world.change(|revision| {
        revision.sidecars = true;
        let values = &mut revision.layers[0].values;
        values.insert("autoscaling.knative.dev/target-burst-capacity".into(), "0".into());
    });
    toy.world.set(1);
    let activator = toy.activator("a").await;
    let in_flight = toy.working_sidecar("v1-1").await;
    *in_flight.lock() = 1;
    until("it is direct", || toy.world.endpoint().route.path() == Path::Direct).await;
    *in_flight.lock() = 0;
    until("there is none", || toy.world.replicas() == 0).await;
    assert_eq!(toy.world.endpoint().route.path(), Path::Proxied);
    assert_eq!(activator.outcomes().last(), Some(&(SealOutcome::Committed as i32)));
}

#[tokio::test(start_paused = true)]
async fn an_activator_that_leaves_is_taken_out_of_the_path_and_then_told() {
    let mut toy = Toy::new();
    let _stays = toy.activator("a").await;
    let leaves = toy.activator("b").await;
    let route = |uids: &[&str]| platform::Route::Proxied { through: uids.iter().map(|uid| Arc::from(*uid)).collect() };
    until("both are in the path", || toy.world.endpoint().route == route(&["a", "b"])).await;
    assert!(!leaves.is_out());
    leaves.leave().await;
    until("it is told", || leaves.is_out()).await;
    assert_eq!(toy.world.endpoint().route, route(&["a"]));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_heard_and_is_gone_keeps_nothing_from_scaling_down() {
    let mut toy = Toy::new();
    let activator = toy.activator("a").await;
    let gone = toy.activator("b").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    toy.remove_activator("b");
    // Its frames go on for a while, as those of a pod that is being ended do.
    tokio::time::sleep(Duration::from_secs(3)).await;
    gone.fall_silent();
    activator.wake(1).await;
    until("it is up", || toy.world.replicas() == 1).await;
    activator.load(0);
    until("there is none", || toy.world.replicas() == 0).await;
}
