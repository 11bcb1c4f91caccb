//! What is seen, at two sizes.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

use api::admin::State;
use ratatui::backend::{CrosstermBackend, TestBackend};
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};

use super::*;
use crate::fixture;

/// A minute with a burst in its middle, in which the replicas follow.
fn minute() -> Vec<Point> {
    let point = |second: u32| {
        let rate = match second {
            0..10 => 0.0,
            10..30 => 4.0,
            30..45 => 40.0 + f64::from(second % 3),
            _ => 12.0,
        };
        let ready = if second < 12 { 0 } else { 1 + second.saturating_sub(33).min(4) };
        Point {
            at: format!("2026-01-02T03:04:{second:02}.000Z"),
            requests_per_second: (second != 20).then_some(rate),
            in_flight: Some((rate / 3.0) as u32),
            held: Some(if ready == 0 { (rate / 3.0) as u32 } else { 0 }),
            ready_replicas: ready,
            p50_seconds: (0.0 < rate).then_some(0.2),
            p99_seconds: (0.0 < rate).then_some(0.45),
            ..fixture::point()
        }
    };
    (0..60).map(point).collect()
}

fn row(name: &str, state: State) -> Row {
    let revision = Revision {
        name: name.to_owned(),
        state,
        mode: api::admin::Mode::Panic,
        because: Some("panicking".to_owned()),
        desired_replicas: Some(6),
        ready_replicas: 5,
        starting_replicas: 1,
        ..fixture::revision()
    };
    let first = fixture::decision(kpa::Because::Waking, 1);
    let last = Decision { mode: api::admin::Mode::Panic, ..fixture::decision(kpa::Because::Panicking, 6) };
    Row { revision, points: minute(), decisions: vec![first, last], wakes: vec![fixture::wake()] }
}

fn asleep(name: &str) -> Row {
    let revision = Revision {
        name: name.to_owned(),
        state: State::Zero,
        because: Some("zero".to_owned()),
        desired_replicas: Some(0),
        ready_replicas: 0,
        replicas: Vec::new(),
        ..fixture::revision()
    };
    Row { revision, points: Vec::new(), decisions: Vec::new(), wakes: Vec::new() }
}

fn model() -> Model {
    Model {
        title: "rouse top  http://127.0.0.1:8090".to_owned(),
        aside: "2 revisions".to_owned(),
        rows: vec![row("iris-v1", State::Active), asleep("recommender-v1")],
        ..Model::default()
    }
}

fn seen(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model)).unwrap();
    terminal.backend().to_string()
}

#[test]
fn a_small_terminal_shows_everything_that_matters() {
    insta::assert_snapshot!(seen(&model(), 80, 24));
}

#[test]
fn a_large_terminal_shows_more() {
    insta::assert_snapshot!(seen(&model(), 120, 40));
}

#[test]
fn one_revision_is_shown_with_its_decisions() {
    let model = Model { decisions_after: Some(0), ..model() };
    insta::assert_snapshot!(seen(&model, 80, 24));
}

#[test]
fn trouble_and_an_empty_table_are_said() {
    let said = "nothing answers; trying again".to_owned();
    let seen = seen(&Model { rows: Vec::new(), said, is_trouble: true, ..model() }, 80, 24);
    assert!(seen.contains("nothing answers; trying again") && seen.contains("no revisions"), "{seen}");
}

#[test]
fn a_terminal_of_any_size_is_drawn_on() {
    for (width, height) in [(1, 1), (10, 3), (40, 8), (80, 10), (300, 100)] {
        for decisions_after in [None, Some(0), Some(99)] {
            let _ = seen(&Model { decisions_after, selected: 7, ..model() }, width, height);
        }
    }
}

#[test]
fn rows_beyond_the_screen_come_into_it_when_they_are_selected() {
    let model = Model { rows: (0..50).map(|n| asleep(&format!("model-{n}"))).collect(), selected: 40, ..model() };
    let seen = seen(&model, 80, 24);
    assert!(seen.contains("> model-40") && !seen.contains("model-41"), "{seen}");
    assert_eq!(visible(50, 40, 24), 31..41);
    assert_eq!(visible(0, 0, 24), 0..0);
}

#[test]
fn what_comes_over_a_socket_does_not_steer_the_terminal() {
    let mut model = model();
    model.rows[0].revision.reason = Some("\u{1b}[31mred\u{7}".to_owned());
    model.rows[0].revision.because = Some("\u{1b}]0;title\u{7}".to_owned());
    assert!(!seen(&model, 120, 40).contains(['\u{1b}', '\u{7}']));
    assert!(!plain_lines(&model).contains(['\u{1b}', '\u{7}']));
}

#[test]
fn lines_fit_into_eighty_columns() {
    let lines = plain_lines(&model());
    assert_eq!(
        lines,
        "03:04:59 iris-v1          12.0/s    4 here    0 held  5/6 +1  p99 450 ms  panicking\n\
         --:--:-- recommender-v1      -/s    - here    - held  0/0     p99 -       zero\n"
    );
}

/// Counts what a real terminal would get.
#[derive(Clone, Default)]
struct Wire(Rc<RefCell<Vec<u8>>>);

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The bytes of the first frame, and of the one a second later in which every curve has moved on.
fn bytes(colour: bool) -> (String, String) {
    let wire = Wire::default();
    let viewport = Viewport::Fixed(Rect::new(0, 0, 80, 24));
    let mut terminal =
        Terminal::with_options(CrosstermBackend::new(wire.clone()), TerminalOptions { viewport }).unwrap();
    let mut model = Model { colour, ..model() };
    let mut frame = |model: &Model| {
        terminal.draw(|frame| draw(frame, model)).unwrap();
        String::from_utf8(std::mem::take(&mut *wire.0.borrow_mut())).unwrap()
    };
    let first = frame(&model);
    let points = &mut model.rows[0].points;
    points.rotate_left(1);
    (first, frame(&model))
}

#[test]
fn two_frames_a_second_fit_through_four_kibibytes() {
    let (_, second) = bytes(true);
    assert!(second.len() < 2 << 10, "{} bytes", second.len());
}

#[test]
fn without_colour_no_colour_is_sent() {
    let has_colour = |bytes: &str| bytes.contains("\u{1b}[38;") || bytes.contains("\u{1b}[48;");
    let (with, _) = bytes(true);
    let (without, _) = bytes(false);
    assert!(has_colour(&with), "{with:?}");
    assert!(!has_colour(&without), "{without:?}");
}
