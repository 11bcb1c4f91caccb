use proptest::prelude::*;
use serde_json::json;

use super::*;

fn answer<'a>(content_type: &'a str, body: &'a [u8]) -> Answer<'a> {
    Answer { status: 200, content_type, json_bytes: None, body }
}

fn of_json(used: &serde_json::Value, candidate: &serde_json::Value, rules: &Rules) -> Comparison {
    let (used, candidate) = (used.to_string(), candidate.to_string());
    let json = "application/json; charset=utf-8";
    compare(answer(json, used.as_bytes()), answer(json, candidate.as_bytes()), rules)
}

fn told(comparison: &Comparison) -> Vec<String> {
    comparison.differences.iter().map(ToString::to_string).collect()
}

fn differ(used: &serde_json::Value, candidate: &serde_json::Value) -> Vec<String> {
    told(&of_json(used, candidate, &Rules::default()))
}

fn output(datatype: &str, shape: &[i64], data: &serde_json::Value) -> serde_json::Value {
    json!({ "id": "one", "model_name": "m", "model_version": "1",
        "outputs": [{ "name": "scores", "datatype": datatype, "shape": shape, "data": data }] })
}

#[test]
fn another_status_is_a_difference_and_the_only_one() {
    let json = "application/json";
    let failed = Answer { status: 500, ..answer(json, b"{}") };
    let comparison = compare(answer(json, b"{\"a\": 1}"), failed, &Rules::default());
    assert_eq!(told(&comparison), ["status 500 instead of 200"]);
}

#[test]
fn fractions_may_differ_by_a_part_of_the_larger_and_whole_numbers_may_not() {
    assert_eq!(differ(&json!({ "p": 1.0 }), &json!({ "p": 1.000_009 })), Vec::<String>::new());
    assert_eq!(differ(&json!({ "p": 1.0 }), &json!({ "p": 1.5 })), ["/p: differs by 0.5"]);
    assert_eq!(differ(&json!({ "p": 0.1 }), &json!({ "p": 0.3 })), ["/p: differs by 0.2"]);
    assert_eq!(differ(&json!({ "id": 1 }), &json!({ "id": 1_000_002 })), ["/id: differs by 1000001"]);
    assert_eq!(differ(&json!({ "id": 10_000_001 }), &json!({ "id": 10_000_002 })), ["/id: differs by 1"]);
    // One of them writes its fractions without a point.
    assert_eq!(differ(&json!([1]), &json!([1.0])), Vec::<String>::new());
    let largest = u64::MAX;
    assert_eq!(differ(&json!([largest]), &json!([largest - 1])).len(), 1);
}

#[test]
fn the_place_of_a_difference_is_a_json_pointer() {
    let used = json!({ "a/b": [{ "~": true }, 1], "only": 1 });
    let candidate = json!({ "a/b": [{ "~": false }, "1"], "other": 1 });
    assert_eq!(
        differ(&used, &candidate),
        [
            "/a~1b/0/~0: another value",
            "/a~1b/1: a text instead of a number",
            "/only: missing",
            "/other: not in the model's answer"
        ]
    );
}

#[test]
fn what_is_ignored_is_not_looked_at_with_all_beneath_it() {
    let rules = Rules { ignore: vec!["/meta".into(), "/list/1".into(), "/new".into()], ..Rules::default() };
    let used = json!({ "meta": { "at": 1 }, "list": [1, 2, 3] });
    let candidate = json!({ "meta": { "at": 2, "by": "x" }, "list": [1, 5, 4], "new": 1 });
    assert_eq!(told(&of_json(&used, &candidate, &rules)), ["/list/2: differs by 1"]);
}

#[test]
fn no_value_of_an_answer_is_told() {
    let used = json!({ "name": "Ada", "text": "the secret is 41" });
    let candidate = json!({ "name": "Bob", "text": "the secret is 42" });
    assert_eq!(
        differ(&used, &candidate),
        ["/name: another text from character 0 on", "/text: another text from character 15 on"]
    );
}

#[test]
fn of_many_differences_the_first_are_told_and_the_others_counted() {
    let (used, candidate) = (json!(vec![0; 100]), json!(vec![1; 100]));
    let comparison = of_json(&used, &candidate, &Rules::default());
    assert_eq!((comparison.differences.len(), comparison.more), (MOST_DIFFERENCES, 100 - MOST_DIFFERENCES));
}

#[test]
fn predictions_are_compared_element_by_element_and_rows_of_scores_by_their_first() {
    let used = json!({ "predictions": [[0.7, 0.2, 0.1], [0.4, 0.5, 0.1]] });
    let candidate = json!({ "predictions": [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1]] });
    let comparison = of_json(&used, &candidate, &Rules::default());
    assert_eq!(comparison.labels, Labels { rows: 2, agree: 1 });
    assert_eq!(comparison.numbers.compared, 6);
    assert!((comparison.numbers.largest - 0.1).abs() < 1e-9 && (comparison.numbers.mean - 0.4 / 6.0).abs() < 1e-9);
    assert_eq!(comparison.differences.len(), 4);
    // One number for each instance is no row.
    let labels =
        of_json(&json!({ "predictions": [0.5, 1.5] }), &json!({ "predictions": [0.5, 1.5] }), &Rules::default());
    assert_eq!(labels.labels, Labels::default());
}

#[test]
fn who_answers_is_no_part_of_what_is_answered() {
    let mut candidate = output("FP32", &[1, 2], &json!([[0.1, 0.9]]));
    candidate["id"] = "two".into();
    candidate["model_version"] = "2".into();
    assert_eq!(differ(&output("FP32", &[1, 2], &json!([0.1, 0.9])), &candidate), Vec::<String>::new());
    let of = |id: &str, text: &str| json!({ "id": id, "created": 1, "model": id, "choices": [{ "text": text }] });
    assert_eq!(differ(&of("a", "yes"), &of("b", "yes")), Vec::<String>::new());
    assert_eq!(differ(&of("a", "yes"), &of("b", "no")), ["/choices/0/text: another text from character 0 on"]);
}

#[test]
fn tensors_differ_by_type_by_shape_and_by_element() {
    let used = output("FP32", &[1, 3], &json!([0.1, 0.2, 0.7]));
    assert_eq!(
        differ(&used, &output("FP64", &[1, 3], &json!([0.1, 0.2, 0.7]))),
        ["/outputs/scores: FP64 instead of FP32"]
    );
    let flat = output("FP32", &[3], &json!([0.1, 0.2, 0.7]));
    assert_eq!(differ(&used, &flat), ["/outputs/scores: shape [3] instead of [1, 3]"]);
    let short = output("FP32", &[1, 3], &json!([0.1, 0.2]));
    assert_eq!(differ(&used, &short), ["/outputs/scores: 2 elements instead of 3"]);
    let other = of_json(&used, &output("FP32", &[1, 3], &json!([0.1, 0.8, 0.1])), &Rules::default());
    assert_eq!(other.differences.len(), 2);
    assert_eq!(other.differences[0].place, "/outputs/scores/1");
    assert_eq!(other.labels, Labels { rows: 1, agree: 0 });
}

#[test]
fn outputs_are_found_by_name_in_whatever_order() {
    let tensor = |name: &str, value: i64| json!({ "name": name, "datatype": "INT64", "shape": [1], "data": [value] });
    let used = json!({ "outputs": [tensor("a", 1), tensor("b", 2)] });
    assert_eq!(differ(&used, &json!({ "outputs": [tensor("b", 2), tensor("a", 1)] })), Vec::<String>::new());
    assert_eq!(
        differ(&used, &json!({ "outputs": [tensor("b", 2), tensor("c", 1)] })),
        ["/outputs/a: missing", "/outputs/c: not in the model's answer"]
    );
    let rules = Rules { ignore: vec!["/outputs/0".into()], ..Rules::default() };
    let candidate = json!({ "outputs": [tensor("a", 9), tensor("b", 2)] });
    assert!(of_json(&used, &candidate, &rules).is_alike());
}

/// An answer with binary tensors: its JSON, and all bytes.
fn in_bytes(outputs: &[(&str, &str, &[u8])]) -> (usize, Vec<u8>) {
    let tensors: Vec<_> = outputs
        .iter()
        .map(|(name, datatype, bytes)| {
            json!({ "name": name, "datatype": datatype, "shape": [1, 2], "parameters": { "binary_data_size": bytes.len() } })
        })
        .collect();
    let mut all = json!({ "outputs": tensors }).to_string().into_bytes();
    let json_bytes = all.len();
    outputs.iter().for_each(|(_, _, bytes)| all.extend_from_slice(bytes));
    (json_bytes, all)
}

fn of_bytes(used: &[(&str, &str, &[u8])], candidate: &[(&str, &str, &[u8])]) -> Comparison {
    let (one, other) = (in_bytes(used), in_bytes(candidate));
    let answer = |(json_bytes, body): &(usize, Vec<u8>)| (*json_bytes, body.clone());
    let ((one_json, one), (other_json, other)) = (answer(&one), answer(&other));
    let octets = "application/octet-stream";
    compare(
        Answer { json_bytes: Some(one_json), ..answer_of(octets, &one) },
        Answer { json_bytes: Some(other_json), ..answer_of(octets, &other) },
        &Rules::default(),
    )
}

fn answer_of<'a>(content_type: &'a str, body: &'a [u8]) -> Answer<'a> {
    answer(content_type, body)
}

#[test]
fn binary_tensors_are_read_one_after_the_other() {
    let floats = |one: f32, two: f32| [one.to_le_bytes(), two.to_le_bytes()].concat();
    let whole = |one: i64, two: i64| [one.to_le_bytes(), two.to_le_bytes()].concat();
    let (scores, labels) = (floats(0.2, 0.8), whole(3, 4));
    let (other_scores, other_labels) = (floats(0.9, 0.1), whole(3, 5));
    let used: [(&str, &str, &[u8]); 2] = [("scores", "FP32", &scores), ("labels", "INT64", &labels)];
    assert!(of_bytes(&used, &used).is_alike());
    let candidate: [(&str, &str, &[u8]); 2] = [("scores", "FP32", &other_scores), ("labels", "INT64", &other_labels)];
    let comparison = of_bytes(&used, &candidate);
    let places: Vec<_> = comparison.differences.iter().map(|difference| difference.place.as_str()).collect();
    assert_eq!(places, ["/outputs/scores/0", "/outputs/scores/1", "/outputs/labels/1"]);
    assert_eq!(comparison.labels, Labels { rows: 1, agree: 0 });
}

#[test]
fn a_binary_answer_may_be_compared_with_one_in_json() {
    let bytes = [0.25_f32.to_le_bytes(), 0.75_f32.to_le_bytes()].concat();
    let (json_bytes, binary) = in_bytes(&[("scores", "FP32", &bytes)]);
    let json = output("FP32", &[1, 2], &json!([0.25, 0.75])).to_string();
    let used = Answer { json_bytes: Some(json_bytes), ..answer("application/octet-stream", &binary) };
    assert!(compare(used, answer("application/json", json.as_bytes()), &Rules::default()).is_alike());
}

#[test]
fn tensors_that_cannot_be_read_are_told_of() {
    let (json_bytes, whole) = in_bytes(&[("scores", "FP32", &[0; 8])]);
    let used = Answer { json_bytes: Some(json_bytes), ..answer("", &whole) };
    let cut = Answer { body: &whole[..whole.len() - 1], ..used };
    assert_eq!(told(&compare(used, cut, &Rules::default())), ["the candidate's answer has no readable tensors"]);
    assert_eq!(told(&compare(cut, used, &Rules::default())), ["the model's answer has no readable tensors"]);
    let beyond = Answer { json_bytes: Some(usize::MAX), ..used };
    assert_eq!(compare(used, beyond, &Rules::default()).differences.len(), 1);
}

#[test]
fn texts_within_tensors_are_compared_byte_by_byte() {
    let text = |text: &str| [u32::try_from(text.len()).unwrap().to_le_bytes().as_slice(), text.as_bytes()].concat();
    let (used, candidate) = ([text("cat"), text("dog")].concat(), [text("cat"), text("cow")].concat());
    let comparison = of_bytes(&[("class", "BYTES", &used)], &[("class", "BYTES", &candidate)]);
    assert_eq!(told(&comparison), ["/outputs/class/1: another value"]);
}

#[test]
fn events_are_compared_by_the_text_that_they_make_up_together() {
    let stream = "text/event-stream";
    let chat = |pieces: &[&str]| {
        let events = pieces
            .iter()
            .map(|piece| format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": piece } }] })));
        events.collect::<String>() + "data: [DONE]\n\n"
    };
    let (one, other) = (chat(&["Hel", "lo ", "you"]), chat(&["Hello", " you"]));
    assert!(compare(answer(stream, one.as_bytes()), answer(stream, other.as_bytes()), &Rules::default()).is_alike());
    let wrong = chat(&["Help"]);
    let comparison = compare(answer(stream, one.as_bytes()), answer(stream, wrong.as_bytes()), &Rules::default());
    assert_eq!(told(&comparison), ["another text from character 3 on"]);
    let plain: [&[u8]; 2] = [b"id: 1\r\ndata: a\r\ndata: b\r\n\r\n", b": a comment\ndata:a\ndata:b\nretry: 5"];
    assert!(compare(answer(stream, plain[0]), answer(stream, plain[1]), &Rules::default()).is_alike());
    assert_eq!(events::text_of(plain[0]), "a\nb");
}

#[test]
fn who_says_json_and_is_none_is_told_of() {
    let json = "application/json";
    let comparison = compare(answer(json, b"{}"), answer(json, b"<html>"), &Rules::default());
    assert_eq!(told(&comparison), ["the candidate's answer is no JSON"]);
    assert!(compare(answer(json, b"NaN"), answer(json, b"NaN"), &Rules::default()).is_alike());
}

#[test]
fn answers_of_another_kind_differ_as_a_whole() {
    let comparison = compare(answer("application/json", b"1"), answer("text/html", b"1"), &Rules::default());
    assert_eq!(told(&comparison), ["another kind of answer"]);
    let comparison = compare(answer("image/png", &[0xff, 1]), answer("image/png", &[0xff, 2, 3]), &Rules::default());
    assert_eq!(told(&comparison), ["other bytes, 3 instead of 2"]);
}

#[test]
fn what_is_not_a_number_equals_itself_and_nothing_else() {
    let of = |value: f32| [value.to_le_bytes(), 0_f32.to_le_bytes()].concat();
    let (nan, infinite, one) = (of(f32::NAN), of(f32::INFINITY), of(1.0));
    let alike =
        |used: &[u8], candidate: &[u8]| of_bytes(&[("s", "FP32", used)], &[("s", "FP32", candidate)]).is_alike();
    assert!(alike(&nan, &nan) && alike(&infinite, &infinite));
    assert!(!alike(&nan, &one) && !alike(&one, &infinite) && !alike(&infinite, &nan));
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[a-z/~]{0,4}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            proptest::collection::hash_map("[a-z/~]{0,3}|outputs|predictions|choices", inner, 0..5)
                .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_answered_is_like_itself(value in any_json()) {
        prop_assert!(of_json(&value, &value, &Rules::default()).is_alike());
    }

    #[test]
    fn who_is_asked_first_does_not_matter_to_whether_they_are_alike(one in any_json(), other in any_json()) {
        let there = of_json(&one, &other, &Rules::default());
        let back = of_json(&other, &one, &Rules::default());
        prop_assert_eq!(there.is_alike(), back.is_alike());
        prop_assert_eq!((there.numbers.compared, there.labels.rows), (back.numbers.compared, back.labels.rows));
    }

    #[test]
    fn no_body_is_too_odd(
        used in proptest::collection::vec(any::<u8>(), 0..200), candidate in proptest::collection::vec(any::<u8>(), 0..200),
        json_bytes in proptest::option::of(0_usize..300), kind in 0_usize..4,
    ) {
        let content_type = ["application/json", "text/event-stream", "text/plain", ""][kind];
        let used = Answer { json_bytes, ..answer(content_type, &used) };
        compare(used, answer(content_type, &candidate), &Rules::default());
    }
}
