//! An API server's judgement of an object, as far as a schema says it: unknown fields, types, bounds, and rules of CEL,
//! played by somebody else's interpreter. What of Kubernetes' own functions the rules use is added here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, Program, Value as Cel};
use serde_json::Value;

use crate::quantity::parse_size;

/// Everything that is wrong, as path and message.
pub(super) fn judge(schema: &Value, path: &str, value: &Value) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    shapes(schema, path, value, &mut faults);
    // As there: what has no right shape is not held against rules.
    if faults.is_empty() {
        RULES.with(|rules| rules.borrow_mut().play(schema, path, value, &mut faults));
    }
    faults
}

fn shapes(schema: &Value, path: &str, value: &Value, faults: &mut Vec<(String, String)>) {
    let mut refuse = |why: String| faults.push((path.to_owned(), why));
    let right_type = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some(other) => panic!("{path}: a type that is not known here: {other}"),
        None => value.is_string() || value.is_i64() || value.is_u64(),
    };
    if !right_type {
        return refuse(format!("{value}: not of type {}", schema["type"]));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        refuse(format!("{value}: less than {least}"));
    }
    if let (Some(most), Some(number)) = (schema["maximum"].as_f64(), value.as_f64())
        && most < number
    {
        refuse(format!("{value}: more than {most}"));
    }
    if let (Some(longest), Some(text)) = (schema["maxLength"].as_u64(), value.as_str())
        && longest < text.chars().count() as u64
    {
        refuse(format!("{value}: longer than {longest}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        refuse(format!("{value}: none of {words:?}"));
    }
    if let Some(items) = value.as_array() {
        let sizes = schema["minItems"].as_u64().unwrap_or(0)..=schema["maxItems"].as_u64().unwrap_or(u64::MAX);
        if !sizes.contains(&(items.len() as u64)) {
            refuse(format!("{} entries, not {sizes:?}", items.len()));
        }
        let key =
            |item: &Value| match (schema["x-kubernetes-list-type"].as_str(), &schema["x-kubernetes-list-map-keys"]) {
                (Some("set"), _) => Some(item.clone()),
                // A key that is left out has its default.
                (Some("map"), keys) => keys[0].as_str().map(|key| {
                    let given = item.get(key).unwrap_or(&schema["items"]["properties"][key]["default"]);
                    given.clone()
                }),
                _ => None,
            };
        for (i, item) in items.iter().enumerate() {
            if key(item).is_some() && items[..i].iter().any(|earlier| key(earlier) == key(item)) {
                refuse(format!("[{i}]: a duplicate"));
            }
        }
        for (i, item) in items.iter().enumerate() {
            shapes(&schema["items"], &format!("{path}[{i}]"), item, faults);
        }
    }
    // `metadata` is the API server's own.
    let (Some(fields), Some(known)) = (value.as_object(), schema["properties"].as_object()) else { return };
    for needed in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(needed) {
            faults.push((format!("{path}.{needed}"), "missing".to_owned()));
        }
    }
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        match known.get(name) {
            Some(schema) => shapes(schema, &path, value, faults),
            None => faults.push((path, "unknown field".to_owned())),
        }
    }
}

thread_local! {
    static RULES: RefCell<Rules> = RefCell::new(Rules::new());
}

struct Rules {
    compiled: HashMap<String, Program>,
    base: Context<'static, 'static>,
}

impl Rules {
    fn new() -> Self {
        let mut base = Context::default();
        base.add_function("sum", |This(list): This<Arc<Vec<Cel>>>| list.iter().map(whole).sum::<i64>()).unwrap();
        base.add_function("isSorted", |This(list): This<Arc<Vec<Cel>>>| list.is_sorted_by_key(whole)).unwrap();
        // A quantity is its bytes; where they are no whole number it is any fraction that is within bounds.
        base.add_function("quantity", |text: Arc<String>| parse_size(&text).map_or(1e9 + 0.5, |bytes| bytes as f64))
            .unwrap();
        base.add_function("asApproximateFloat", |This(bytes): This<f64>| bytes).unwrap();
        base.add_function("compareTo", |This(one): This<f64>, other: f64| one.total_cmp(&other) as i64).unwrap();
        Self { compiled: HashMap::new(), base }
    }

    fn play(&mut self, schema: &Value, path: &str, value: &Value, faults: &mut Vec<(String, String)>) {
        let rules = schema["x-kubernetes-validations"].as_array();
        for rule in rules.into_iter().flatten() {
            let cel = rule["rule"].as_str().unwrap();
            let compile = || Program::compile(cel).unwrap_or_else(|error| panic!("{path}: {cel}: {error}"));
            let program = self.compiled.entry(cel.to_owned()).or_insert_with(compile);
            let mut context = self.base.new_inner_scope();
            context.add_variable_from_value("self", typed(schema, value));
            match program.execute(&context) {
                Ok(Cel::Bool(true)) => {}
                Ok(Cel::Bool(false)) => faults.push((path.to_owned(), rule["message"].as_str().unwrap().to_owned())),
                other => faults.push((path.to_owned(), format!("{cel}: {other:?}"))),
            }
        }
        for (i, item) in value.as_array().into_iter().flatten().enumerate() {
            self.play(&schema["items"], &format!("{path}[{i}]"), item, faults);
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            if let Some(schema) = schema["properties"].get(name) {
                self.play(schema, &format!("{path}.{name}"), value, faults);
            }
        }
    }
}

fn whole(value: &Cel) -> i64 {
    match value {
        Cel::Int(number) => *number,
        other => panic!("not a whole number: {other:?}"),
    }
}

/// A value as CEL has it: what a schema calls a number is one with a fraction, however it is written.
fn typed(schema: &Value, value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(value) => Cel::Bool(*value),
        Value::Number(number) if schema["type"] == "number" => Cel::Float(number.as_f64().unwrap()),
        Value::Number(number) => Cel::Int(number.as_i64().unwrap()),
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(|item| typed(&schema["items"], item)).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            let typed = |(name, value): (&String, _)| (name.clone(), typed(&schema["properties"][name], value));
            fields.iter().map(typed).collect::<HashMap<String, Cel>>().into()
        }
    }
}
