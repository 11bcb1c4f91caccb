//! A scenario as it stands in a file: every fault with its place, all at once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::{Fault, Faults, Place, nearest};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::{LONGEST, MOST_REQUESTS, Phase, Request, Scenario};
use crate::arrivals::Arrivals;
use crate::shape::{Piece, Shape};

/// The file that a trace names, or the one that is wanted in its place.
pub(super) struct Opened {
    /// As it is called in a fault.
    pub(super) name: String,
    /// What stands in it; the error says what is allowed.
    pub(super) text: Result<String, String>,
}

/// Opens it.
pub(super) type Open<'a> = &'a dyn Fn(&str) -> Opened;

/// Reads one. `name` is what it is called, in faults too.
pub(super) fn read(name: &str, text: &str, open: Open<'_>) -> Result<Scenario, Faults> {
    let mut reader = Reader { file: name.into(), faults: Vec::new(), open };
    let scenario = match serde_saphyr::from_str::<Node>(text) {
        Ok(root) => reader.scenario(name, &root),
        Err(error) => {
            let told = error.without_snippet().to_string();
            // The place stands in front already.
            let why = told.split_once(": ").filter(|_| told.starts_with("line ")).map_or(told.as_str(), |(_, why)| why);
            let why = match error.without_snippet() {
                serde_saphyr::Error::MultipleDocuments { .. } => "one document in a file",
                _ => why.split(" at line ").next().unwrap_or(why),
            };
            reader.fault(error.location().unwrap_or(Location::UNKNOWN), "", "", why);
            None
        }
    };
    Faults(reader.faults).into_result()?;
    Ok(scenario.expect("without a fault there is a scenario"))
}

/// A value and where it stands.
type Node = Spanned<Value>;
type Fields = BTreeMap<String, Node>;

#[derive(Debug)]
enum Value {
    Nothing,
    Text(String),
    Whole(u64),
    Number(f64),
    List(Vec<Node>),
    Fields(Fields),
}

impl Value {
    /// As it is shown in a fault.
    fn shown(&self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Text(text) => text.clone(),
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::List(_) => "a list".to_owned(),
            Self::Fields(_) => "fields".to_owned(),
        }
    }
}

struct Reader<'a> {
    file: Arc<str>,
    faults: Vec<Fault>,
    open: Open<'a>,
}

impl Reader<'_> {
    fn fault(&mut self, at: Location, path: &str, value: &str, allowed: &str) {
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let place = Place { file: Arc::clone(&self.file), line: count(at.line()), column: count(at.column()) };
        self.faults.push(Fault { place: Some(place), ..Fault::of_flag(path, value, allowed) });
    }

    /// `None` only beside a fault.
    fn scenario(&mut self, name: &str, root: &Node) -> Option<Scenario> {
        let fields = self.fields("", root, &["about", "arrivals", "seed", "request", "phases"])?;
        let about = self.field("", fields, "about", "a sentence: what it shows", text);
        if !fields.contains_key("about") {
            self.fault(root.referenced, "about", "", "is missing: a sentence that says what it shows");
        }
        let arrivals = self.field("", fields, "arrivals", "poisson or uniform", |value| match value {
            Value::Text(word) if word == "poisson" => Some(Arrivals::Poisson),
            Value::Text(word) if word == "uniform" => Some(Arrivals::Uniform),
            _ => None,
        });
        let seed = self.field("", fields, "seed", "a whole number", |value| match value {
            Value::Whole(seed) => Some(*seed),
            _ => None,
        });
        let request = fields.get("request").map_or_else(|| Some(Request::prediction()), |node| self.request(node));
        let phases = self.phases(root, fields);
        let scenario = Scenario {
            name: name.to_owned(),
            about: about.unwrap_or_default(),
            arrivals: arrivals.unwrap_or_default(),
            seed: seed.unwrap_or(1),
            request: request?,
            phases,
        };
        let at = fields.get("phases").map_or(root.referenced, |phases| phases.referenced);
        if MOST_REQUESTS < scenario.requests() {
            self.fault(at, "phases", &format!("{:.0} requests", scenario.requests()), "at most 10 million");
        }
        if LONGEST < scenario.lasts() {
            let lasts = humantime::format_duration(scenario.lasts()).to_string();
            self.fault(at, "phases", &lasts, "a day at most, all together");
        }
        Some(scenario)
    }

    fn request(&mut self, node: &Node) -> Option<Request> {
        let fields = self.fields("request", node, &["method", "path", "body"])?;
        let method = self.field("request", fields, "method", "a method such as GET or POST", |value| {
            // CONNECT asks for a tunnel, not for an answer.
            text(value)
                .filter(|method| method.parse::<http::Method>().is_ok_and(|method| method != http::Method::CONNECT))
        });
        let path = self.field("request", fields, "path", "a path such as /v1/models/any:predict", |value| {
            text(value).filter(|path| path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok())
        });
        if !fields.contains_key("path") {
            self.fault(node.referenced, "request.path", "", "is missing: a path such as /v1/models/any:predict");
        }
        let body = self.field("request", fields, "body", "text (JSON in quotes)", text);
        let method = method.unwrap_or_else(|| "GET".to_owned());
        Some(Request { method, path: path.unwrap_or_default(), bodies: body.into_iter().collect() })
    }

    fn phases(&mut self, root: &Node, fields: &Fields) -> Vec<Phase> {
        let allowed = "a list of phases, at least one";
        match fields.get("phases") {
            Some(Spanned { value: Value::List(phases), .. }) if !phases.is_empty() => {
                phases.iter().enumerate().filter_map(|(number, phase)| self.phase(number, phase)).collect()
            }
            Some(other) => {
                self.fault(other.referenced, "phases", &other.value.shown(), allowed);
                Vec::new()
            }
            None => {
                self.fault(root.referenced, "phases", "", &format!("is missing: {allowed}"));
                Vec::new()
            }
        }
    }

    fn phase(&mut self, number: usize, node: &Node) -> Option<Phase> {
        let path = format!("phases[{number}]");
        let fields = self.fields(&path, node, &["name", "for", "rate", "from", "to", "on", "off", "trace", "peak"])?;
        let name = self.field(&path, fields, "name", "a name", text);
        if !fields.contains_key("for") {
            self.fault(node.referenced, &format!("{path}.for"), "", "is missing: a time such as 30s");
        }
        let lasts = self.time(&path, fields, "for");
        let given: Vec<&str> = ["rate", "from", "to", "on", "off", "trace", "peak"]
            .into_iter()
            .filter(|key| fields.contains_key(*key))
            .collect();
        let shape = match given.as_slice() {
            ["rate"] => Shape(vec![Piece::hold(self.rate(&path, fields, "rate"), lasts)]),
            ["from", "to"] => {
                Shape(vec![Piece { lasts, from: self.rate(&path, fields, "from"), to: self.rate(&path, fields, "to") }])
            }
            ["rate", "on", "off"] => {
                let rate = self.rate(&path, fields, "rate");
                on_off(rate, self.time(&path, fields, "on"), self.time(&path, fields, "off"), lasts)
            }
            ["trace", "peak"] => {
                let peak = self.rate(&path, fields, "peak");
                self.trace(&path, fields).map(|series| of_series(&series, peak, lasts)).unwrap_or_default()
            }
            other => {
                let allowed = "one of: rate; from and to; rate, on and off; trace and peak";
                self.fault(node.referenced, &path, &other.join(", "), allowed);
                Shape::default()
            }
        };
        Some(Phase { name: name.unwrap_or_else(|| (number + 1).to_string()), shape })
    }

    fn trace(&mut self, path: &str, fields: &Fields) -> Option<Vec<f64>> {
        let file = self.field(path, fields, "trace", "a CSV file", text)?;
        let Opened { name, text } = (self.open)(&file);
        match text.and_then(|text| series(&text)) {
            Ok(series) => Some(series),
            Err(why) => {
                let at = fields.get("trace").map_or(Location::UNKNOWN, |node| node.referenced);
                self.fault(at, &format!("{path}.trace"), &name, &why);
                None
            }
        }
    }

    fn rate(&mut self, path: &str, fields: &Fields, field: &str) -> f64 {
        let rate = self.field(path, fields, field, "requests a second: 0 or more", |value| match value {
            Value::Whole(rate) => Some(*rate as f64),
            Value::Number(rate) if rate.is_finite() && 0.0 <= *rate => Some(*rate),
            _ => None,
        });
        rate.unwrap_or(0.0)
    }

    fn time(&mut self, path: &str, fields: &Fields, field: &str) -> Duration {
        let allowed = "a time such as 30s or 2m: from 100ms to a day";
        let time = self.field(path, fields, field, allowed, |value| {
            let time = humantime::parse_duration(&text(value)?).ok()?;
            // Shorter ones would be very many.
            (Duration::from_millis(100)..=LONGEST).contains(&time).then_some(time)
        });
        time.unwrap_or(Duration::from_secs(1))
    }

    /// A field, if it is there; with a fault if it is not what `read` understands.
    fn field<T>(
        &mut self,
        path: &str,
        fields: &Fields,
        field: &str,
        allowed: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let node = fields.get(field)?;
        let value = read(&node.value);
        if value.is_none() {
            self.fault(node.referenced, &join(path, field), &node.value.shown(), allowed);
        }
        value
    }

    fn fields<'n>(&mut self, path: &str, node: &'n Node, known: &[&str]) -> Option<&'n Fields> {
        let Value::Fields(fields) = &node.value else {
            self.fault(node.referenced, path, &node.value.shown(), &format!("fields: {}", known.join(", ")));
            return None;
        };
        for (name, node) in fields.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
            let allowed = match nearest(name, known.iter().copied()) {
                Some(near) => format!("unknown field; the nearest known one is {near}"),
                None => format!("unknown field; known ones are {}", known.join(", ")),
            };
            self.fault(node.referenced, &join(path, name), "", &allowed);
        }
        Some(fields)
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn on_off(rate: f64, on: Duration, off: Duration, lasts: Duration) -> Shape {
    let mut left = lasts;
    let mut pieces = Vec::new();
    for (rate, length) in [(rate, on), (0.0, off)].into_iter().cycle() {
        if left.is_zero() {
            break;
        }
        let length = length.min(left);
        pieces.push(Piece::hold(rate, length));
        left -= length;
    }
    Shape(pieces)
}

/// The second column of each line, after a head.
fn series(text: &str) -> Result<Vec<f64>, String> {
    let value = |line: &str| line.split(',').nth(1)?.trim().parse::<f64>().ok().filter(|v| v.is_finite() && 0.0 <= *v);
    let lines = text.lines().enumerate().skip(1).filter(|(_, line)| !line.trim().is_empty());
    let values: Result<Vec<f64>, String> = lines
        .map(|(number, line)| {
            value(line).ok_or_else(|| format!("line {}: {line:?} is not a time and a value of 0 or more", number + 1))
        })
        .collect();
    let values = values?;
    if values.len() < 2 || values.iter().all(|value| *value == 0.0) {
        return Err("a CSV file with a head and at least two values, not all of them 0".to_owned());
    }
    Ok(values)
}

/// The values as rates, one after the other in the same time, the highest of them `peak`.
fn of_series(series: &[f64], peak: f64, lasts: Duration) -> Shape {
    let highest = series.iter().copied().fold(0.0, f64::max);
    let length = lasts.div_f64((series.len() - 1) as f64);
    let piece = |pair: &[f64]| Piece { lasts: length, from: pair[0] / highest * peak, to: pair[1] / highest * peak };
    Shape(series.windows(2).map(piece).collect())
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or(Value::Number(value as f64), Value::Whole))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Fields::new();
        while let Some((name, node)) = map.next_entry()? {
            fields.insert(name, node);
        }
        Ok(Value::Fields(fields))
    }
}
