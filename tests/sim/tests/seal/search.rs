//! Tries everything, shortest first, and tells what went wrong as a story.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use kpa::seal::{Answer, Ending, PatchEnd};

use crate::happening::{Action, Message, Party, Rules};
use crate::world::{TICK, Violation, World};

/// More steps than any state needs to come to rest; a state that needs more never does.
const STEPS_TO_REST: usize = 600;

/// What a search found.
#[derive(Debug)]
pub(crate) struct Found {
    pub states: usize,
    /// How many of them were followed until they came to rest.
    pub settled: usize,
    /// The shortest way to a broken promise, if there is one.
    pub violation: Option<String>,
}

/// Visits every state that can be reached, and from one in `settle_each` lets things take their course.
pub(crate) fn search(rules: &Rules, settle_each: u64) -> Found {
    // Where a state came from: the index of the one before it, and what happened.
    let mut history: Vec<Option<(usize, Action)>> = vec![None];
    let mut seen = HashSet::from([fingerprint(&World::new(rules))]);
    let mut open = VecDeque::from([(0, World::new(rules))]);
    let mut settled = 0;
    let tell = |history: &[Option<(usize, Action)>], from: usize, last: Option<&Action>, violation: &str| {
        let mut story = vec![];
        let mut at = from;
        while let Some((before, action)) = &history[at] {
            story.push(sentence(action));
            at = *before;
        }
        story.reverse();
        story.extend(last.map(sentence));
        let mut text: String =
            story.iter().enumerate().map(|(step, line)| format!("{:>3}. {line}\n", step + 1)).collect();
        text.push_str(&format!("  => {violation}"));
        text
    };
    while let Some((index, world)) = open.pop_front() {
        if fingerprint(&world).is_multiple_of(settle_each) {
            settled += 1;
            if let Err(violation) = settle(rules, world.clone()) {
                let violation = Some(tell(&history, index, None, &violation));
                return Found { states: seen.len(), settled, violation };
            }
        }
        if world.is_over() {
            continue;
        }
        for action in world.possible(rules) {
            match world.after(rules, &action) {
                Ok(next) if seen.insert(fingerprint(&next)) => {
                    history.push(Some((index, action)));
                    open.push_back((history.len() - 1, next));
                }
                Ok(_) => {}
                Err(violation) => {
                    let violation = Some(tell(&history, index, Some(&action), &violation));
                    return Found { states: seen.len(), settled, violation };
                }
            }
        }
    }
    Found { states: seen.len(), settled, violation: None }
}

/// No fault any more, nothing new, and everybody does what is due: is all that is held served, and is zero reached?
fn settle(rules: &Rules, mut world: World) -> Result<(), Violation> {
    let rules = &Rules { pauses: true, ..rules.clone() };
    // Two leaders at once are a fault too.
    if world.leaders.len() == 2 && world.leaders[0].leads {
        world = world.after(rules, &Action::LoseLead(0))?;
    }
    let mut story = vec![];
    for _ in 0..STEPS_TO_REST {
        if world.is_at_rest() {
            return Ok(());
        }
        let held = world.held();
        let mut fair = world.fair(rules);
        // The scaler wants zero only while nothing is held.
        fair.retain(|action| held == 0 || !matches!(action, Action::Begin(_)));
        world = world.after(rules, &fair[0])?;
        story.push(sentence(&fair[0]));
    }
    Err(format!(
        "without any further fault it never came to rest: scale {}, held {}, last of all:\n      {}",
        world.scale,
        world.held(),
        story[STEPS_TO_REST - 30..].join("\n      ")
    ))
}

/// 64 bits: among a few million states two share one about once in a million runs.
fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

fn sentence(action: &Action) -> String {
    match action {
        Action::Arrive(index) => format!("a request arrives at {}", activator(*index)),
        Action::Forward(index, replica) => format!("{} forwards it to replica {replica}", activator(*index)),
        Action::Finish(index) => format!("{} passes on the last byte of an answer", activator(*index)),
        Action::Probe(index) => format!("{} probes the replica, which answers", activator(*index)),
        Action::Crash(index) => format!("{} crashes", activator(*index)),
        Action::Restart(index) => format!("{} is started again", activator(*index)),
        Action::Hello { leader: to, activator: from } => {
            format!("{} learns as whom {} is connected now", leader(*to), activator(*from))
        }
        Action::Begin(index) => format!("{} begins a round", leader(*index)),
        Action::Look(index) => format!("{} looks at its clock", leader(*index)),
        Action::ChangeLeader => "another autoscaler becomes the leader; the old one does not know yet".to_owned(),
        Action::LoseLead(index) => format!("{} learns that it does not lead any more", leader(*index)),
        Action::PatchTakesEffect(_) => "a patch reaches the API server, which judges it".to_owned(),
        Action::PatchConnectionBreaks(_) => "the connection of a patch breaks".to_owned(),
        Action::Deliver(message) => format!("arrives: {}", content(message)),
        Action::Wake { leader: to, from } => format!("{} hears a wake from {}", leader(*to), activator(*from)),
        Action::Lose(message) => format!("is lost: {}", content(message)),
        Action::DirectEnds => "a direct request ends".to_owned(),
        Action::Tick => format!("{TICK:?} pass"),
    }
}

fn content(message: &Message) -> String {
    match message {
        Message::Ask { leader: from, to, id } => {
            format!("round {}/{} of {} to {}", id.epoch, id.seq, leader(*from), name(*to))
        }
        Message::Answered { from, id, answer, .. } => {
            let word = match answer {
                Answer::Yes => "yes",
                Answer::No => "no",
                Answer::Outdated => "outdated",
            };
            format!("`{word}` from {} to round {}/{}", name(*from), id.epoch, id.seq)
        }
        Message::Tell { to, id, ending } => {
            let word = match ending {
                Ending::Committed => "committed",
                Ending::Released => "released",
            };
            format!("`{word}` of round {}/{} to {}", id.epoch, id.seq, activator(*to))
        }
        Message::Patched { leader: to, end, .. } => {
            let word = match end {
                PatchEnd::Done => "done",
                PatchEnd::NotDone => "conflict",
                PatchEnd::Gone => "gone",
                PatchEnd::Unknown => "unknown",
            };
            format!("`{word}` as the answer to a patch, to {}", leader(*to))
        }
        Message::Read { leader: to, replicas, version, .. } => {
            format!("a reading of scale ({replicas} replicas at version {version}) to {}", leader(*to))
        }
    }
}

fn name(party: Party) -> String {
    match party {
        Party::Activator(index) => activator(index).to_owned(),
        Party::Sidecar(replica) => format!("the sidecar of replica {replica}"),
    }
}

fn activator(index: u8) -> &'static str {
    if index == 0 { "activator A" } else { "activator B" }
}

fn leader(index: u8) -> &'static str {
    if index == 0 { "the first leader" } else { "the second leader" }
}
