//! What `rouse get` prints: columns as `kubectl` has them, colours for states.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use api::admin::{Endpoint, Mode, Path, Revision, Shadow, State};

use crate::text::share;

/// Endpoints, one a line, and below it why one has failed or cannot go to zero.
pub(crate) fn endpoints(endpoints: &[Endpoint]) -> String {
    let mut table = Table::new(&["NAMESPACE", "NAME", "URL", "STATE", "READY", "TRAFFIC"]);
    for endpoint in endpoints {
        let ready: u32 = endpoint.revisions.iter().map(|revision| revision.ready_replicas).sum();
        let desired: Option<u32> = endpoint.revisions.iter().map(|revision| revision.desired_replicas).sum();
        let share = |share: &api::admin::Share| {
            let tag = share.tag.as_ref().map_or_else(String::new, |tag| format!("({tag})"));
            format!("{}={}%{tag}", share.revision, share.percent)
        };
        table.row([
            Cell::plain(&endpoint.namespace),
            Cell::plain(&endpoint.name),
            Cell::plain(endpoint.url.as_deref().unwrap_or("-")),
            Cell::state(endpoint.state),
            Cell::plain(format!("{ready}/{}", or_dash(desired))),
            Cell::plain(endpoint.traffic.iter().map(share).collect::<Vec<_>>().join(",")),
        ]);
    }
    let reasons = endpoints.iter().flat_map(|endpoint| &endpoint.revisions);
    table.show("no endpoints") + &remarks(reasons)
}

/// Revisions, one a line, and below it why one has failed or cannot go to zero.
pub(crate) fn revisions(revisions: &[Revision]) -> String {
    let titles = ["NAMESPACE", "NAME", "STATE", "READY", "STARTING", "DEMAND", "TARGET", "MODE", "PATH", "BECAUSE"];
    let mut table = Table::new(&titles);
    for revision in revisions {
        let demand = &revision.demand;
        let (now, mode) = match revision.mode {
            Mode::Stable => (demand.stable, "stable"),
            Mode::Panic => (demand.panic, "panic"),
        };
        let path = match revision.path {
            Path::Proxied => "proxied",
            Path::Direct => "direct",
        };
        table.row([
            Cell::plain(&revision.namespace),
            Cell::plain(&revision.name),
            Cell::state(revision.state),
            Cell::plain(format!("{}/{}", revision.ready_replicas, or_dash(revision.desired_replicas))),
            Cell::plain(revision.starting_replicas.to_string()),
            Cell::plain(now.map_or_else(|| "-".to_owned(), |now| format!("{} {}", short(now), demand.metric))),
            Cell::plain(demand.target.map_or_else(|| "-".to_owned(), short)),
            Cell::plain(mode),
            Cell::plain(path),
            Cell::plain(revision.because.as_deref().unwrap_or("-")),
        ]);
    }
    table.show("no revisions") + &remarks(revisions.iter())
}

/// Shadows, one a line.
pub(crate) fn shadows(shadows: &[Shadow]) -> String {
    let titles =
        ["NAMESPACE", "NAME", "ENDPOINT", "PERCENT", "COPIES", "ANSWERED", "COMPARED", "ALIKE", "SAME LARGEST"];
    let mut table = Table::new(&titles);
    for shadow in shadows {
        let answered = shadow.copies.get("answered").copied().unwrap_or(0);
        let compared = shadow.compared.as_ref();
        let or_dash = |text: Option<String>| Cell::plain(text.unwrap_or_else(|| "-".to_owned()));
        #[expect(clippy::cast_precision_loss, reason = "more rows than 2^53 are never counted")]
        let same = compared.filter(|it| it.rows != 0).map(|it| share(it.rows_that_agree as f64 / it.rows as f64));
        table.row([
            Cell::plain(&shadow.namespace),
            Cell::plain(&shadow.name),
            Cell::plain(&shadow.endpoint),
            Cell::plain(format!("{}%", shadow.percent)),
            Cell::plain(shadow.copies.values().sum::<u64>().to_string()),
            Cell::plain(answered.to_string()),
            or_dash(compared.map(|compared| (compared.alike + compared.different).to_string())),
            or_dash(compared.and_then(|compared| compared.agreement).map(share)),
            or_dash(same),
        ]);
    }
    table.show("no shadows")
}

fn remarks<'a>(revisions: impl Iterator<Item = &'a Revision>) -> String {
    let mut out = String::new();
    for revision in revisions {
        if let Some(reason) = &revision.reason {
            // Writing to a String cannot fail.
            let reason: String = reason.trim_end().chars().filter(|c| *c == '\n' || !c.is_control()).collect();
            let _ = writeln!(out, "\n{} has failed: {reason}", revision.name);
        }
        if !revision.zero_blocked_by.is_empty() {
            let silent: String = revision.zero_blocked_by.join(", ").chars().filter(|c| !c.is_control()).collect();
            let _ = writeln!(out, "\n{} cannot go to zero: nothing is heard of {silent}", revision.name);
        }
    }
    out
}

fn or_dash(number: Option<u32>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// At most one decimal: what more says changes with every second.
fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    fn plain(text: impl Into<String>) -> Self {
        // What comes over a socket is not allowed to steer a terminal.
        let text = text.into().chars().filter(|c| !c.is_control()).collect();
        Self { text, style: Style::new() }
    }

    fn state(state: State) -> Self {
        let style = match state {
            State::Zero => Style::new().dimmed(),
            State::Waking | State::Draining => AnsiColor::Yellow.on_default(),
            State::Active => AnsiColor::Green.on_default(),
            State::Failed => AnsiColor::Red.on_default().bold(),
        };
        Self { text: state.word().to_owned(), style }
    }
}

struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    fn new(titles: &[&str]) -> Self {
        Self { rows: vec![titles.iter().map(|title| Cell::plain(*title)).collect()] }
    }

    fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    fn show(mut self, nothing: &str) -> String {
        if self.rows.len() == 1 {
            return format!("{nothing}\n");
        }
        // The namespace says something only where there is more than the usual one.
        if self.rows.iter().skip(1).all(|row| row.first().is_some_and(|cell| cell.text == "default")) {
            self.rows.iter_mut().for_each(|row| drop(row.remove(0)));
        }
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| self.rows.iter().map(|row| row[column].text.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let Cell { text, style } = cell;
                let _ = write!(out, "{style}{text}{style:#}");
                if column + 1 < columns {
                    out.extend(std::iter::repeat_n(' ', 3 + widths[column] - text.chars().count()));
                }
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use api::admin::{Demand, Share};

    use super::*;

    fn revision(state: State) -> Revision {
        Revision {
            namespace: "default".to_owned(),
            name: "recommender-v1".to_owned(),
            state,
            path: Path::Proxied,
            mode: Mode::Panic,
            because: Some("panicking".to_owned()),
            reason: (state == State::Failed).then(|| "exit status 1: no such file\n".to_owned()),
            zero_blocked_by: Vec::new(),
            adopted: true,
            desired_replicas: Some(5),
            ready_replicas: 3,
            starting_replicas: 2,
            demand: Demand {
                metric: "concurrency".to_owned(),
                stable: Some(12.0),
                panic: Some(49.96),
                target: Some(7.0),
            },
            settings: BTreeMap::new(),
            refused_settings: Vec::new(),
            replicas: Vec::new(),
            outlook: None,
        }
    }

    fn endpoint(namespace: &str, revisions: Vec<Revision>) -> Endpoint {
        Endpoint {
            namespace: namespace.to_owned(),
            name: "recommender".to_owned(),
            url: Some("http://127.0.0.1:8081".to_owned()),
            hosts: Vec::new(),
            traffic: vec![Share { revision: "recommender-v1".to_owned(), percent: 100, tag: Some("now".to_owned()) }],
            state: State::Active,
            outcomes: None,
            revisions,
        }
    }

    fn without_colours(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn of_a_shadow_that_nobody_compares_nothing_is_said_of_its_answers() {
        let shadow = Shadow {
            namespace: "default".to_owned(),
            endpoint: "iris".to_owned(),
            name: "iris-v3".to_owned(),
            percent: 50,
            wake: false,
            under_way: 1,
            copies: BTreeMap::from([("answered".to_owned(), 7), ("error".to_owned(), 2)]),
            compared: None,
        };
        assert_eq!(
            without_colours(&shadows(&[shadow])),
            "NAME      ENDPOINT   PERCENT   COPIES   ANSWERED   COMPARED   ALIKE   SAME LARGEST\n\
             iris-v3   iris       50%       9        7          -          -       -\n"
        );
        assert_eq!(shadows(&[]), "no shadows\n");
    }

    #[test]
    fn columns_stand_under_their_titles() {
        assert_eq!(
            without_colours(&endpoints(&[endpoint("default", vec![revision(State::Active)])])),
            "NAME          URL                     STATE    READY   TRAFFIC\n\
             recommender   http://127.0.0.1:8081   active   3/5     recommender-v1=100%(now)\n"
        );
        assert_eq!(
            without_colours(&super::revisions(&[revision(State::Active)])),
            "NAME             STATE    READY   STARTING   DEMAND           TARGET   MODE    PATH      BECAUSE\n\
             recommender-v1   active   3/5     2          50 concurrency   7        panic   proxied   panicking\n"
        );
    }

    #[test]
    fn a_namespace_is_shown_where_there_is_more_than_the_usual_one() {
        let text = endpoints(&[endpoint("default", vec![]), endpoint("shop", vec![])]);
        assert!(text.contains("NAMESPACE") && text.contains("shop"), "{text}");
    }

    #[test]
    fn why_one_failed_is_said_below() {
        let text = without_colours(&super::revisions(&[revision(State::Failed)]));
        assert!(text.ends_with("\nrecommender-v1 has failed: exit status 1: no such file\n"), "{text}");
    }

    #[test]
    fn who_keeps_one_from_zero_is_said_below() {
        let blocked = vec!["activator-2".to_owned(), "v1-7".to_owned()];
        let revision = Revision { zero_blocked_by: blocked, ..revision(State::Active) };
        let text = without_colours(&super::revisions(&[revision]));
        assert!(
            text.ends_with("\nrecommender-v1 cannot go to zero: nothing is heard of activator-2, v1-7\n"),
            "{text}"
        );
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        assert_eq!(endpoints(&[]), "no endpoints\n");
    }
}
