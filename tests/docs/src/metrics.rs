//! `docs/metrics.md`: what each program publishes.

use prometheus::proto::{MetricFamily, MetricType};

use crate::table::{code, table};

const HEAD: &str = "\
# Metrics

Made from the code by `make docs`. At `/metrics` of the admin port, in Prometheus' text format. Names begin with `rouse_`,
units are base units. Labels come from names in the cluster and from closed lists, never from a path, a host or an address,
so their number is bounded by what is deployed. `rouse up` publishes the first two tables together, at
`http://127.0.0.1:8090/metrics`.

`rouse_build_info{program,version}` is 1 in all of them.
";

/// The page.
///
/// # Errors
/// If a program's metrics contradict each other.
pub fn metrics() -> prometheus::Result<String> {
    let mut page = HEAD.to_owned();
    for (title, families) in [
        ("Activator", activator::every_metric()?),
        ("Autoscaler", autoscaler::every_metric()?),
        ("queue-proxy", queue_proxy::every_metric()?),
    ] {
        let rows: Vec<[String; 4]> = families.iter().map(row).collect();
        page += &format!("\n## {title}\n\n{}", table(["name", "kind", "labels", "what"], &rows));
    }
    Ok(page)
}

fn row(family: &MetricFamily) -> [String; 4] {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "untyped",
    };
    [code(family.name()), kind.to_owned(), labels(family), family.help().trim_end_matches('.').to_owned()]
}

/// Each label; with its words, where all of them are there from the start.
fn labels(family: &MetricFamily) -> String {
    let first = family.get_metric().first();
    let names =
        first.map(|metric| metric.get_label().iter().map(|label| label.name().to_owned())).into_iter().flatten();
    let said: Vec<String> = names
        .map(|name| {
            let mut words: Vec<&str> = family
                .get_metric()
                .iter()
                .flat_map(|metric| metric.get_label())
                .filter(|label| label.name() == name)
                .map(prometheus::proto::LabelPair::value)
                .filter(|word| !word.is_empty())
                .collect();
            words.sort_unstable();
            words.dedup();
            let is_closed = !["namespace", "endpoint", "revision"].contains(&name.as_str()) && !words.is_empty();
            if is_closed { format!("`{name}`: {}", words.join(" ")) } else { code(&name) }
        })
        .collect();
    if said.is_empty() { "–".to_owned() } else { said.join("; ") }
}
