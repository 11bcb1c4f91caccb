use super::*;

fn read(text: impl AsRef<[u8]>) -> (Vec<Arc<Node>>, Vec<String>) {
    let mut faults = Vec::new();
    let documents = documents(&"f.yaml".into(), text.as_ref(), &mut faults);
    (documents, faults.iter().map(ToString::to_string).collect())
}

fn shown(text: &str) -> Vec<String> {
    let (documents, faults) = read(text);
    assert_eq!(faults, [""; 0]);
    documents.iter().map(|root| root.show()).collect()
}

fn refused(text: impl AsRef<[u8]>) -> Vec<String> {
    read(text).1
}

#[test]
fn empty_documents_are_left_out() {
    assert_eq!(shown("---\n---\n# nothing\n---\na: 1\n---\n"), ["{a: 1}"]);
}

#[test]
fn every_value_knows_its_place() {
    let (documents, _) = read("a:\n  - x\n  - {b: 7}\n");
    let What::Map(entries) = &documents[0].what else { panic!("a map") };
    let What::List(items) = &entries[0].node.what else { panic!("a list") };
    let What::Map(inner) = &items[1].what else { panic!("a map") };
    assert_eq!((items[0].at, inner[0].at), (Mark { line: 2, column: 5 }, Mark { line: 3, column: 6 }));
    assert_eq!(inner[0].node.at, Mark { line: 3, column: 9 });
}

#[test]
fn anchors_and_merges_are_followed() {
    let text = "base: &base {a: 1, b: 2}\ncopy: *base\nmore: {<<: *base, b: 3}\n";
    assert_eq!(shown(text), ["{base: {a: 1, b: 2}, copy: {a: 1, b: 2}, more: {b: 3, a: 1}}"]);
}

#[test]
fn a_field_given_twice_is_refused() {
    assert_eq!(refused("a: 1\nb: 2\na: 3\n"), ["f.yaml:3:1: a: a field stands once; this one is in line 1 already"]);
}

#[test]
fn a_broken_document_does_not_hide_the_others() {
    let (documents, faults) = read("a: [1\n---\nb: {c: 1, c: 2}\n");
    assert_eq!(documents.len(), 1);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].contains("not YAML"), "{faults:?}");
}

#[test]
fn tabs_are_told_with_their_place() {
    let faults = refused("a:\n\tb: 1\n");
    assert!(faults[0].starts_with("f.yaml:2:") && faults[0].contains("tab"), "{faults:?}");
}

#[test]
fn bytes_that_are_not_text_are_told_with_their_place() {
    assert_eq!(refused(b"a: 1\nb: \xff\n"), ["f.yaml:2:4: byte 0xff: not UTF-8; save the file as UTF-8"]);
}

#[test]
fn an_alias_bomb_is_refused_before_it_grows() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..30 {
        let inside = vec![format!("*a{}", level - 1); 10].join(",");
        text.push_str(&format!("a{level}: &a{level} [{inside}]\n"));
    }
    let faults = refused(&text);
    assert!(!faults.is_empty() && faults.iter().all(|fault| fault.contains("aliases followed")), "{faults:?}");
}

#[test]
fn an_alias_inside_what_it_stands_for_is_refused() {
    assert!(refused("a: &a [1, *a]\n")[0].contains("inside what it stands for"));
}

#[test]
fn an_alias_of_nothing_does_not_hide_the_rest() {
    let faults = refused("a: &x 1\nb: *y\nb: 2\n---\nc: *x\n");
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].starts_with("f.yaml:2:4: *y: ") && faults[2].starts_with("f.yaml:5:4: *x: "), "{faults:?}");
}

#[test]
fn deep_nesting_is_refused() {
    for text in ["[".repeat(50_000), "{a: ".repeat(50_000), "- ".repeat(50_000)] {
        assert_eq!(refused(&text).len(), 1, "{:?}", refused(&text));
    }
}

#[test]
fn nesting_through_aliases_is_refused_too() {
    let mut text = "- &a0 x\n".to_owned();
    for level in 1..5_000 {
        text.push_str(&format!("- &a{level} [[[[*a{}]]]]\n", level - 1));
    }
    assert!(refused(&text).iter().all(|fault| fault.contains("deep")));
    assert!(!refused(&text).is_empty());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        read(bytes);
    }

    #[test]
    fn no_text_of_yamls_own_signs_makes_it_panic(text in r"([ \t\n:,\-?*&!|>%@'\x22\[\]{}#~<ab01]|---|<<: |\*a|&a ){0,120}") {
        let (documents, _) = read(text);
        for document in documents {
            document.show();
        }
    }
}
