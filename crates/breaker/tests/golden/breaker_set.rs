//! The set `breaker`: a line in front of a limited number of slots.

use std::collections::VecDeque;

use breaker::{Entry, Limits, Line, WaiterId};
use golden::{Marks, case};
use serde::Deserialize;
use serde_json::Value;
use units::Capacity;

#[derive(Deserialize)]
struct Case {
    queue_depth: u32,
    max_concurrency: u32,
    initial_capacity: u32,
    ops: Vec<Op>,
}

#[derive(Deserialize)]
struct Op {
    #[serde(flatten)]
    what: What,
    running: u32,
    waiting: u32,
    in_flight: u32,
    capacity: u32,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum What {
    Request { outcome: String },
    Reserve { outcome: String },
    Finish,
    Cancel,
    Capacity { n: u32 },
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let case: Case = case(line)?;
    let limits = Limits::of_breaker(case.queue_depth, case.max_concurrency, 0);
    let mut line = Line::new(Capacity::AtMost(case.initial_capacity), limits);
    let mut waiting = VecDeque::new();
    let mut arrived = 0;
    for (index, op) in case.ops.into_iter().enumerate() {
        marks.at(index);
        marks.output();
        let went = match op.what {
            What::Request { outcome } => {
                arrived += 1;
                let entry = line.arrive(WaiterId(arrived), 0);
                if entry == Entry::Wait {
                    waiting.push_back(WaiterId(arrived));
                }
                marks.same_part("outcome", outcome.as_str(), word(entry))?;
                Vec::new()
            }
            What::Reserve { outcome } => {
                let got = if line.reserve() { "running" } else { "refused" };
                marks.same_part("outcome", outcome.as_str(), got)?;
                Vec::new()
            }
            What::Finish => line.finish().into_iter().collect(),
            What::Cancel => {
                // Which of them gives up is not written down; the last to come has the most before it.
                let last = waiting.pop_back().ok_or("nobody waits who could cancel")?;
                marks.same_part("gave up", true, line.give_up(last))?;
                Vec::new()
            }
            What::Capacity { n } => line.set_capacity(Capacity::AtMost(n)),
        };
        for id in went {
            marks.same_part("next in line", waiting.pop_front(), Some(id))?;
        }
        marks.same_part("running", op.running, line.running())?;
        marks.same_part("waiting", op.waiting, line.waiting())?;
        marks.same_part("in_flight", op.in_flight, line.in_flight())?;
        marks.same_part("capacity", Capacity::AtMost(op.capacity), line.capacity())?;
    }
    Ok(())
}

fn word(entry: Entry) -> &'static str {
    match entry {
        Entry::Go => "running",
        Entry::Wait => "waiting",
        Entry::Full => "rejected",
    }
}
