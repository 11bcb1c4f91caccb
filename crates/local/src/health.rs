//! Startup and liveness probes, which on a cluster are the kubelet's. Readiness is the queue-proxy's (`front.rs`).

use std::time::Duration;

use queue_proxy::{NotReady, Probe};
use tokio::time::{Instant, sleep};

/// A probe, and how long it may fail at first.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) probe: Probe,
    pub(crate) initial_delay: Duration,
}

/// Returns once the startup probe has succeeded; at once without one. Somebody waits for that, so it is asked as often as a
/// model that starts is asked whether it is ready: its period says how long it may fail, and not how long its success may go
/// unseen.
///
/// # Errors
/// When it has failed too often, with the last reason.
pub(crate) async fn started(check: Option<&Check>) -> Result<(), String> {
    let Some(Check { probe, initial_delay }) = check else { return Ok(()) };
    let began = Instant::now();
    // Asked from the start: the delay is for failures.
    let (mut failures, mut counts_from) = (0, began + *initial_delay);
    while let Err(why) = probe.ask().await {
        // Of the failures of one period only one counts.
        let now = Instant::now();
        if counts_from <= now {
            failures = count(probe, failures, &why, "startup")?;
            counts_from = now + probe.period;
        }
        sleep(queue_proxy::pause_while_starting(began.elapsed())).await;
    }
    Ok(())
}

/// Returns when the liveness probe has failed too often in a row, with the last reason; never without one.
pub(crate) async fn unwell(check: Option<&Check>) -> String {
    let Some(Check { probe, initial_delay }) = check else { return std::future::pending().await };
    sleep(*initial_delay).await;
    let mut failures = 0;
    loop {
        failures = match probe.ask().await {
            Ok(()) => 0,
            Err(why) => match count(probe, failures, &why, "liveness") {
                Ok(failures) => failures,
                Err(why) => return why,
            },
        };
        sleep(probe.period).await;
    }
}

fn count(probe: &Probe, failures: u32, why: &NotReady, kind: &str) -> Result<u32, String> {
    let failures = failures + 1;
    if failures < probe.failures {
        return Ok(failures);
    }
    Err(format!("its {kind} probe failed {failures} times: {why}"))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use queue_proxy::{Asker, Question};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Asked every 10 s, with a minute's patience; the answer comes at once, and is yes from `ready_at` on.
    fn ready_after(ready_at: Duration) -> Check {
        asked(move |elapsed| (Duration::ZERO, ready_at <= elapsed))
    }

    /// `answer`: by the time since now, how long the answer takes and what it is.
    fn asked(answer: impl Fn(Duration) -> (Duration, bool) + Send + Sync + 'static) -> Check {
        let began = Instant::now();
        let asker = Asker::new(move || {
            let (takes, is_well) = answer(began.elapsed());
            async move {
                sleep(takes).await;
                if is_well { Ok(()) } else { Err(NotReady::Says("no".to_owned())) }
            }
            .boxed()
        });
        let question = Question::Own(asker);
        let probe = Probe { question, timeout: 60 * SECOND, period: 10 * SECOND, successes: 1, failures: 6 };
        Check { probe, initial_delay: Duration::ZERO }
    }

    #[tokio::test(start_paused = true)]
    async fn that_a_model_has_started_is_seen_long_before_the_period_is_over() {
        let began = Instant::now();
        started(Some(&ready_after(SECOND))).await.unwrap();
        assert!(began.elapsed() < SECOND + SECOND / 20, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn being_asked_often_shortens_nobodys_time() {
        let began = Instant::now();
        assert!(started(Some(&ready_after(49 * SECOND))).await.is_ok());
        let why = started(Some(&ready_after(3600 * SECOND))).await.unwrap_err();
        assert_eq!(why, "its startup probe failed 6 times: it answered no");
        assert!(Duration::from_secs(49 + 50) <= began.elapsed(), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_delay_before_the_first_question_delays_failures_and_not_success() {
        let began = Instant::now();
        started(Some(&Check { initial_delay: 30 * SECOND, ..ready_after(SECOND) })).await.unwrap();
        assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
        let why = started(Some(&Check { initial_delay: 30 * SECOND, ..ready_after(3600 * SECOND) })).await;
        assert!(why.is_err() && Duration::from_secs(30 + 50) <= began.elapsed(), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_after_slow_ones_do_not_count_for_the_time_that_those_took() {
        let began = Instant::now();
        // Its first answer takes 40 s.
        let asked = asked(|elapsed| if elapsed < SECOND { (40 * SECOND, false) } else { (Duration::ZERO, false) });
        started(Some(&asked)).await.unwrap_err();
        assert!(Duration::from_secs(40 + 50) <= began.elapsed(), "{:?}", began.elapsed());
    }
}
