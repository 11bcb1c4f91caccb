//! Endpoints at random, each judged twice: as an API server does, and by the reader.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{object, read_faults, refused};

fn knobs() -> impl Strategy<Value = Value> + Clone {
    let count = || prop::option::of(prop::sample::select(vec![0u32, 1, 2, 3, 5]));
    let window = prop::option::of(prop::sample::select(vec![
        "6s", "5s", "1h", "3601s", "1.5m", "6.5s", "6500ms", "1h0.5s", "0",
    ]));
    let number = prop::option::of(prop::sample::select(vec![-2.0, -1.0, -0.5, 0.0, 0.01, 1.0, 100.0, 110.0, 1000.5]));
    (count(), count(), count(), window, number.clone(), number).prop_map(
        |(least, most, woken, window, burst, panic)| {
            let all = json!({
                "minReplicas": least, "maxReplicas": most, "activationReplicas": woken, "window": window,
                "targetBurstCapacity": burst, "panicThresholdPercentage": panic,
            });
            without_nulls(all)
        },
    )
}

fn without_nulls(map: Value) -> Value {
    map.as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

fn matches() -> impl Strategy<Value = Value> {
    let some = |words: &[&'static str], often| prop::option::weighted(often, prop::sample::select(words.to_vec()));
    let texts = ["", "a", "/", "/v2", "/a?b", "*"];
    let comparison = move || {
        (some(&["x-beta", "X.y", "a b", ""], 0.9), some(&texts, 0.6), some(&texts, 0.2), some(&["[ab]+", ""], 0.1))
            .prop_map(|(name, exact, prefix, regex)| json!({ "name": name, "exact": exact, "prefix": prefix, "regex": regex }))
    };
    let path = comparison().prop_map(|mut path| {
        path["name"].take();
        without_nulls(path)
    });
    let named = || prop::option::weighted(0.4, comparison().prop_map(without_nulls));
    let one = (
        named(),
        named(),
        prop::option::weighted(0.4, path),
        some(&["GET", "get", "G-T"], 0.4),
        some(&["v1", "v2"], 0.95),
    );
    let one = one.prop_map(|(header, cookie, path, method, to)| {
        without_nulls(json!({ "header": header, "cookie": cookie, "path": path, "method": method, "to": to }))
    });
    prop::collection::vec(one, 0..3).prop_map(Value::from)
}

fn sticky() -> impl Strategy<Value = Value> {
    let name = || prop::option::weighted(0.4, prop::sample::select(vec!["session", "a b", ""]));
    let flag = || prop::option::weighted(0.3, any::<bool>());
    (name(), name(), flag(), flag()).prop_map(|(header, cookie, address, set)| {
        without_nulls(json!({ "header": header, "cookie": cookie, "clientAddress": address, "setCookie": set }))
    })
}

/// Mostly such as are right in one respect and the other, so that every rule has its turn.
fn specs() -> impl Strategy<Value = Value> {
    let select = |words: &[&'static str]| prop::option::weighted(0.9, prop::sample::select(words.to_vec()));
    let percents: Vec<Vec<Option<u32>>> = vec![
        vec![None],
        vec![Some(100)],
        vec![Some(99)],
        vec![Some(60), Some(40)],
        vec![Some(100), None],
        vec![Some(0), Some(100)],
        vec![Some(30), Some(30), Some(40)],
        vec![None, None],
    ];
    let target = (select(&["v1", "v2", "v3"]), select(&["a", "b", "c"]), prop::option::weighted(0.2, knobs()));
    let traffic = prop::sample::select(percents).prop_flat_map(move |percents| {
        let targets = prop::collection::vec(target.clone(), percents.len());
        targets.prop_map(move |targets| -> Value {
            let each = targets.into_iter().zip(&percents).map(|((revision, tag, autoscaling), percent)| {
                json!({ "revision": revision, "percent": percent, "tag": tag, "autoscaling": autoscaling })
            });
            each.map(without_nulls).collect()
        })
    });
    let hosts = select(&["a.com", "b.com", "xcluster.local", "x.cluster.local"]);
    let hosts = prop::collection::vec(hosts, 0..3).prop_map(|hosts| hosts.into_iter().flatten().collect::<Vec<_>>());
    let bytes = [json!("1Mi"), json!(1 << 20), json!("1.5Mi"), json!("1048575"), json!("2Ti")];
    let bytes = prop::option::weighted(0.3, prop::sample::select(bytes.to_vec()));
    let routing = (prop::option::weighted(0.3, matches()), prop::option::weighted(0.3, sticky()));
    (hosts, traffic, prop::option::weighted(0.3, knobs()), bytes, routing).prop_map(
        |(hosts, traffic, autoscaling, bytes, (matches, sticky))| {
            let queue = without_nulls(json!({ "maxBytes": bytes }));
            without_nulls(json!({
                "hosts": hosts, "traffic": traffic, "match": matches, "sticky": sticky, "autoscaling": autoscaling,
                "queue": queue,
            }))
        },
    )
}

proptest! {
    #[test]
    fn what_an_api_server_accepts_the_reader_accepts_and_the_other_way_round(spec in specs()) {
        let object = object("m", &spec);
        let (judged, faults) = (refused(&object), read_faults(&object));
        prop_assert_eq!(judged.is_empty(), faults.is_empty(), "{:?} / {:?}", judged, faults);
    }
}
