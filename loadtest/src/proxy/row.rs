//! One line a run for each table of `docs/performance.md` whose part was measured.

use std::path::Path;

use anyhow::Context as _;

use crate::proxy::figures::{Figures, Report, Spread, mib};
use crate::proxy::memory::Memory;
use crate::proxy::peers::Kind;
use crate::proxy::scenes::{ACTIVATOR, Part, SIDECAR, TLS};

/// Adds what was measured below the last row of each table.
///
/// # Errors
/// If the file cannot be changed, or has no such table.
pub(crate) fn add_to(file: &Path, report: &Report) -> anyhow::Result<()> {
    let mut text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let (date, _) = report.machine.at.split_once('T').unwrap_or_default();
    for (section, cells) in rows(report) {
        let row = format!("| {date} | {} | {} |", cells.join(" | "), report.machine);
        text = with_row(&text, section, &row)
            .with_context(|| format!("{} has no table under {section:?}", file.display()))?;
    }
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

/// `None` if there is no such table below this heading.
fn with_row(text: &str, section: &str, row: &str) -> Option<String> {
    let section_begins = text.find(&format!("{section}\n"))?;
    let table = section_begins + text[section_begins..].find("\n|")? + 1;
    if text[section_begins + section.len()..table].contains("\n#") {
        return None;
    }
    let end = text[table..].lines().take_while(|line| line.starts_with('|')).map(|line| line.len() + 1).sum::<usize>();
    let (before, after) = text.split_at((table + end).min(text.len()));
    Some(format!("{}\n{row}\n{after}", before.trim_end_matches('\n')))
}

/// Headings and cells, without date and machine.
fn rows(report: &Report) -> Vec<(&'static str, Vec<String>)> {
    let measured = |parts: &[Part]| report.scenes.iter().any(|scene| parts.contains(&scene.part));
    let all = [
        ("## The sidecar on every request", measured(&[Part::Sidecar]), sidecar(report)),
        ("### With other loads", measured(OTHER_LOADS), other_loads(report)),
        ("### TLS", measured(&[Part::Tls]), tls(report)),
        ("### Memory", !report.memory.is_empty(), memory(report)),
        ("## The activator on every request", measured(&[Part::Activator]), activator(report)),
    ];
    all.into_iter().filter(|(_, measured, _)| *measured).map(|(section, _, cells)| (section, cells)).collect()
}

/// Processor time a request of each, ours to others, and what else has a budget.
fn sidecar(report: &Report) -> Vec<String> {
    let columns = [Kind::QueueProxy, Kind::Bare, Kind::Nginx, Kind::Haproxy, Kind::Knative];
    let mut cells: Vec<String> = columns.into_iter().map(|kind| microseconds(report.get(SIDECAR, kind))).collect();
    let ours = report.get(SIDECAR, Kind::QueueProxy);
    let ratios = [ours.and_then(|of| of.to_bare), ours.and_then(|of| of.to_nginx), ours.and_then(|of| of.to_haproxy)];
    cells.extend(ratios.map(times));
    cells.push(milliseconds(ours.and_then(|of| of.added_p99_seconds)));
    let memory = |of: &Figures| format!("{:.1} / {:.1}", mib(of.idle_bytes), mib(of.loaded_bytes));
    cells.push(or_dash(ours.map(memory)));
    let size = report.binary_bytes.get(&Kind::QueueProxy);
    cells.push(or_dash(size.map(|bytes| format!("{:.1}", mib(*bytes as f64)))));
    cells
}

const OTHER_LOADS: &[Part] = &[Part::Connections, Part::Bodies, Part::H2c];

/// Of the sidecar in each scene: `CPU (to bare / to nginx)`.
fn other_loads(report: &Report) -> Vec<String> {
    let scenes = crate::proxy::SCENES.iter().filter(|scene| OTHER_LOADS.contains(&scene.part));
    let cell = |of: &Figures| {
        let us = format!("{:.1}", of.cpu_seconds.median * 1e6);
        format!("{us} ({} / {})", times(of.to_bare), times(of.to_nginx))
    };
    scenes.map(|scene| or_dash(report.get(scene.name, Kind::QueueProxy).map(cell))).collect()
}

fn tls(report: &Report) -> Vec<String> {
    let get = |kind| report.get(TLS, kind);
    let columns = [Kind::QueueProxy, Kind::Nginx, Kind::Haproxy];
    let mut cells: Vec<String> = columns.into_iter().map(|kind| microseconds(get(kind))).collect();
    let ours = get(Kind::QueueProxy);
    cells.extend([ours.and_then(|of| of.to_nginx), ours.and_then(|of| of.to_haproxy)].map(times));
    cells
}

/// Idle / 64 connections / 512 / holding a burst / three seconds later.
fn memory(report: &Report) -> Vec<String> {
    let columns = [Kind::QueueProxy, Kind::Activator, Kind::Bare, Kind::Nginx, Kind::Haproxy, Kind::Knative];
    let cell = |of: &Memory| {
        let all = [of.idle_bytes, of.with_64_bytes, of.with_512_bytes, of.holding_bytes, of.later_bytes];
        all.map(|bytes| format!("{:.1}", mib(bytes))).join(" / ")
    };
    columns.into_iter().map(|kind| or_dash(report.memory.get(&kind).map(cell))).collect()
}

fn activator(report: &Report) -> Vec<String> {
    let get = |kind| report.get(ACTIVATOR, kind);
    let columns = [
        Kind::Activator,
        Kind::ActivatorAndSidecar,
        Kind::ActivatorAndSidecarTls,
        Kind::Bare,
        Kind::Nginx,
        Kind::Haproxy,
    ];
    let mut cells: Vec<String> = columns.into_iter().map(|kind| microseconds(get(kind))).collect();
    let ours = [get(Kind::Activator), get(Kind::ActivatorAndSidecar), get(Kind::ActivatorAndSidecarTls)];
    cells.extend(ours.map(|of| times(of.and_then(|of| of.to_nginx))));
    cells.extend(ours[..2].iter().map(|of| milliseconds(of.and_then(|of| of.added_p99_seconds))));
    cells
}

fn or_dash(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "–".to_owned())
}

fn microseconds(figures: Option<&Figures>) -> String {
    or_dash(figures.map(|figures| format!("{:.1}", figures.cpu_seconds.median * 1e6)))
}

fn milliseconds(spread: Option<Spread>) -> String {
    or_dash(spread.map(|spread| format!("{:.2} ms", spread.median * 1e3)))
}

fn times(ratio: Option<Spread>) -> String {
    or_dash(ratio.map(|ratio| format!("{:.2}", ratio.median)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::figures::tests::report;

    #[test]
    fn a_row_goes_below_the_last_of_its_table() {
        let section = "## S";
        let text = format!("# P\n\n{section}\n\nHow.\n\n| a |\n|---|\n| 1 |\n\nTried:\n\n| b |\n|---|\n");
        let expected = format!("# P\n\n{section}\n\nHow.\n\n| a |\n|---|\n| 1 |\n| 2 |\n\nTried:\n\n| b |\n|---|\n");
        assert_eq!(with_row(&text, section, "| 2 |").unwrap(), expected);
        let short = format!("{section}\n\n| a |");
        assert_eq!(with_row(&short, section, "| 2 |").unwrap(), format!("{section}\n\n| a |\n| 2 |\n"));
    }

    #[test]
    fn another_sections_table_is_left_alone() {
        assert_eq!(with_row("## S\n\nHow.\n\n### Other\n\n| a |\n", "## S", "| 2 |"), None);
        assert_eq!(with_row("# P\n\n| a |\n", "## S", "| 2 |"), None);
    }

    #[test]
    fn a_row_has_a_cell_for_everybody_also_who_was_not_there() {
        let rows = rows(&report());
        let [(_, sidecar), (_, activator)] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(sidecar[..9].join(" | "), "13.0 | 12.0 | 10.0 | – | – | 1.20 | 1.62 | – | –");
        assert_eq!(activator.join(" | "), "20.0 | – | – | – | 10.0 | – | 2.00 | – | – | – | –");
    }

    #[test]
    fn the_page_has_a_table_with_as_many_columns_for_every_row() {
        let page = include_str!("../../../docs/performance.md");
        let mut report = report();
        report.scenes = crate::proxy::SCENES
            .iter()
            .map(|scene| crate::proxy::figures::SceneFigures {
                part: scene.part,
                name: scene.name,
                connections: scene.connections,
                requests: 1,
                peers: std::collections::BTreeMap::new(),
            })
            .collect();
        report.memory.insert(
            Kind::QueueProxy,
            Memory::of(Kind::QueueProxy, &[crate::proxy::memory::Sample::default()]).unwrap(),
        );
        assert_eq!(rows(&report).len(), 5);
        for (section, cells) in rows(&report) {
            let row = format!("| date | {} | machine |", cells.join(" | "));
            with_row(page, section, &row).expect(section);
            let table = &page[page.find(&format!("{section}\n")).expect(section)..];
            let head = table.lines().find(|line| line.starts_with('|')).expect(section);
            assert_eq!(head.matches('|').count(), row.matches('|').count(), "{section}: {head}");
        }
    }
}
