//! How these tests are run: one cluster for all, inside namespaces of its own, and libtest's words for what came of it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::ground::{Binaries, Ground};
use crate::inside;

/// A test: a sentence, and what shows it.
pub type Test = (&'static str, fn(Stage) -> anyhow::Result<()>);

/// What a test is given.
#[derive(Clone)]
pub struct Stage {
    /// The cluster. Whoever breaks a part of it holds it alone meanwhile.
    pub ground: Arc<tokio::sync::RwLock<Ground>>,
    /// What its futures run on.
    pub runtime: Arc<Runtime>,
}

impl Stage {
    /// Plays a test to its end.
    ///
    /// # Errors
    /// If it does not show what it is to show.
    pub fn play(&self, test: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        self.runtime.block_on(test)
    }
}

/// Runs all tests; to be called first of all in `main`.
pub fn run(tests: &[&[Test]]) -> ExitCode {
    let tests = &tests.concat();
    let arguments = Arguments::from_args();
    if arguments.list {
        let trials = tests.iter().map(|(name, _)| Trial::test(*name, || Ok(()))).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let ours = match programs() {
        Ok(ours) => ours,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let binaries = match kubernetes() {
        Ok(kubernetes) => Binaries { kubernetes, ours },
        Err(why) => return left_out(&why),
    };
    if !inside::is_inside() {
        return inside::enter().unwrap_or_else(|why| left_out(&why));
    }
    match play(arguments, tests, &binaries) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(mut arguments: Arguments, tests: &[Test], binaries: &Binaries) -> anyhow::Result<ExitCode> {
    inside::set_up()?;
    let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().enable_all().build()?);
    let ground = runtime.block_on(async {
        let ground = Ground::start(binaries).await?;
        anyhow::Ok(Arc::new(tokio::sync::RwLock::new(ground)))
    })?;
    let trials = tests.iter().map(|(name, test)| {
        let (test, stage) = (*test, Stage { ground: Arc::clone(&ground), runtime: Arc::clone(&runtime) });
        Trial::test(*name, move || {
            test(stage).map_err(|error| {
                // At once, and not only with all others at the end: these tests are long.
                eprintln!("cluster: {error:#}");
                Failed::from(format!("{error:#}"))
            })
        })
    });
    // One after the other: they share the programs under test, and break them.
    arguments.test_threads = Some(1);
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    eprintln!("cluster: memory in MiB at the end: {}", runtime.block_on(ground.read()).memory());
    if inside::is_kept() {
        let kept = runtime.block_on(ground.read()).folder().display().to_string();
        eprintln!("cluster: kept until it is interrupted; logs and kubeconfigs are in {kept}");
        loop {
            std::thread::park();
        }
    }
    Ok(conclusion.exit_code())
}

/// Nothing is claimed that was not run.
fn left_out(why: &str) -> ExitCode {
    println!("LEFT OUT: the tests on a real control plane: {}", why.lines().last().unwrap_or(why));
    ExitCode::SUCCESS
}

fn kubernetes() -> Result<PathBuf, String> {
    let built = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../control-plane/build.sh"))
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("tests/control-plane/build.sh: {error}"))?;
    let told = String::from_utf8_lossy(&built.stdout);
    let folder = told.lines().last().filter(|_| built.status.success());
    folder
        .map(PathBuf::from)
        .ok_or_else(|| "its programs cannot be had (tests/control-plane/build.sh says why)".to_owned())
}

/// Where Rouse's own programs are: in the folder above the test's own `deps`. `cargo test` alone builds none of them, so
/// they may be missing, or older than what is to be tested.
fn programs() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let ours = own.parent().and_then(|deps| deps.parent()).map(PathBuf::from).unwrap_or_default();
    for program in ["rouse", "queue-proxy", "activator", "autoscaler", "cri"] {
        let built = modified(&ours.join(program));
        let built = built.with_context(|| format!("{program} is not built: make test-cluster builds it"))?;
        // Beside a program cargo writes what it is made of, as make does.
        let made_of = std::fs::read_to_string(ours.join(program).with_extension("d")).unwrap_or_default();
        let mut sources = made_of.split_once(": ").map_or("", |(_, sources)| sources).split_ascii_whitespace();
        let newer = sources.find(|source| modified(Path::new(source)).is_ok_and(|changed| built < changed));
        if let Some(source) = newer {
            bail!("{program} is older than {source}: make test-cluster builds it anew");
        }
    }
    Ok(ours)
}

fn modified(file: &Path) -> std::io::Result<SystemTime> {
    file.metadata()?.modified()
}
