use api::{Deployment, Placed};
use units::RevisionKey;

use super::*;

fn machine(path: &Path) -> Machine {
    Machine { path: path.into(), held: BTreeSet::new() }
}

fn faults_of(machine: &Machine, command: &[&str], working_dir: Option<&str>, env: &[(&str, &str)]) -> Vec<String> {
    let words = command.iter().map(|word| (*word).to_owned()).collect();
    let mut workload = Deployment::new(RevisionKey::new("default", "m-v1"), words);
    workload.container.working_dir = working_dir.map(str::to_owned);
    let variable = |(name, value): &(&str, &str)| api::EnvVar { name: (*name).to_owned(), value: (*value).to_owned() };
    workload.container.env = env.iter().map(variable).collect();
    let documents = Documents { deployments: vec![Placed::made(workload)], ..Documents::default() };
    let mut faults = Vec::new();
    machine.look_for_commands(&documents, &mut faults);
    faults.iter().map(ToString::to_string).collect()
}

/// A folder with a program `serve` and a file `notes`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, mode) in [("serve", 0o755), ("notes", 0o644)] {
        let path = folder.path().join(name);
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    folder
}

#[test]
fn programs_are_looked_for_on_the_path_that_the_replica_will_have() {
    let folder = folder();
    let here = machine(folder.path());
    let nowhere = machine(Path::new(""));
    let own = folder.path().to_str().unwrap();
    assert_eq!(faults_of(&here, &["serve"], None, &[]), [""; 0]);
    assert_eq!(faults_of(&nowhere, &["serve"], None, &[("PATH", own)]), [""; 0]);
    assert_eq!(faults_of(&nowhere, &["$(NAME)"], None, &[("PATH", own), ("NAME", "serve")]), [""; 0]);
    assert_eq!(faults_of(&here, &["serve"], None, &[("PATH", "")]).len(), 1);
    assert_eq!(
        faults_of(&here, &["no-such-server"], None, &[]),
        ["COMMAND: no-such-server: a program on PATH, or a path with `/` in it"]
    );
}

#[test]
fn a_path_is_followed_from_the_folder_that_the_replica_runs_in() {
    let folder = folder();
    let (nowhere, own) = (machine(Path::new("")), folder.path().to_str().unwrap());
    assert_eq!(faults_of(&nowhere, &["./serve"], Some(own), &[]), [""; 0]);
    assert!(faults_of(&nowhere, &["./notes"], Some(own), &[])[0].ends_with("is not executable"));
    assert!(faults_of(&nowhere, &["./none"], Some(own), &[])[0].contains("No such file"));
    assert!(faults_of(&nowhere, &["./serve"], Some(&format!("{own}/none")), &[])[0].contains("a folder that exists"));
}

#[test]
fn the_program_itself_is_always_there() {
    assert_eq!(faults_of(&machine(Path::new("")), &["rouse", "predictor"], None, &[]), [""; 0]);
}

#[test]
fn a_folder_is_relative_to_the_file_that_names_it() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: m }\n\
                spec: { template: { spec: { containers: [{ command: [./serve], workingDir: model }] } } }\n";
    let documents = api::read(&[("some/folder/m.yaml", text)]).documents;
    let deployment = &documents.deployments[0];
    let container = at_home(deployment, &deployment.value.container);
    let whole = std::path::absolute("some/folder/model").unwrap();
    assert_eq!(container.working_dir.as_deref(), whole.to_str());
    assert_eq!(container.command[0], whole.join("serve").to_str().unwrap());
}

#[test]
fn without_a_folder_of_its_own_a_replica_runs_beside_its_file() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: m }\n\
                spec: { template: { spec: { containers: [{ command: [./serve] }] } } }\n";
    for (file, folder) in [("some/folder/m.yaml", "some/folder"), ("m.yaml", ".")] {
        let documents = api::read(&[(file, text)]).documents;
        let deployment = &documents.deployments[0];
        let container = at_home(deployment, &deployment.value.container);
        let whole = std::path::absolute(folder).unwrap();
        assert_eq!(container.working_dir.as_deref(), whole.to_str());
        assert_eq!(container.command[0], whole.join("serve").to_str().unwrap());
    }
    let made = Placed::made(Deployment::new(RevisionKey::new("default", "m-v1"), vec!["serve".to_owned()]));
    assert_eq!(at_home(&made, &made.value.container).working_dir, None, "a command runs where it was typed");
}

#[tokio::test]
async fn a_taken_port_is_told_unless_it_is_ours() {
    let taken = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let this = Machine::this();
    let why = this.try_address(taken.address()).unwrap_err();
    assert!(why.starts_with("a free port; this one is in use, likely by "), "{why}");
    assert_eq!(this.holding(BTreeSet::from([taken.address()])).try_address(taken.address()), Ok(()));
}
