//! What a model looks like. On top the revisions, below them more of the selected one; or that one alone with its
//! decisions.

use api::admin::{Decision, Mode, Path, Point, State, Wake};
use loadtest::results::time;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Table, TableState};

use super::chart::{chart, most};
use super::{Model, Row, visible};
use crate::find::full;
use crate::text::wrapped;
use crate::why::headline;

/// From this width on there is room for what is said below the table anyway.
const WIDE: u16 = 110;
/// A minute, a second a character.
const MINUTE: usize = 60;
/// In front of a chart: what it is of, and its numbers.
const CHART_LABEL: usize = 18;

/// Draws everything.
pub(crate) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let ink = Ink { colour: model.colour };
    let selected = model.selected.min(model.rows.len().saturating_sub(1));
    let shown = visible(model.rows.len(), selected, frame.area().height);
    let table_height = 1 + u16::try_from(shown.len()).unwrap_or(u16::MAX);
    let [title, said, table, panel, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(if model.decisions_after.is_some() { 0 } else { table_height }),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Span::styled(&*model.title, ink.strong()), title);
    frame.render_widget(Text::from(&*model.aside).alignment(Alignment::Right), title);
    let style = if model.is_trouble { ink.of(Color::Red).add_modifier(Modifier::BOLD) } else { ink.quiet() };
    frame.render_widget(Span::styled(&*model.said, style), said);
    let row = model.rows.get(selected);
    let lines = match (row, model.decisions_after) {
        (None, _) => vec![Line::default(), Line::from("no revisions")],
        (Some(row), Some(after)) => with_decisions(row, after, usize::from(panel.width), ink),
        (Some(row), None) => {
            let first = shown.start;
            let at = TableState::default().with_selected(selected - first);
            rows(frame, table, (&model.rows[shown], at), ink);
            overview(row, panel, ink)
        }
    };
    frame.render_widget(Paragraph::new(lines), panel);
    let help = match model.decisions_after {
        Some(_) => "↑↓ or j k: older, newer   Esc: back   q: leave",
        None => "↑↓ or j k: select   Enter: its decisions   q: leave",
    };
    frame.render_widget(Span::styled(help, ink.quiet()), keys);
}

/// Colours, where they are wanted.
#[derive(Clone, Copy)]
struct Ink {
    colour: bool,
}

impl Ink {
    fn of(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is there to be looked up and not to be read each time.
    fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn state(self, state: State) -> Style {
        match state {
            State::Zero => self.quiet(),
            State::Waking | State::Draining => self.of(Color::Yellow),
            State::Active => self.of(Color::Green),
            State::Failed => self.of(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    fn mode(self, mode: Mode) -> Style {
        match mode {
            Mode::Stable => Style::new(),
            Mode::Panic => self.of(Color::Magenta).add_modifier(Modifier::BOLD),
        }
    }
}

fn rows(frame: &mut Frame<'_>, area: Rect, (shown, mut at): (&[Row], TableState), ink: Ink) {
    let is_wide = WIDE <= area.width;
    let name = |row: &Row| full(&row.revision.namespace, &row.revision.name);
    let widest = shown.iter().map(|row| name(row).chars().count()).max().unwrap_or(0).clamp(8, 24);
    // Two for the mark and one between each two.
    let others: u16 = 2 + [8, 6, 5, 5, 8, 7].map(|width: u16| width + 1).iter().sum::<u16>();
    let wide: u16 = if is_wide { [7, 6, 22].map(|width: u16| width + 1).iter().sum() } else { 0 };
    let named = u16::try_from(widest).unwrap_or(u16::MAX);
    let spark = usize::from(area.width.saturating_sub(others + wide + named + 1)).min(MINUTE);
    let mut titles = vec![left("REVISION"), left("STATE"), right("REQ/S"), right("HERE"), right("HELD"), left("READY")];
    let mut widths = vec![named, 8, 6, 5, 5, 8];
    if is_wide {
        titles.extend([right("P50"), right("P99"), left("MODE"), left("BECAUSE")]);
        widths.extend([7, 7, 6, 22]);
    } else {
        titles.push(right("P99"));
        widths.push(7);
    }
    titles.push(left("REQ/S, LAST MINUTE"));
    widths.push(u16::try_from(spark).unwrap_or(u16::MAX));
    let lines = shown.iter().map(|row| {
        let now = row.now();
        let (p50, p99) = row.latency();
        let revision = &row.revision;
        let mut cells = vec![
            left(&name(row)),
            left(revision.state.word()).style(ink.state(revision.state)),
            right(&rate(now)),
            right(&count(now.and_then(|point| point.in_flight))),
            right(&count(now.and_then(|point| point.held))),
            left(&row.replicas()),
        ];
        if is_wide {
            cells.push(right(&p50.map_or("-".to_owned(), time)));
        }
        cells.push(right(&p99.map_or("-".to_owned(), time)));
        if is_wide {
            cells.push(left(mode(revision.mode)).style(ink.mode(revision.mode)));
            cells.push(left(revision.because.as_deref().unwrap_or("-")));
        }
        cells.push(left(&chart(&minute(row, |point| point.requests_per_second), spark, 1).concat()));
        ratatui::widgets::Row::new(cells)
    });
    let table = Table::new(lines, widths.into_iter().map(Constraint::Length))
        .header(ratatui::widgets::Row::new(titles).style(ink.quiet()))
        .highlight_symbol("> ")
        .row_highlight_style(ink.strong());
    frame.render_stateful_widget(table, area, &mut at);
}

/// Why it is as it is, the last minute, and what happened last.
fn overview(row: &Row, area: Rect, ink: Ink) -> Vec<Line<'static>> {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let mut lines = vec![Line::default()];
    lines.extend(about(row, width, ink));
    // Two lines of wakes and two of decisions with their titles, if there is room for them at all.
    let left = height.saturating_sub(lines.len() + 1);
    let each = (left.saturating_sub(6) / 3).clamp(1, 5);
    lines.push(Line::default());
    lines.extend(charts(row, width, each, ink));
    let left = height.saturating_sub(lines.len());
    let wakes = row.wakes.len().min(2.max(left.saturating_sub(8)).min(4));
    if 3 < left && wakes != 0 {
        lines.push(Line::styled("last wakes", ink.quiet()));
        lines.extend(row.wakes.iter().rev().take(wakes).map(|one| Line::from(wake(one))));
    }
    let left = height.saturating_sub(lines.len());
    if 1 < left && !row.decisions.is_empty() {
        lines.push(Line::styled("last decisions", ink.quiet()));
        lines.extend(row.decisions.iter().rev().take(left - 1).map(|one| Line::from(decision(one))));
    }
    lines
}

/// That one alone.
fn with_decisions(row: &Row, after: usize, width: usize, ink: Ink) -> Vec<Line<'static>> {
    let mut lines = vec![Line::default()];
    lines.extend(about(row, width, ink));
    lines.push(Line::default());
    let newest_first = row.decisions.iter().rev();
    lines.push(Line::styled(
        format!("its last {} decisions, newest first; in a row for the same reason they are one", row.decisions.len()),
        ink.quiet(),
    ));
    for one in newest_first.skip(after) {
        lines.push(Line::styled(decision(one), ink.mode(one.mode)));
        lines.extend(
            wrapped(&one.sentence, width.saturating_sub(10))
                .into_iter()
                .map(|said| Line::styled(format!("{:10}{said}", ""), ink.quiet())),
        );
    }
    lines
}

/// What it is doing, why, and its numbers.
fn about(row: &Row, width: usize, ink: Ink) -> Vec<Line<'static>> {
    let revision = &row.revision;
    let mut lines = vec![Line::styled(headline(revision), ink.state(revision.state).patch(ink.strong()))];
    if let Some(last) = row.decisions.last() {
        let said = format!("{} ({})", last.sentence, last.because);
        lines.extend(wrapped(&said, width).into_iter().take(2).map(Line::from));
    }
    if let Some(reason) = &revision.reason {
        lines.extend(wrapped(reason, width).into_iter().take(2).map(|line| Line::styled(line, ink.of(Color::Red))));
    }
    let demand = &revision.demand;
    let number = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.1}"));
    let path = match revision.path {
        Path::Proxied => "proxied",
        Path::Direct => "direct",
    };
    let facts = format!(
        ", {path}; {} {} long, {} short, {} a replica; median {}",
        demand.metric,
        number(demand.stable),
        number(demand.panic),
        number(demand.target),
        row.latency().0.map_or("-".to_owned(), time),
    );
    lines.push(Line::from(vec![Span::styled(mode(revision.mode), ink.mode(revision.mode)), Span::from(facts)]));
    lines
}

/// The last minute, three times.
fn charts(row: &Row, width: usize, height: usize, ink: Ink) -> Vec<Line<'static>> {
    let room = width.saturating_sub(CHART_LABEL + 1).min(MINUTE);
    let now = row.now();
    let rates = minute(row, |point| point.requests_per_second);
    let here = minute(row, |point| point.in_flight.map(f64::from));
    let ready = minute(row, |point| Some(f64::from(point.ready_replicas)));
    let held = count(now.and_then(|point| point.held));
    let of = [
        (rates, format!("requests/s {}", rate(now)), String::new(), Color::Cyan),
        (here, format!("here {}", count(now.and_then(|point| point.in_flight))), format!("held {held}"), Color::Blue),
        (ready, format!("replicas {}", row.replicas()), String::new(), Color::Green),
    ];
    let mut lines = Vec::new();
    for (values, label, second, colour) in of {
        let highest = most(&values).map_or(String::new(), |most| format!("most {most:.0}"));
        let labels = [label, if second.is_empty() { highest.clone() } else { second }, highest];
        for (number, drawn) in chart(&values, room, height).into_iter().enumerate() {
            // What would be said twice is said once.
            let label = labels.get(number).filter(|label| number == 0 || labels.get(number - 1) != Some(*label));
            let label = format!("{:<CHART_LABEL$.CHART_LABEL$} ", label.map_or("", String::as_str));
            lines.push(Line::from(vec![Span::from(label), Span::styled(drawn, ink.of(colour))]));
        }
    }
    lines
}

fn minute(row: &Row, value: impl Fn(&Point) -> Option<f64>) -> Vec<Option<f64>> {
    row.points.iter().skip(row.points.len().saturating_sub(MINUTE)).map(value).collect()
}

fn wake(wake: &Wake) -> String {
    let at = wake.at.get(11..19).unwrap_or(&wake.at);
    let part = |name: &str, seconds: Option<f64>| {
        seconds.map_or(String::new(), |seconds| format!("  {name} {}", time(seconds)))
    };
    format!(
        "{at}  {:<9}  {} held{}{}{}",
        wake.outcome.as_deref().unwrap_or("under way"),
        wake.held_requests,
        part("ordered", wake.ordered_seconds),
        part("started", wake.started_seconds),
        part("ready", wake.ready_seconds),
    )
}

fn decision(decision: &Decision) -> String {
    let at = decision.at.get(11..19).unwrap_or(&decision.at);
    let number = |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.1}"));
    let want = decision.want.map_or("as it is".to_owned(), |want| format!("wants {want}"));
    let held = match decision.held_requests {
        0 => String::new(),
        held => format!(", {held} held"),
    };
    format!(
        "{at}  {want:<8}  {:<22} {} long, {} short, {} ready{held}",
        decision.because,
        number(decision.stable),
        number(decision.panic),
        decision.ready_replicas,
    )
}

fn rate(now: Option<&Point>) -> String {
    now.and_then(|point| point.requests_per_second).map_or("-".to_owned(), |rate| format!("{rate:.1}"))
}

fn count(count: Option<u32>) -> String {
    count.map_or("-".to_owned(), |count| count.to_string())
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Stable => "stable",
        Mode::Panic => "panic",
    }
}

fn left(text: &str) -> Cell<'static> {
    Cell::from(text.to_owned())
}

fn right(text: &str) -> Cell<'static> {
    Cell::from(Text::from(text.to_owned()).alignment(Alignment::Right))
}
