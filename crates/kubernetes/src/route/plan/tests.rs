use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::prelude::*;

use super::super::shapes::slice_of;
use super::*;

fn service() -> Service {
    let endpoint = api::ModelEndpoint::new(units::EndpointKey::new("shop", "recommender"), "v1");
    super::super::shapes::service_of(&endpoint, "uid", "recommender")
}

fn ours(addresses: &[&str]) -> BTreeMap<Family, EndpointSlice> {
    let addresses: Vec<std::net::IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    BTreeMap::from([(Family::V4, slice_of(&service(), Family::V4, &addresses, 20_001))])
}

fn labels(app: &str) -> Labels {
    Labels::from([("app".to_owned(), app.to_owned())])
}

fn pods(app: &str) -> Selects {
    Selects::Pods(labels(app))
}

fn theirs(names_any: bool, names_ready: bool) -> Vec<Theirs> {
    vec![Theirs { name: "recommender-x7k2p".into(), names_any, names_ready }]
}

/// As it is when Kubernetes keeps it.
fn direct() -> Behind {
    Behind { selects: pods("v1"), ours: BTreeMap::new(), theirs: theirs(true, true), leftovers: true }
}

/// As it is when one activator is in the path.
fn proxied() -> Behind {
    Behind { selects: Selects::Nothing, ours: ours(&["10.0.0.1"]), theirs: Vec::new(), leftovers: false }
}

fn through(addresses: &[&str]) -> Wanted {
    Wanted::Activators(ours(addresses))
}

/// What happens to what is behind a Service when a step is taken, and Kubernetes does not act.
fn take(step: &Step, wanted: &Wanted, behind: &mut Behind) {
    match (step, wanted) {
        (Step::Write(family), Wanted::Activators(slices)) => {
            behind.ours.insert(*family, slices[family].clone());
        }
        (Step::Select(selects), _) => {
            behind.selects = selects.clone();
            behind.leftovers = true;
        }
        (Step::DeleteEndpoints, _) => behind.leftovers = false,
        (Step::DeleteTheirs(name), _) => behind.theirs.retain(|slice| slice.name != *name),
        (Step::DeleteOurs(family), _) => {
            behind.ours.remove(family);
        }
        (Step::Write(_) | Step::AwaitNobody | Step::AwaitReady | Step::Rest, _) => {}
    }
}

/// What Kubernetes' controllers make of a selector, if `v1` has a ready pod and no other has any.
fn control(behind: &mut Behind, selects: &Selects) {
    match selects {
        Selects::Nothing => {}
        Selects::Nobody => behind.theirs = theirs(false, false),
        Selects::Pods(labels) => {
            let any = labels["app"] == "v1";
            behind.theirs = theirs(any, any);
        }
    }
}

/// The steps from here to there, with controllers that act at once.
fn steps(wanted: &Wanted, mut behind: Behind) -> Vec<Step> {
    let mut steps = Vec::new();
    loop {
        let step = next(wanted, &behind, false);
        if step == Step::Rest {
            return steps;
        }
        take(&step, wanted, &mut behind);
        let selects = behind.selects.clone();
        control(&mut behind, &selects);
        steps.push(step);
        assert!(steps.len() < 20, "{steps:?}");
    }
}

#[test]
fn to_the_activators_they_come_first_then_the_pods_go_then_what_is_left_of_them() {
    let taken = [
        Step::Write(Family::V4),
        Step::Select(Selects::Nobody),
        Step::Select(Selects::Nothing),
        Step::DeleteEndpoints,
        Step::DeleteTheirs("recommender-x7k2p".into()),
    ];
    assert_eq!(steps(&through(&["10.0.0.1"]), direct()), taken);
}

#[test]
fn to_the_pods_they_come_first_and_the_activators_go_when_one_of_them_is_ready() {
    let taken = [Step::Select(pods("v1")), Step::DeleteOurs(Family::V4)];
    assert_eq!(steps(&Wanted::Pods(labels("v1")), proxied()), taken);
    let unready = Behind { selects: pods("v1"), theirs: theirs(true, false), ..proxied() };
    assert_eq!(next(&Wanted::Pods(labels("v1")), &unready, false), Step::AwaitReady);
}

#[test]
fn other_activators_are_one_write() {
    assert_eq!(steps(&through(&["10.0.0.1", "10.0.0.2"]), proxied()), [Step::Write(Family::V4)]);
}

#[test]
fn what_is_as_wanted_is_left_alone() {
    assert_eq!(steps(&through(&["10.0.0.1"]), proxied()), []);
    assert_eq!(steps(&Wanted::Pods(labels("v1")), direct()), []);
}

#[test]
fn the_selector_is_not_removed_before_the_controllers_have_taken_the_pods_out() {
    let behind = Behind { selects: Selects::Nobody, theirs: theirs(true, true), leftovers: true, ..proxied() };
    assert_eq!(next(&through(&["10.0.0.1"]), &behind, false), Step::AwaitNobody);
    assert_eq!(next(&through(&["10.0.0.1"]), &behind, true), Step::Select(Selects::Nothing));
}

#[test]
fn pods_of_another_revision_do_not_pass_for_ready_ones_of_this() {
    let behind = Behind { selects: pods("v0"), theirs: theirs(true, true), ..proxied() };
    let wanted = Wanted::Pods(labels("v1"));
    assert_eq!(next(&wanted, &behind, false), Step::Select(Selects::Nobody));
    let behind = Behind { selects: Selects::Nobody, ..behind };
    assert_eq!(next(&wanted, &behind, false), Step::AwaitNobody);
}

#[test]
fn with_nobody_else_in_the_path_the_pods_of_another_revision_stay_until_the_new_selector() {
    let behind = Behind { selects: pods("v0"), ..direct() };
    assert_eq!(next(&Wanted::Pods(labels("v1")), &behind, false), Step::Select(pods("v1")));
}

#[test]
fn a_slice_of_a_family_that_the_service_has_not_is_deleted() {
    let mut behind = proxied();
    let slice = EndpointSlice { metadata: ObjectMeta::default(), ..EndpointSlice::default() };
    behind.ours.insert(Family::V6, slice);
    assert_eq!(steps(&through(&["10.0.0.1"]), behind), [Step::DeleteOurs(Family::V6)]);
}

fn any_behind() -> impl Strategy<Value = Behind> {
    let selects = prop_oneof![Just(Selects::Nothing), Just(Selects::Nobody), Just(pods("v1")), Just(pods("v0")),];
    let ours = prop_oneof![Just(BTreeMap::new()), Just(ours(&["10.0.0.1"])), Just(ours(&["10.0.0.9"]))];
    (selects, ours, any::<Option<bool>>()).prop_map(|(selects, ours, named)| {
        let theirs = named.map(|named| theirs(named, named)).unwrap_or_default();
        let leftovers = selects != Selects::Nothing || !theirs.is_empty();
        Behind { selects, ours, theirs, leftovers }
    })
}

proptest! {
    /// Wherever a change was cut short, and however late the controllers are.
    #[test]
    fn a_change_comes_to_its_end_from_anywhere_and_somebody_is_always_in_the_path(
        start in any_behind(),
        to_pods in any::<bool>(),
        acts in proptest::collection::vec(0..4_u8, 40),
    ) {
        let wanted = if to_pods { Wanted::Pods(labels("v1")) } else { through(&["10.0.0.1"]) };
        let mut behind = start.clone();
        let mut view = behind.selects.clone();
        let mut acts = acts.into_iter();
        let in_path = |behind: &Behind| !behind.ours.is_empty() || behind.theirs.iter().any(|slice| slice.names_ready);
        let mut reached = false;
        let mut was_in_path = in_path(&behind);
        for _ in 0..60 {
            let step = next(&wanted, &behind, false);
            if step == Step::Rest {
                reached = true;
                break;
            }
            take(&step, &wanted, &mut behind);
            prop_assert!(in_path(&behind) || !was_in_path, "nobody after {:?}: {:?}", step, behind);
            match acts.next() {
                // They act by what they saw last.
                Some(0) => control(&mut behind, &view),
                Some(1) => {}
                // They see what there is, and act.
                Some(_) | None => {
                    view = behind.selects.clone();
                    control(&mut behind, &view);
                }
            }
            // What controllers do on their own, to another selector's pods, is not a step's fault.
            was_in_path = in_path(&behind);
        }
        prop_assert!(reached, "from {:?}", start);
        match wanted {
            Wanted::Pods(labels) => {
                prop_assert_eq!(&behind.selects, &Selects::Pods(labels));
                prop_assert!(behind.ours.is_empty());
            }
            Wanted::Activators(slices) => {
                prop_assert_eq!(&behind.selects, &Selects::Nothing);
                prop_assert_eq!(&behind.ours, &slices);
                prop_assert!(behind.theirs.is_empty());
            }
            Wanted::Beside(_) | Wanted::Left => unreachable!("of Services that are not ours"),
        }
    }

    /// Controllers that once were up to date lag from then on, and write what they should not any more.
    #[test]
    fn nothing_that_comes_late_names_a_pod(start in any_behind(), late in any::<bool>()) {
        let wanted = through(&["10.0.0.1"]);
        let mut behind = start;
        let mut seen = behind.selects.clone();
        control(&mut behind, &seen);
        let mut named_since = false;
        for _ in 0..20 {
            let step = next(&wanted, &behind, false);
            match &step {
                Step::Rest => break,
                // They have seen what they acted by, and no more.
                Step::AwaitNobody => {
                    seen = behind.selects.clone();
                    control(&mut behind, &seen.clone());
                }
                _ => {}
            }
            take(&step, &wanted, &mut behind);
            if late && behind.selects == Selects::Nothing && seen != Selects::Nothing {
                control(&mut behind, &seen.clone());
                named_since |= behind.theirs.iter().any(|slice| slice.names_any);
            }
        }
        prop_assert!(!named_since, "{:?}", behind);
    }
}

/// Of a Service that is not ours only our own slices change, whatever stands there.
#[test]
fn beside_others_nothing_of_theirs_is_touched_and_ours_goes_only_once_they_are_ready() {
    let Wanted::Activators(slices) = through(&["10.0.0.1"]) else { unreachable!() };
    let wanted = Wanted::Beside(slices);
    let behind =
        |names_any, ours| Behind { selects: pods("v1"), ours, theirs: theirs(names_any, names_any), leftovers: true };
    for names_any in [true, false] {
        assert_eq!(next(&wanted, &behind(names_any, BTreeMap::new()), false), Step::Write(Family::V4));
        assert_eq!(next(&wanted, &behind(names_any, ours(&["10.0.0.9"])), false), Step::Write(Family::V4));
        assert_eq!(next(&wanted, &behind(names_any, ours(&["10.0.0.1"])), false), Step::Rest);
    }
    let left = |names_any| next(&Wanted::Left, &behind(names_any, ours(&["10.0.0.1"])), false);
    assert_eq!(left(false), Step::AwaitReady);
    assert_eq!(left(true), Step::DeleteOurs(Family::V4));
    assert_eq!(next(&Wanted::Left, &behind(false, BTreeMap::new()), false), Step::Rest);
}
