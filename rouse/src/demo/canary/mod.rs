//! `rouse demo --canary`: a new version beside the old one, and its share moved while load runs.
//!
//! It writes a file and serves it as `rouse up -f` would. A person may change the shares in it, and then moves them from there
//! on; until then the demonstration does, in the same way: it writes the file. What is counted of each split is what was
//! sent while it was in force, as the admin port says it (`shares`).

mod report;
mod shares;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use api::admin::{Endpoint, EndpointList, Series, WakeList};
use loadtest::arrivals::Arrivals;
use loadtest::scenario::{Phase, Request};
use loadtest::shape::{Piece, Shape};
use loadtest::{Live, Options, Results, Scenario, Target};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Args, PATIENCE, START, print, wall_clock};
use crate::admin::{Server, typed};
use crate::up;
use shares::{Counted, PLAN, Step, V1, V2};

/// What is served.
pub(super) const MODEL: &str = include_str!("model.yaml");

const REQUESTS_PER_SECOND: f64 = 40.0;

/// How often is looked: sooner than a change of the file is in force.
const EVERY: Duration = Duration::from_millis(50);

/// Writes the file that is served, as it begins.
///
/// # Errors
/// If it cannot be written.
pub(super) fn begin(file: &Path) -> anyhow::Result<()> {
    std::fs::write(file, MODEL).with_context(|| format!("--file {}", file.display()))
}

/// Tells the story, and what came of it.
pub(super) async fn direct(args: &Args, addresses: oneshot::Receiver<up::Addresses>) -> anyhow::Result<()> {
    let addresses = tokio::time::timeout(START, addresses).await.context("no requests are taken")??;
    let page = format!("http://{}", addresses.admin);
    let admin = Server::parse(&page).context("the admin port's own address")?.with_patience(PATIENCE);
    let whole = std::path::absolute(&args.file).unwrap_or_else(|_| args.file.clone());
    eprintln!("live page  {page}");
    eprintln!("log        {}", args.log.display());
    eprintln!("the file   {}", whole.display());
    let lines: Vec<String> = shares::lines_of(MODEL).iter().map(ToString::to_string).collect();
    eprintln!("Change `percent` in its lines {} and save: then the shares are yours to move.", lines.join(" and "));
    let target = Target { address: addresses.listen, host: addresses.listen.to_string(), prefix: String::new() };
    let live = Live::default();
    let until_known = async {
        while in_force(&endpoint(&admin).await?).is_none() {
            tokio::time::sleep(EVERY).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(START, until_known).await.context("the model is not known")??;
    let (load, options) = (load(args.seed), Options::usual("canary"));
    let (begin, began) = (Instant::now(), wall_clock());
    let mut mover = Mover::new(args.file.clone(), begin, live.clone());
    let results = tokio::select! {
        results = loadtest::run(&load, &target, &options, &live) => results?,
        moved = mover.follow(&admin) => {
            moved?;
            bail!("the shares were followed no further than the load");
        }
    };
    mover.ends();
    let counted = Counted::of(&mover.steps, &live.answered_by());
    let seen = Seen::at(&admin).await?;
    conclude(args, &results, &counted, &report::report(&results, &counted, &seen, began))
}

fn load(seed: u64) -> Scenario {
    let shape = Shape(vec![Piece::hold(REQUESTS_PER_SECOND, shares::lasts())]);
    Scenario {
        name: "canary".to_owned(),
        about: "As much all the time".to_owned(),
        arrivals: Arrivals::Poisson,
        seed,
        request: Request::prediction(),
        phases: vec![Phase { name: "canary".to_owned(), shape }],
    }
}

async fn endpoint(admin: &Server) -> anyhow::Result<Option<Endpoint>> {
    let known = typed::<EndpointList>(admin.get("/api/v1/endpoints").await?)?.endpoints;
    Ok(known.into_iter().find(|endpoint| endpoint.revisions.len() == 2))
}

/// The new version's share, as every activator routes by it.
fn in_force(endpoint: &Option<Endpoint>) -> Option<u8> {
    endpoint.as_ref()?.traffic.iter().find(|share| share.revision == V2).map(|share| share.percent)
}

/// Both revisions' curves and wakes, at the end.
struct Seen {
    of_v1: Series,
    of_v2: Series,
    wakes: WakeList,
}

impl Seen {
    async fn at(admin: &Server) -> anyhow::Result<Self> {
        let of = async |name: &str, what: &str| admin.get(&format!("/api/v1/revisions/default/{name}/{what}")).await;
        Ok(Self {
            of_v1: typed(of(V1, "series").await?)?,
            of_v2: typed(of(V2, "series").await?)?,
            wakes: typed(of(V2, "wakes").await?)?,
        })
    }
}

/// Moves shares, or sees that a person does; and keeps which were in force when.
struct Mover {
    file: PathBuf,
    begin: Instant,
    live: Live,
    /// What stands in the file.
    text: String,
    /// The share that it says, or said before it had a fault.
    wanted: u8,
    is_persons: bool,
    /// Whether what it says is in force.
    settled: bool,
    stage: usize,
    steps: Vec<Step>,
    told_at: Duration,
}

impl Mover {
    fn new(file: PathBuf, begin: Instant, live: Live) -> Self {
        Self {
            file,
            begin,
            live,
            text: MODEL.to_owned(),
            wanted: 0,
            is_persons: false,
            settled: false,
            stage: 0,
            steps: Vec::new(),
            told_at: Duration::ZERO,
        }
    }

    /// For as long as it is polled.
    async fn follow(&mut self, admin: &Server) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            self.look_at_the_file()?;
            let endpoint = endpoint(admin).await?;
            if !self.settled && in_force(&endpoint) == Some(self.wanted) {
                self.is_in_force()?;
            }
            let now = self.begin.elapsed();
            if let Some(endpoint) = endpoint
                && self.told_at + Duration::from_secs(2) <= now
            {
                self.told_at = now;
                let counted = self.live.answered_by();
                let answered = [V1, V2].map(|name| counted.get(&(self.stage, name.to_owned())).copied().unwrap_or(0));
                print(&line(now, self.settled.then_some(self.wanted), answered, &endpoint))?;
            }
        }
    }

    /// A person has saved it, or the next step of the plan is due.
    fn look_at_the_file(&mut self) -> anyhow::Result<()> {
        // While an editor saves it may not be there.
        let text = std::fs::read_to_string(&self.file).unwrap_or_else(|_| self.text.clone());
        if text != self.text {
            self.text = text;
            match shares::share_in(&self.text) {
                Some(share) if share != self.wanted => {
                    self.is_persons = true;
                    print("\nyou have moved the shares; from here on they are yours\n")?;
                    self.is_moved(share);
                }
                Some(_) => {}
                None => print("\nthe file has a fault, which the log tells; what was in force stays\n")?,
            }
            return Ok(());
        }
        let planned = planned_at(self.begin.elapsed());
        if !self.is_persons && planned != self.wanted {
            let text = shares::written(&self.text, planned);
            self.is_moved(planned);
            // At once, as editors do: nobody reads half of it.
            let beside = self.file.with_extension("yaml.new");
            std::fs::write(&beside, &text)
                .and_then(|()| std::fs::rename(&beside, &self.file))
                .with_context(|| format!("--file {}", self.file.display()))?;
            self.text = text;
        }
        Ok(())
    }

    /// From here on nobody knows who is picked by what, until it is in force.
    fn is_moved(&mut self, share: u8) {
        self.ends();
        self.stage += 1;
        self.live.enter(self.stage);
        (self.wanted, self.settled) = (share, false);
    }

    fn is_in_force(&mut self) -> anyhow::Result<()> {
        self.settled = true;
        self.stage += 1;
        self.live.enter(self.stage);
        let (from, unsure) = (self.begin.elapsed(), self.live.snapshot().in_flight);
        let (percent, by_person) = (self.wanted, self.is_persons);
        self.steps.push(Step { percent, from, to: from, stage: self.stage, by_person, unsure });
        let said = PLAN.iter().find(|(planned, ..)| !by_person && *planned == percent).map_or("", |(.., said)| said);
        print(&format!("\n{} / {percent}: {said}\n", 100 - percent))
    }

    /// What is in force now is about to end.
    fn ends(&mut self) {
        if self.settled
            && let Some(step) = self.steps.last_mut()
        {
            step.to = self.begin.elapsed();
            step.unsure += self.live.snapshot().in_flight;
        }
    }
}

/// The share that the demonstration gives the new version at a moment.
fn planned_at(moment: Duration) -> u8 {
    let mut ends = Duration::ZERO;
    let step = PLAN.iter().find(|(_, seconds, _)| {
        ends += Duration::from_secs(*seconds);
        moment < ends
    });
    step.or(PLAN.last()).map_or(0, |(percent, ..)| *percent)
}

/// One line: the split in force, how many each version has answered by it, and how many replicas each has.
fn line(elapsed: Duration, in_force: Option<u8>, answered: [u64; 2], endpoint: &Endpoint) -> String {
    let split = in_force.map_or("moving".to_owned(), |percent| format!("{}/{percent}", 100 - percent));
    let mut line = format!("{:>4} s {split:>7}", elapsed.as_secs());
    for ((name, answered), revision) in ["v1", "v2"].iter().zip(answered).zip(&endpoint.revisions) {
        // Writing to a String cannot fail.
        let _ = write!(line, "     {name} {answered:>4} answers, {:>2} ready", revision.ready_replicas);
    }
    line.push('\n');
    line
}

fn conclude(args: &Args, results: &Results, counted: &[Counted], report: &page::Report) -> anyhow::Result<()> {
    let well = results.counts.by_status.get("200").copied().unwrap_or(0);
    let mut text = format!("\n  requests {}, answered 200: {well}\n\n", results.counts.due);
    text.push_str("  asked for   counted     v1       v2     from     to\n");
    for one in counted {
        let percent = one.percent().map_or("–".to_owned(), |percent| format!("{percent:.2} %"));
        let by = if one.step.by_person { "   by you" } else { "" };
        let (from, to) = (one.step.from.as_secs_f64(), one.step.to.as_secs_f64());
        let _ = writeln!(
            text,
            "  {:>7} %   {percent:>8} {:>7} {:>7}   {from:>5.1} s {to:>5.1} s{by}",
            one.step.percent, one.of_v1, one.of_v2
        );
    }
    let (all, exact) = (results.all_went_well(), counted.iter().all(Counted::is_exact));
    if !all {
        let (status, unanswered) = (&results.counts.by_status, &results.counts.unanswered);
        let _ = writeln!(text, "\n  NOT every request was answered 200: {status:?} {unanswered:?}");
    }
    if !exact {
        text.push_str("\n  A share is NOT what was asked for.\n");
    }
    print(&text)?;
    std::fs::write(&args.report, page::report(report))
        .with_context(|| format!("--report {}", args.report.display()))?;
    print(&format!("\n  the report, for a browser: {}\n", args.report.display()))?;
    if !all || !exact || counted.is_empty() {
        bail!("it did not go as it should; {} says more", args.log.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_line_fits_into_eighty_columns() {
        let mut endpoint = fixture::endpoint("waiting-for-activators", 12, 12);
        endpoint.revisions.push(endpoint.revisions[0].clone());
        let line = line(Duration::from_secs(99), Some(50), [9_999, 9_999], &endpoint);
        assert!(line.trim_end().chars().count() <= 80, "{}: {line}", line.chars().count());
        assert!(line.contains(" 50/50 ") && line.contains("v2 9999 answers, 12 ready"), "{line}");
    }

    #[test]
    fn each_moment_has_its_share() {
        let shares: Vec<u8> = [0, 9, 10, 24, 38, 99].map(|second| planned_at(Duration::from_secs(second))).into();
        assert_eq!(shares, [0, 0, 5, 50, 100, 100]);
    }
}
