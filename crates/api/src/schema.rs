//! What a `ModelEndpoint` may say, as data: the whole tree with what each field is, its bounds, and rules between fields.
//!
//! From it the CustomResourceDefinition is written (`crd.rs`), so that an API server refuses what the reader in
//! `endpoint/read.rs` refuses, and `kubectl explain` says what is allowed. Bounds come from where the reader has them; that
//! both mean the same is held by tests.
//!
//! Formats (names, durations, sizes) are rules of CEL and not patterns: a rule has a message for people. Every text and
//! every list is bounded, since an API server estimates what its rules cost at worst and refuses what may cost too much.

mod autoscaling;
mod spec;
mod status;

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value, json};

pub(crate) use spec::spec;
pub(crate) use status::status;

use crate::fault::NOT_YET_SUPPORTED;
use crate::quantity::{show_duration, show_size};
use crate::read::{LONGEST_DURATION, NameRule};

/// A part of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    shape: Shape,
    /// What it is, in sentences.
    doc: String,
    /// What counts if it is left out, in words. Nothing is written into objects: it would stay when the default changes,
    /// and would be a difference to the file to everyone who compares.
    default: Option<String>,
    /// Why it is not served.
    not_served: Option<&'static str>,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
enum Shape {
    Map(Vec<Field>),
    List { item: Box<Schema>, sizes: RangeInclusive<u64>, merge: Merge },
    Text { longest: u64 },
    Name(NameRule),
    Duration(RangeInclusive<Duration>),
    Word(Vec<&'static str>),
    Whole(RangeInclusive<i64>),
    Number { least: f64, most: Option<f64> },
    Size(RangeInclusive<u64>),
    Flag,
    Time,
}

#[derive(Clone, Debug)]
struct Field {
    name: &'static str,
    needed: bool,
    schema: Schema,
}

/// How server-side apply puts two people's lists together.
#[derive(Clone, Copy, Debug)]
enum Merge {
    /// Not at all: one replaces the other.
    Whole,
    /// Each entry is its own key.
    Set,
    /// By a field that is always there.
    By(&'static str),
}

/// A rule in CEL, with what to tell who breaks it.
#[derive(Clone, Debug)]
struct Rule {
    cel: String,
    message: String,
    /// CEL that makes a better message from what stands there.
    spoken: Option<String>,
}

impl Schema {
    fn new(shape: Shape, doc: impl Into<String>) -> Self {
        let doc = doc.into();
        Self { shape, doc, default: None, not_served: None, rules: Vec::new() }
    }

    fn map(doc: impl Into<String>) -> Self {
        Self::new(Shape::Map(Vec::new()), doc)
    }

    /// A list of which one replaces another.
    fn list(item: Self, sizes: RangeInclusive<u64>, doc: impl Into<String>) -> Self {
        Self::new(Shape::List { item: Box::new(item), sizes, merge: Merge::Whole }, doc)
    }

    fn text(longest: u64, doc: impl Into<String>) -> Self {
        Self::new(Shape::Text { longest }, doc)
    }

    fn name(rule: NameRule, doc: impl Into<String>) -> Self {
        Self::new(Shape::Name(rule), doc)
    }

    fn word(words: &[&'static str], doc: impl Into<String>) -> Self {
        Self::new(Shape::Word(words.to_vec()), doc)
    }

    fn whole(bounds: &RangeInclusive<u64>, doc: impl Into<String>) -> Self {
        let signed = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX);
        Self::new(Shape::Whole(signed(*bounds.start())..=signed(*bounds.end())), doc)
    }

    fn number(least: f64, most: Option<f64>, doc: impl Into<String>) -> Self {
        Self::new(Shape::Number { least, most }, doc)
    }

    fn flag(doc: impl Into<String>) -> Self {
        Self::new(Shape::Flag, doc)
    }

    fn time(doc: impl Into<String>) -> Self {
        Self::new(Shape::Time, doc)
    }

    fn duration(bounds: &RangeInclusive<Duration>, doc: impl Into<String>) -> Self {
        Self::new(Shape::Duration(bounds.clone()), doc)
    }

    fn size(bounds: &RangeInclusive<u64>, doc: impl Into<String>) -> Self {
        Self::new(Shape::Size(bounds.clone()), doc)
    }

    /// A field of a map that has to be there.
    fn needs(self, name: &'static str, schema: Self) -> Self {
        self.field(Field { name, needed: true, schema })
    }

    /// A field of a map that may be left out.
    fn has(self, name: &'static str, schema: Self) -> Self {
        self.field(Field { name, needed: false, schema })
    }

    fn field(mut self, field: Field) -> Self {
        if let Shape::Map(fields) = &mut self.shape {
            fields.push(field);
        }
        self
    }

    fn merged(mut self, how: Merge) -> Self {
        if let Shape::List { merge, .. } = &mut self.shape {
            *merge = how;
        }
        self
    }

    /// What counts if it is left out.
    fn or(mut self, default: impl Into<String>) -> Self {
        self.default = Some(default.into());
        self
    }

    fn not_served(mut self, why: &'static str) -> Self {
        self.not_served = Some(why);
        self
    }

    fn rule(mut self, cel: impl Into<String>, message: impl Into<String>) -> Self {
        self.rules.push(Rule { cel: cel.into(), message: message.into(), spoken: None });
        self
    }

    /// Gives the last rule a message that is made from what stands there, in CEL.
    fn spoken(mut self, cel: impl Into<String>) -> Self {
        if let Some(rule) = self.rules.last_mut() {
            rule.spoken = Some(cel.into());
        }
        self
    }

    /// A further sentence.
    fn says(mut self, sentence: &str) -> Self {
        self.doc.push(' ');
        self.doc.push_str(sentence);
        self
    }

    /// What its shape allows, in words; `None` where the shape says nothing that its name does not.
    fn bounds(&self) -> Option<String> {
        Some(match &self.shape {
            Shape::Text { longest } => format!("at most {longest} characters"),
            Shape::Name(rule) => rule.words().to_owned(),
            Shape::Duration(bounds) => duration_words(bounds),
            Shape::Size(bounds) => size_words(bounds),
            Shape::Whole(bounds) if *bounds.end() == i64::MAX => return None,
            Shape::Whole(bounds) => format!("a whole number from {} to {}", bounds.start(), bounds.end()),
            Shape::Number { least, most: Some(most) } => format!("a number from {least} to {most}"),
            Shape::Number { least, most: None } => format!("a number, at least {least}"),
            Shape::List { sizes, .. } if *sizes.start() == 0 => format!("at most {} entries", sizes.end()),
            Shape::List { sizes, .. } => format!("{} to {} entries", sizes.start(), sizes.end()),
            // `kubectl explain` lists words by itself.
            Shape::Word(_) | Shape::Map(_) | Shape::Flag | Shape::Time => return None,
        })
    }

    /// The rule that its shape stands for, where a schema has no word for it.
    fn rule_of_shape(&self) -> Option<Rule> {
        let (cel, message) = match &self.shape {
            Shape::Name(rule) => (format!("self.matches('{}')", rule.pattern()), rule.words().to_owned()),
            Shape::Duration(bounds) => (within_durations(bounds), duration_words(bounds)),
            Shape::Size(bounds) => (within_sizes(bounds), size_words(bounds)),
            _ => return None,
        };
        Some(Rule { cel, message, spoken: None })
    }

    /// All that `kubectl explain` says of it.
    fn description(&self) -> String {
        let mut parts = vec![self.doc.clone()];
        parts.extend(self.bounds().map(|bounds| format!("Allowed: {bounds}.")));
        parts.extend(self.default.iter().map(|default| format!("Default: {default}.")));
        parts.extend(self.not_served.map(|why| format!("Not served yet ({NOT_YET_SUPPORTED}): {why}.")));
        parts.join(" ")
    }

    /// As a structural schema.
    pub(crate) fn to_json(&self) -> Value {
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
        put("description", self.description().into());
        match &self.shape {
            Shape::Map(fields) => {
                put("type", "object".into());
                let all = fields.iter().map(|field| (field.name.to_owned(), field.schema.to_json()));
                put("properties", Value::Object(all.collect()));
                let needed: Vec<&str> = fields.iter().filter(|field| field.needed).map(|field| field.name).collect();
                if !needed.is_empty() {
                    put("required", needed.into());
                }
            }
            Shape::List { item, sizes, merge } => {
                put("type", "array".into());
                put("items", item.to_json());
                if *sizes.start() != 0 {
                    put("minItems", (*sizes.start()).into());
                }
                put("maxItems", (*sizes.end()).into());
                let kind = match merge {
                    Merge::Whole => "atomic",
                    Merge::Set => "set",
                    Merge::By(key) => {
                        put("x-kubernetes-list-map-keys", json!([key]));
                        "map"
                    }
                };
                put("x-kubernetes-list-type", kind.into());
            }
            Shape::Text { longest } => {
                put("type", "string".into());
                put("maxLength", (*longest).into());
            }
            Shape::Name(rule) => {
                put("type", "string".into());
                put("maxLength", rule.longest().into());
            }
            Shape::Duration(_) => {
                put("type", "string".into());
                put("maxLength", LONGEST_DURATION.into());
            }
            Shape::Word(words) => {
                put("type", "string".into());
                put("enum", json!(words));
            }
            Shape::Whole(bounds) => {
                put("type", "integer".into());
                put("minimum", (*bounds.start()).into());
                // An API server reads bounds as floating point, in which the largest whole number is too large.
                if *bounds.end() != i64::MAX {
                    put("maximum", (*bounds.end()).into());
                }
                put("format", if *bounds.end() <= i64::from(i32::MAX) { "int32" } else { "int64" }.into());
            }
            Shape::Number { least, most } => {
                put("type", "number".into());
                put("minimum", (*least).into());
                if let Some(most) = most {
                    put("maximum", (*most).into());
                }
            }
            Shape::Size(_) => {
                put("x-kubernetes-int-or-string", true.into());
                put("anyOf", json!([{ "type": "integer" }, { "type": "string" }]));
            }
            Shape::Flag => put("type", "boolean".into()),
            Shape::Time => {
                put("type", "string".into());
                put("format", "date-time".into());
            }
        }
        let rules: Vec<Value> = self.rule_of_shape().iter().chain(&self.rules).map(Rule::to_json).collect();
        if !rules.is_empty() {
            put("x-kubernetes-validations", rules.into());
        }
        Value::Object(out)
    }
}

impl Rule {
    fn to_json(&self) -> Value {
        let mut out = json!({ "rule": self.cel, "message": self.message });
        if let Some(spoken) = &self.spoken {
            out["messageExpression"] = spoken.as_str().into();
        }
        out
    }
}

/// What the reader and Go take for a duration.
const DURATION: &str = "^(0|(([0-9]+[.]?[0-9]*|[.][0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$";
/// Beneath the units that Kubernetes also has: what is held in memory is not so large, and not a thousandth of a byte.
const SIZE: &str = "^([0-9]+[.]?[0-9]*|[.][0-9]+)(Ki|Mi|Gi|Ti|k|M|G|T)?$";

fn duration_words(bounds: &RangeInclusive<Duration>) -> String {
    let (least, most) = (show_duration(*bounds.start()), show_duration(*bounds.end()));
    format!("a duration such as 90s or 1h30m, from {least} to {most}")
}

fn within_durations(bounds: &RangeInclusive<Duration>) -> String {
    let (least, most) = (show_duration(*bounds.start()), show_duration(*bounds.end()));
    format!(
        "self.matches('{DURATION}') && duration('{least}') <= duration(self) && duration(self) <= duration('{most}')"
    )
}

fn size_words(bounds: &RangeInclusive<u64>) -> String {
    format!("a size such as 256Mi or 2Gi, from {} to {}", show_size(*bounds.start()), show_size(*bounds.end()))
}

/// A size may be written as a number too.
fn within_sizes(bounds: &RangeInclusive<u64>) -> String {
    let (least, most) = (bounds.start(), bounds.end());
    let against = |limit: u64| format!("quantity(self).compareTo(quantity('{}'))", show_size(limit));
    // `isInteger` says no to 1.5Gi.
    let bytes = "quantity(self).asApproximateFloat()";
    format!(
        "type(self) == int ? {least} <= self && self <= {most} : self.matches('{SIZE}') && \
         0 <= {} && {} <= 0 && double(int({bytes})) == {bytes}",
        against(*least),
        against(*most),
    )
}

#[cfg(test)]
mod tests;
