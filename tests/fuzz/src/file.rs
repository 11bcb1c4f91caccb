//! The file of `rouse up`.

use api::{Placed, Reading};

/// The input is the file.
pub fn file(data: &[u8]) {
    let Reading { documents, faults, warnings } = api::read(&[("models.yaml", data)]);
    for fault in faults.0.iter().chain(&warnings) {
        let told = fault.to_string();
        assert!(!told.contains('\n'), "a fault is one line: {told}");
        assert!(!fault.allowed.is_empty(), "{told} does not say what is allowed");
        let place = fault.place.as_ref().expect("what is in a file has a place");
        let lines = data.iter().filter(|byte| **byte == b'\n' || **byte == b'\r').count() + 1;
        assert!(1 <= place.column && (1..=lines + 1).contains(&place.line), "{told} is not in the file");
    }
    if !faults.0.is_empty() {
        return;
    }
    let written = api::to_yaml(&documents).expect("what was read can be written");
    let again = api::read(&[("models.yaml", &written)]);
    assert!(again.faults.0.is_empty(), "{}\nwritten again is refused: {:?}", written, again.faults);
    assert_eq!(again.documents.endpoints, documents.endpoints, "{written}");
    assert_eq!(again.documents.deployments, documents.deployments, "{written}");
    let config = |documents: &api::Documents| documents.config.clone().map(|Placed { value, .. }| value);
    assert_eq!(config(&again.documents), config(&documents), "{written}");
}
