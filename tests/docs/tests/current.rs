//! The pages say what the code says, and no link leads nowhere.

use std::path::{Path, PathBuf};

#[test]
fn each_reference_page_says_what_the_code_says() {
    for page in docs::pages().unwrap() {
        assert_current(&page, "docs");
    }
}

#[test]
fn the_custom_resource_definition_says_what_the_code_says() {
    for file in docs::crds().unwrap() {
        assert_current(&file, "crds");
    }
}

fn assert_current(made: &docs::Made, command: &str) {
    let written = std::fs::read_to_string(docs::root().join(made.path)).unwrap_or_default();
    assert!(written == made.text, "{} is not what the code says; `make {command}` writes it anew", made.path);
}

#[test]
fn every_knob_has_a_default_and_bounds() {
    let page = docs::settings();
    let rows = page.lines().skip_while(|line| !line.starts_with("| in `autoscaling`")).skip(2);
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    assert_eq!(rows.len(), api::Knob::ALL.len());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells[3] != "–" && !cells[4].is_empty(), "{row}");
    }
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages(&docs::root()) {
        let text = std::fs::read_to_string(&page).unwrap();
        let folder = page.parent().unwrap();
        for link in links(&text) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !folder.join(path).exists() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Every page that people read.
fn pages(root: &Path) -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/decisions", "loadtest", "examples/iris"];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(root.join(folder)).ok()).flatten().flatten();
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "md")).collect()
}

/// What stands behind `](` and `src="`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let of = |text: &'_ str, begin: &'static str, end: char| -> Vec<(usize, usize)> {
        let found = text.match_indices(begin).map(|(at, _)| at + begin.len());
        found.filter_map(|at| Some((at, at + text[at..].find(end)?))).collect()
    };
    let places = of(text, "](", ')').into_iter().chain(of(text, "src=\"", '"'));
    places.map(|(from, to)| &text[from..to]).collect::<Vec<_>>().into_iter()
}
