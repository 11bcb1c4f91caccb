use super::*;

#[test]
fn the_yaml_reads_back_as_the_same() {
    let read: Value = serde_saphyr::from_str(&crd_yaml().unwrap()).unwrap();
    assert_eq!(read, crd());
}

#[test]
fn the_longest_names_fit_into_a_service() {
    // `<tag>-<endpoint>` is a DNS label.
    assert_eq!(bounds::TAG_AND_NAME + 1, 63);
}
