//! The last step to zero, and requests that meet it.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use wired::{File, LEAVING, Model, Up, eventually, secs};

#[tokio::test]
async fn each_step_to_zero_is_told_with_its_reason_in_order() {
    let up = Up::start(&File::of(Model::predictor("evening", &[]))).await;
    assert_eq!(up.client("evening").get("/").await.status, 200);
    up.until_state("evening-v1", "active", secs(20)).await;
    up.until_gone("evening-v1", LEAVING).await;
    let told = up.json("/api/v1/revisions/default/evening-v1/decisions").await;
    let reasons = told["decisions"].as_array().unwrap().iter().map(|decision| decision["because"].as_str().unwrap());
    let reasons: Vec<&str> = reasons.collect();
    let mut wanted = ["waking", "sealed", "zero"].iter().peekable();
    for reason in &reasons {
        wanted.next_if(|wanted| *wanted == reason);
    }
    assert_eq!(wanted.next(), None, "in {reasons:?}");
}

/// Many revisions fall idle at the same moment, and each is asked once more at another moment around the one at which it
/// goes to zero: before, while it is sealed, while its process ends, after.
#[tokio::test]
async fn a_request_that_meets_the_way_down_is_answered() {
    const MODELS: usize = 32;
    const APART: Duration = Duration::from_millis(50);
    let name = |number: usize| format!("dusk-{number}");
    let up = Up::start(&File::of_all((0..MODELS).map(|number| Model::predictor(&name(number), &[])).collect())).await;

    // Once to learn when that is.
    ask_all(&up, MODELS, |_| Duration::ZERO).await;
    let idle_since = Instant::now();
    let half = eventually(LEAVING, "half of them have gone to zero", async || match number_at_zero(&up).await {
        zero if MODELS / 2 <= zero => Ok(idle_since.elapsed()),
        zero => Err(format!("{zero}")),
    })
    .await;
    let span = APART * u32::try_from(MODELS).unwrap();
    // How long they take depends on what else the machine does. So each round looks where the last one did not: earlier if
    // all were at zero already, later if none was.
    let (mut middle, mut rounds, mut both) = (half, 0, 0);
    while rounds < 3 || both == 0 {
        assert!(rounds < 12, "no round met the way down; the last was around {middle:?} after the last request");
        ask_all(&up, MODELS, |_| Duration::ZERO).await;
        let begin = middle.saturating_sub(span / 2);
        let found_at_zero = ask_all(&up, MODELS, |number| begin + APART * u32::try_from(number).unwrap()).await;
        match found_at_zero {
            0 => middle += span / 2,
            MODELS => middle = middle.saturating_sub(span / 2),
            _ => both += 1,
        }
        rounds += 1;
    }
}

/// Asks each once, so long from now; each must be answered 200. How many had to be woken.
async fn ask_all(up: &Up, models: usize, after: impl Fn(usize) -> Duration) -> usize {
    let mut requests = JoinSet::new();
    for number in 0..models {
        let (client, after) = (up.client(&format!("dusk-{number}")), after(number));
        requests.spawn(async move {
            tokio::time::sleep(after).await;
            client.ask(client.request("/"), "").await
        });
    }
    let mut woken = 0;
    while let Some(answer) = requests.join_next().await {
        let answer = answer.unwrap().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        woken += usize::from(answer.timing("wake").is_some());
    }
    woken
}

async fn number_at_zero(up: &Up) -> usize {
    let list = up.json("/api/v1/endpoints").await;
    list["endpoints"].as_array().unwrap().iter().filter(|endpoint| endpoint["state"] == "zero").count()
}
