//! What is asked, and the answer.
//!
//! `/healthz`, `/v2/health/*` and what describes a model are answered at once. *Work* is what a model does (predict,
//! infer, echo, events, WebSocket, and `/`): it takes its service time, is bounded, fails and crashes as told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::task::TaskTracker;

use super::Args;
use super::begun::Begun;
use super::garbage::Spoil;
use super::model::{Model, Said, flatten};
use super::streams;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;
pub(super) type Answer = Response<Body>;

/// The largest input that is parsed; `/echo` has no limit, as it keeps nothing.
const MAX_INPUT_BYTES: usize = 64 << 20;

/// The server's behaviour and what it has counted.
#[derive(Debug)]
pub(super) struct Server {
    args: Args,
    begun: Option<Begun>,
    room: Option<Semaphore>,
    work_begun: AtomicU64,
    /// WebSockets, which outlive the connection they came on.
    streams: TaskTracker,
}

/// What a path means.
enum Asked<'a> {
    Home,
    Healthy,
    Server,
    Models,
    ModelV1(&'a str),
    ModelV2(&'a str),
    ModelReadyV2,
    PredictV1,
    InferV2(&'a str),
    Echo,
    Events,
    WebSocket,
    Unknown,
}

impl Server {
    pub(super) fn new(args: Args, begun: Option<Begun>, streams: TaskTracker) -> Self {
        // More than tokio's semaphore holds is no limit either.
        let room = args.concurrency.map(|limit| Semaphore::new(limit as usize));
        Self { args, begun, room, work_begun: AtomicU64::new(0), streams }
    }

    /// Answers one request. `spoil` is the switch of its connection.
    pub(super) async fn answer(&self, request: Request<Incoming>, spoil: &Spoil) -> Answer {
        if let (Some(begun), Some(id)) = (&self.begun, request.headers().get("x-request-id")) {
            begun.note(id.as_bytes());
        }
        let path = request.uri().path().to_owned();
        let mut answer = match read(&path) {
            Asked::Healthy => text("ok\n"),
            Asked::Server => {
                json(&json!({ "name": "rouse-predictor", "version": env!("CARGO_PKG_VERSION"), "extensions": [] }))
            }
            Asked::Models => json(&json!({ "models": ["model"] })),
            Asked::ModelV1(name) => json(&json!({ "name": name, "ready": true })),
            Asked::ModelReadyV2 => json(&json!({ "ready": true })),
            Asked::ModelV2(name) => json(&model_metadata(self.model(), name)),
            Asked::Unknown => refusal(StatusCode::NOT_FOUND, &format!("there is nothing at {path}")),
            work @ (Asked::Home
            | Asked::PredictV1
            | Asked::InferV2(_)
            | Asked::Echo
            | Asked::Events
            | Asked::WebSocket) => self.work(work, request, spoil).await,
        };
        // Which replica answered, for who tries balancing with curl.
        answer.headers_mut().insert("predictor-pid", HeaderValue::from(std::process::id()));
        answer
    }

    async fn work(&self, asked: Asked<'_>, request: Request<Incoming>, spoil: &Spoil) -> Answer {
        let number = self.work_begun.fetch_add(1, Ordering::Relaxed) + 1;
        if self.args.crash_after == Some(number) {
            eprintln!("dying while beginning request {number}, as told by --crash-after");
            std::process::abort();
        }
        let _place = self.place().await;
        if self.args.hang {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(self.service_time()).await;
        if self.args.garbage {
            spoil.now();
        }
        if fails(number, self.args.fail) {
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, "failed on purpose (--fail)");
        }
        if let Some(bytes) = self.args.flood {
            return streams::flood(bytes);
        }
        let mut answer = match asked {
            Asked::PredictV1 => with_input(request, |input| predict_v1(self.model(), input)).await,
            Asked::InferV2(name) => with_input(request, |input| infer_v2(self.model(), name, input)).await,
            Asked::Echo => streams::echo(request),
            Asked::Events => streams::events(&request),
            Asked::WebSocket => streams::web_socket(request, &self.streams),
            _ => text(&format!(
                "Hello from rouse's stand-in model, process {}. Try POST /v1/models/model:predict \
                 with {{\"instances\":[[1,2,3]]}}.\n",
                std::process::id()
            )),
        };
        if let Some(mean) = self.args.outcome {
            let said = mean + self.args.outcome_spread * scatter(number);
            answer.headers_mut().insert("rouse-outcome", as_header(said));
        }
        answer
    }

    /// A place among those worked on at once, held until the head of the answer.
    async fn place(&self) -> Option<SemaphorePermit<'_>> {
        match &self.room {
            Some(room) => room.acquire().await.ok(),
            None => None,
        }
    }

    fn model(&self) -> Model {
        Model { scores: self.args.scores, drift: self.args.drift }
    }

    fn service_time(&self) -> Duration {
        self.args.service_time.mul_f64(self.args.slow)
    }
}

fn read(path: &str) -> Asked<'_> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        [""] => Asked::Home,
        ["healthz"] | ["v2", "health", "live" | "ready"] => Asked::Healthy,
        ["v1", "models"] => Asked::Models,
        ["v1", "models", name] => match name.strip_suffix(":predict") {
            Some(_) => Asked::PredictV1,
            None => Asked::ModelV1(name),
        },
        ["v2"] => Asked::Server,
        ["v2", "models", name] => Asked::ModelV2(name),
        ["v2", "models", _, "ready"] => Asked::ModelReadyV2,
        ["v2", "models", name, "infer"] => Asked::InferV2(name),
        ["echo"] => Asked::Echo,
        ["events"] => Asked::Events,
        ["ws"] => Asked::WebSocket,
        _ => Asked::Unknown,
    }
}

/// Is the `number`th piece of work (from 1) among the failing share? Spread evenly, so that a test can count on it.
fn fails(number: u64, share: f64) -> bool {
    let failed_until = |number: u64| (number as f64 * share + 1e-9).floor();
    failed_until(number - 1) < failed_until(number)
}

/// Around 0 with a standard deviation of 1. The same for the `number`th piece of work each time, so that a test can count
/// on it.
fn scatter(number: u64) -> f64 {
    let mut chance = fastrand::Rng::with_seed(number);
    (0..12).map(|_| chance.f64()).sum::<f64>() - 6.0
}

fn as_header(number: f64) -> HeaderValue {
    // Digits, a sign and a point.
    HeaderValue::from_str(&format!("{number:.6}")).unwrap_or(HeaderValue::from_static("0"))
}

async fn with_input(request: Request<Incoming>, model: impl FnOnce(&Value) -> Result<Value, String>) -> Answer {
    if request.method() != Method::POST {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, "POST is allowed here");
    }
    let input = match Limited::new(request.into_body(), MAX_INPUT_BYTES).collect().await {
        Ok(input) => input.to_bytes(),
        Err(error) => return refusal(StatusCode::PAYLOAD_TOO_LARGE, &format!("the input could not be read: {error}")),
    };
    let input = serde_json::from_slice::<Value>(&input).map_err(|error| format!("the input is no JSON: {error}"));
    match input.and_then(|input| model(&input)) {
        Ok(output) => json(&output),
        Err(why) => refusal(StatusCode::BAD_REQUEST, &why),
    }
}

/// One prediction for each instance.
fn predict_v1(model: Model, input: &Value) -> Result<Value, String> {
    let instances = input["instances"].as_array().ok_or("`instances` is to be a list")?;
    let predictions: Vec<Value> = instances.iter().map(|instance| model.of(instance).as_json()).collect();
    Ok(json!({ "predictions": predictions }))
}

/// The same model over V2's first input, row by row.
fn infer_v2(model: Model, name: &str, input: &Value) -> Result<Value, String> {
    let first = input["inputs"].get(0).ok_or("`inputs` is to be a list with at least one tensor")?;
    let data = first["data"].as_array().ok_or("`inputs[0].data` is to be a list")?;
    let shape = first["shape"].as_array().ok_or("`inputs[0].shape` is to be a list")?;
    let rows = shape.first().and_then(Value::as_u64).ok_or("`inputs[0].shape` is to begin with a number of rows")?;
    let rows = usize::try_from(rows).ok().filter(|rows| 0 < *rows && *rows <= data.len());
    let rows = rows.ok_or_else(|| format!("`inputs[0].shape` and its {} values do not match", data.len()))?;
    let mut said: Vec<f64> = Vec::new();
    let mut numbers = Vec::new();
    for row in data.chunks(data.len().div_ceil(rows)) {
        numbers.clear();
        row.iter().for_each(|value| flatten(value, &mut numbers));
        match model.of_numbers(&numbers) {
            Said::Sum(sum) => said.push(sum),
            Said::Scores(scores) => said.extend(scores),
        }
    }
    let shape = match model.scores {
        None => json!([said.len()]),
        Some(scores) => json!([said.len() / scores as usize, scores]),
    };
    let mut output = json!({
        "model_name": name,
        "model_version": "1",
        "outputs": [{ "name": "output-0", "shape": shape, "datatype": "FP64", "data": said }],
    });
    if let Some(id) = input.get("id") {
        output["id"] = id.clone();
    }
    Ok(output)
}

fn model_metadata(model: Model, name: &str) -> Value {
    let shape = model.scores.map_or(json!([-1]), |scores| json!([-1, scores]));
    json!({
        "name": name,
        "versions": ["1"],
        "platform": "rouse-predictor",
        "inputs": [{ "name": "input-0", "datatype": "FP64", "shape": [-1, -1] }],
        "outputs": [{ "name": "output-0", "datatype": "FP64", "shape": shape }],
    })
}

pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

fn text(line: &str) -> Answer {
    Response::new(full(line.to_owned()))
}

fn json(value: &Value) -> Answer {
    let mut answer = Response::new(full(value.to_string()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

pub(super) fn refusal(status: StatusCode, why: &str) -> Answer {
    let mut answer = json(&json!({ "error": why }));
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_share_is_spread_evenly() {
        let failing = |share| (1..=40).filter(|number| fails(*number, share)).collect::<Vec<u64>>();
        assert_eq!(failing(0.05), [20, 40]);
        assert_eq!(failing(0.0), [0_u64; 0]);
        assert_eq!(failing(1.0).len(), 40);
    }

    #[test]
    fn what_is_said_of_answers_scatters_around_its_mean() {
        let said: Vec<f64> = (1..=1_000).map(scatter).collect();
        let mean = said.iter().sum::<f64>() / 1e3;
        let spread = (said.iter().map(|said| said * said).sum::<f64>() / 1e3).sqrt();
        assert!(mean.abs() <= 0.1 && (0.9..=1.1).contains(&spread), "{mean} {spread}");
        assert_eq!(as_header(-0.25), "-0.250000");
    }

    const SUM: Model = Model { scores: None, drift: 0.0 };

    #[test]
    fn v2_sums_each_row() {
        let input = json!({ "id": "7", "inputs": [{ "shape": [2, 2], "data": [1, 2, 3, 4] }] });
        let output = infer_v2(SUM, "iris", &input).unwrap();
        assert_eq!(output["outputs"][0]["data"], json!([3.0, 7.0]));
        assert_eq!(output["id"], "7");
    }

    #[test]
    fn both_protocols_have_the_same_scores_row_by_row() {
        let model = Model { scores: Some(3), ..SUM };
        let v1 = predict_v1(model, &json!({ "instances": [[1, 2], [3, 4]] })).unwrap();
        let input = json!({ "inputs": [{ "shape": [2, 2], "data": [1, 2, 3, 4] }] });
        let output = infer_v2(model, "iris", &input).unwrap()["outputs"][0].take();
        assert_eq!(output["shape"], json!([2, 3]));
        let rows: Vec<Value> =
            v1["predictions"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap()).cloned().collect();
        assert_eq!(output["data"], json!(rows));
    }

    #[test]
    fn an_input_that_makes_no_sense_is_refused_in_words() {
        for input in [json!({}), json!({ "inputs": [] }), json!({ "inputs": [{ "shape": [9], "data": [1] }] })] {
            assert!(infer_v2(SUM, "iris", &input).is_err());
        }
        assert_eq!(predict_v1(SUM, &json!({ "instances": 3 })).unwrap_err(), "`instances` is to be a list");
    }
}
