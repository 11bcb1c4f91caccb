//! Values just within and just out of what a leaf of the tree allows, made from its description.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::{Rule, Schema, Shape};
use crate::quantity::{show_duration, show_size};
use crate::read::NameRule;

/// A field without fields of its own, and where it stands; `[]` stands for any entry of a list.
pub(super) struct Leaf<'a> {
    pub(super) path: String,
    pub(super) schema: &'a Schema,
    /// Not in a part that is not served.
    pub(super) served: bool,
}

/// Every leaf at or beneath.
pub(super) fn leaves<'a>(schema: &'a Schema, path: &str, served: bool) -> Vec<Leaf<'a>> {
    let served = served && schema.not_served.is_none();
    match &schema.shape {
        Shape::Map(fields) => {
            let each = fields.iter().map(|field| leaves(&field.schema, &format!("{path}.{}", field.name), served));
            each.flatten().collect()
        }
        Shape::List { item, .. } => leaves(item, &format!("{path}[]"), served),
        _ => vec![Leaf { path: path.to_owned(), schema, served }],
    }
}

/// What is allowed, and what is not.
pub(super) fn samples(schema: &Schema) -> (Vec<Value>, Vec<Value>) {
    let nonsense = [json!([]), json!({}), json!(true)];
    let (good, mut bad): (Vec<Value>, Vec<Value>) = match &schema.shape {
        Shape::Whole(bounds) => {
            let (least, most) = (*bounds.start(), *bounds.end());
            (
                vec![json!(least), json!(most)],
                vec![json!(least - 1), json!(most + 1), json!(least as f64 + 0.5), json!("1")],
            )
        }
        Shape::Number { least, most } => {
            let beyond = most.map(|most| json!(most + 0.001));
            let bad = [json!(least - 0.001), json!("1")].into_iter().chain(beyond);
            (vec![json!(least), json!(most.unwrap_or(1e9))], bad.collect())
        }
        Shape::Word(words) => {
            (words.iter().map(|word| json!(word)).collect(), vec![json!("other"), json!(""), json!(5)])
        }
        Shape::Name(rule) => names(*rule),
        Shape::Duration(bounds) => durations(bounds),
        Shape::Size(bounds) => sizes(bounds),
        // One with a rule is a pointer, a name or a method.
        Shape::Text { longest } => {
            let begins = |rule: &Rule| rule.cel.contains("startsWith('/')");
            let good = if schema.rules.iter().all(begins) { "/" } else { "X" };
            (vec![json!(good)], vec![json!(good.repeat(*longest as usize + 1)), json!(5)])
        }
        // One with a rule can only be true.
        Shape::Flag => {
            let good = if schema.rules.is_empty() { vec![json!(true), json!(false)] } else { vec![json!(true)] };
            return (good, vec![json!("true"), json!(1), json!([])]);
        }
        Shape::Time | Shape::Map(_) | Shape::List { .. } => return Default::default(),
    };
    bad.extend(nonsense);
    (good, bad)
}

fn names(rule: NameRule) -> (Vec<Value>, Vec<Value>) {
    let label = "a".repeat(63);
    let mut bad = vec!["", "A", "-a", "a-", "a_b", "a b", "ä"];
    // A tag has to leave room for the endpoint's name.
    let mut good = vec!["a".to_owned(), "a-0".to_owned(), "a".repeat(61)];
    let long = format!("{label}a");
    bad.push(&long);
    let longest = [label.as_str(), &label, &label, &label[2..]].join(".");
    let too_long = format!("{longest}a");
    match rule {
        NameRule::Service => bad.extend(["0a", "a.b"]),
        NameRule::Label => bad.push("a.b"),
        NameRule::Subdomain => {
            good.extend(["0.a".to_owned(), label.clone(), longest]);
            bad.extend([".a", "a.", "a..b", "a.-b", too_long.as_str()]);
        }
    }
    let bad = bad.into_iter().map(|name| json!(name)).chain([json!(5)]);
    (good.into_iter().map(|name| json!(name)).collect(), bad.collect())
}

fn durations(bounds: &RangeInclusive<Duration>) -> (Vec<Value>, Vec<Value>) {
    let (least, most) = (*bounds.start(), *bounds.end());
    let nanosecond = Duration::from_nanos(1);
    let show = |duration| json!(show_duration(duration));
    let mut good = vec![show(least), show(most), json!("10m"), json!("0.5h"), json!("600000ms"), json!("9m60.0s")];
    let mut bad = vec![show(most + nanosecond)];
    if least == Duration::ZERO {
        good.push(json!("0"));
    } else {
        bad.extend([show(least - nanosecond), json!("0s"), json!("0")]);
    }
    bad.extend([600, 0].map(|number| json!(number)));
    let texts = ["", "600", "1d", "-1s", "+1s", "1 s", "1.2.3s", "s", ".s", "m1", "10000000h", "9999999999999999999h"];
    bad.extend(texts.map(|text| json!(text)));
    bad.push(json!(format!("{}600s", "0".repeat(30))));
    (good, bad)
}

fn sizes(bounds: &RangeInclusive<u64>) -> (Vec<Value>, Vec<Value>) {
    let (least, most) = (*bounds.start(), *bounds.end());
    let good =
        vec![json!(least), json!(most), json!(show_size(least)), json!(show_size(most)), json!("1.5Gi"), json!("2M")];
    let (below, above) = (least - 1, most + 1);
    let mut bad = vec![json!(below), json!(above), json!(below.to_string()), json!(above.to_string())];
    bad.extend(["", "256MB", "256mi", "-1Gi", "1048576.5", "3e8", "1Pi", "Mi", "1 Gi"].map(|text| json!(text)));
    (good, bad)
}
