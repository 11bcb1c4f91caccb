//! Of a shadow: whose requests it gets copies of, what became of them, and how its answers compare.

use api::admin::{Shadow, Took};
use loadtest::results::time;

use crate::text::share;

/// A sentence, and what belongs to it.
pub(super) fn shadow(shadow: &Shadow) -> (String, Vec<String>) {
    let requests =
        if shadow.percent == 100 { "all requests".to_owned() } else { format!("{} % of the requests", shadow.percent) };
    let woken = if shadow.wake { "is woken for them" } else { "is not woken for them" };
    let said = format!("of {}: it gets copies of {requests}, {woken}, and nobody gets its answers", shadow.endpoint);
    let copies = fates(shadow);
    let mut items = vec![format!("copies: {}", if copies.is_empty() { "none yet" } else { &copies })];
    let Some(compared) = &shadow.compared else {
        items.push("answers are not compared: its entry in `shadow` has no `compare`".to_owned());
        return (said, items);
    };
    let Some(agreement) = compared.agreement else {
        items.push("answers: none was compared yet".to_owned());
        return (said, items);
    };
    let all = compared.alike + compared.different;
    items.push(format!("answers: {} of {all} are as those that clients got", share(agreement)));
    if compared.rows != 0 {
        #[expect(clippy::cast_precision_loss, reason = "more rows than 2^53 are never counted")]
        let same = compared.rows_that_agree as f64 / compared.rows as f64;
        items.push(format!("scores: the same is the largest in {} of {} rows", share(same), compared.rows));
    }
    let (its, clients) = (quantiles(&compared.shadow_took), quantiles(&compared.used_took));
    items.push(format!("latency, median and 99th percentile: {its}; of clients' answers: {clients}"));
    (said, items)
}

/// How copies ended, without what did not happen.
pub(crate) fn fates(shadow: &Shadow) -> String {
    let all: u64 = shadow.copies.values().sum();
    let there = shadow.copies.iter().filter(|(_, count)| **count != 0);
    let words =
        there.map(|(word, count)| if *count == all { format!("all {word}") } else { format!("{count} {word}") });
    words.collect::<Vec<_>>().join(", ")
}

/// Median and 99th percentile.
pub(crate) fn quantiles(took: &Took) -> String {
    let one = |seconds: Option<f64>| seconds.map_or("–".to_owned(), time);
    format!("{}, {}", one(took.p50_seconds), one(took.p99_seconds))
}
