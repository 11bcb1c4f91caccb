//! JSON: V2's outputs as tensors, everything else value by value.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::Rules;
use crate::binary::tensor_of;
use crate::found::{Found, What};
use crate::number::{Scalar, first_of};
use crate::tensor::{self, Tensor};

/// What names an answer or who made it, and is no part of what it says: of OpenAI's protocol.
const OF_CHOICES: [&str; 4] = ["id", "created", "model", "system_fingerprint"];

/// Two answers in JSON.
pub(crate) fn compare(used: &Value, candidate: &Value, rules: &Rules, found: &mut Found) {
    if let (Some(one), Some(other)) = (tensors_of(used), tensors_of(candidate)) {
        return compare_tensors(&one, &other, rules, found);
    }
    let is_of_choices = used.get("choices").is_some_and(Value::is_array);
    let mut walk = Walk { rules, found, at: String::new(), scores: None, unnamed: is_of_choices };
    walk.values(used, candidate);
}

/// The outputs of an answer of V2, if it is one. Its id, and the name and version of the model, are who answers and not
/// what.
fn tensors_of(answer: &Value) -> Option<Vec<Tensor>> {
    answer.get("outputs")?.as_array()?.iter().map(|output| tensor_of(output, &mut &[][..])).collect()
}

/// Output by output, by name.
pub(crate) fn compare_tensors(used: &[Tensor], candidate: &[Tensor], rules: &Rules, found: &mut Found) {
    for (index, one) in used.iter().enumerate() {
        let pointer = format!("/outputs/{index}");
        if is_ignored(&pointer, rules) || is_ignored(&format!("{pointer}/data"), rules) {
            continue;
        }
        let place = format!("/outputs/{}", one.name);
        match candidate.iter().find(|other| other.name == one.name) {
            None => found.note(&place, What::Missing),
            Some(other) => tensor::compare(one, other, &place, rules.tolerance, found),
        }
    }
    for other in candidate {
        if !used.iter().any(|one| one.name == other.name) {
            found.note(&format!("/outputs/{}", other.name), What::Extra);
        }
    }
}

fn is_ignored(pointer: &str, rules: &Rules) -> bool {
    rules.ignore.iter().any(|ignored| ignored == pointer)
}

/// A walk through two values at once.
struct Walk<'a> {
    rules: &'a Rules,
    found: &'a mut Found,
    /// The JSON pointer of where it is.
    at: String,
    /// Lists entered since `predictions`; `None` outside. A list of numbers in there is a row of scores, if it is not the
    /// one for all instances.
    scores: Option<usize>,
    /// What names an answer is left out.
    unnamed: bool,
}

impl Walk<'_> {
    fn values(&mut self, used: &Value, candidate: &Value) {
        if is_ignored(&self.at, self.rules) {
            return;
        }
        match (used, candidate) {
            (Value::Null, Value::Null) => {}
            (Value::Bool(one), Value::Bool(other)) if one == other => {}
            (Value::Bool(_), Value::Bool(_)) => self.found.note(&self.at, What::Value),
            (Value::Number(one), Value::Number(other)) => {
                let gap = Scalar::of(one).gap(Scalar::of(other), self.rules.tolerance);
                self.found.compare_numbers(gap, || self.at.clone());
            }
            (Value::String(one), Value::String(other)) => self.found.compare_text(&self.at, one, other),
            (Value::Array(one), Value::Array(other)) => self.lists(one, other),
            (Value::Object(one), Value::Object(other)) => self.objects(one, other),
            _ => {
                let (used, candidate) = (kind(used).to_owned(), kind(candidate).to_owned());
                self.found.note(&self.at, What::Type { used, candidate });
            }
        }
    }

    fn lists(&mut self, used: &[Value], candidate: &[Value]) {
        if used.len() != candidate.len() {
            return self.found.note(&self.at, What::Length { used: used.len(), candidate: candidate.len() });
        }
        if self.scores.is_some_and(|depth| 0 < depth)
            && let (Some(one), Some(other)) = (row(used), row(candidate))
            && one.iter().chain(&other).any(|scalar| matches!(scalar, Scalar::Fraction(_)))
        {
            self.found.note_row(first_of(&one) == first_of(&other));
        }
        let depth = self.scores;
        self.scores = depth.map(|depth| depth + 1);
        for (index, (one, other)) in used.iter().zip(candidate).enumerate() {
            let before = self.at.len();
            // To a string it cannot fail.
            let _ = write!(self.at, "/{index}");
            self.values(one, other);
            self.at.truncate(before);
        }
        self.scores = depth;
    }

    fn objects(&mut self, used: &Map<String, Value>, candidate: &Map<String, Value>) {
        let is_the_whole = self.at.is_empty();
        let unnamed = is_the_whole && self.unnamed;
        let is_left_out = |key: &str| unnamed && OF_CHOICES.contains(&key);
        let keys: Vec<&String> = used.keys().chain(candidate.keys().filter(|key| !used.contains_key(*key))).collect();
        for key in keys.into_iter().filter(|key| !is_left_out(key)) {
            let before = self.at.len();
            self.at.push('/');
            self.at.push_str(&key.replace('~', "~0").replace('/', "~1"));
            if is_the_whole {
                self.scores = (key == "predictions").then_some(0);
            }
            match (used.get(key), candidate.get(key)) {
                (Some(one), Some(other)) => self.values(one, other),
                _ if is_ignored(&self.at, self.rules) => {}
                (Some(_), None) => self.found.note(&self.at, What::Missing),
                (None, _) => self.found.note(&self.at, What::Extra),
            }
            self.at.truncate(before);
        }
    }
}

/// A list of two numbers or more, and of nothing else.
fn row(list: &[Value]) -> Option<Vec<Scalar>> {
    if list.len() < 2 {
        return None;
    }
    list.iter().map(|value| value.as_number().map(Scalar::of)).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
