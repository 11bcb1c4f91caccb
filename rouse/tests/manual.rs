//! What shells and `man` are told of the flags.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to stop")]

use std::path::Path;
use std::process::{Command, Output};

const ROUSE: &str = env!("CARGO_BIN_EXE_rouse");

fn rouse(arguments: &[&str]) -> Output {
    Command::new(ROUSE).args(arguments).output().unwrap()
}

/// The commands that `rouse --help` lists.
fn commands() -> Vec<String> {
    let help = String::from_utf8(rouse(&["--help"]).stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_their_flags() {
    let folder = Path::new(ROUSE).parent().unwrap();
    let script = "source <(rouse completions bash) && complete -p rouse >/dev/null || exit 1
        complete_line() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _rouse rouse \"${@: -1}\" \"${@: -2:1}\"
            echo \"${COMPREPLY[@]}\"; }
        complete_line rouse wa
        complete_line rouse top --on";
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let output = Command::new("bash").args(["-c", script]).env("PATH", path).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "wakes\n--once\n");
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let output = rouse(&["man", "--out", folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(commands().iter().any(|name| name == "why"), "{:?}", commands());
    for name in commands() {
        let page = std::fs::read_to_string(folder.path().join(format!("rouse-{name}.1"))).unwrap();
        assert!(page.contains(&format!(".TH rouse-{name}")), "{page}");
        assert!(page.contains(&format!("\\fBrouse {name}\\fR")), "{page}");
    }
    assert!(folder.path().join("rouse.1").exists());
}

#[test]
fn a_shell_that_is_not_known_is_refused() {
    assert_eq!(rouse(&["completions", "csh"]).status.code(), Some(64));
}
