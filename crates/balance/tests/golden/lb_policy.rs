//! The set `lb_policy`: which of several targets gets the next request.

use balance::Policy;
use balance::policy::{Load, first_available, random_choice_2, round_robin};
use golden::{Marks, case};
use serde::Deserialize;
use serde_json::Value;
use units::Capacity;

#[derive(Deserialize)]
struct Case {
    policy: String,
    capacities: Vec<u32>,
    ops: Vec<Op>,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Op {
    Pick {
        out: i64,
    },
    Done {
        target: usize,
    },
    Targets {
        #[serde(rename = "use")]
        offered: Vec<usize>,
    },
    Busy {
        target: usize,
    },
}

pub(crate) fn play(line: &Value, marks: &mut Marks) -> Result<(), String> {
    let case: Case = case(line)?;
    let policy = match case.policy.as_str() {
        "first_available" => Policy::FirstAvailable,
        "round_robin" => Policy::RoundRobin,
        "random_choice_2" => Policy::RandomChoice2,
        unknown => return Err(format!("policy `{unknown}` is not known")),
    };
    let empty = |slots: &u32| Load { in_flight: 0, capacity: Capacity::AtMost(*slots), percent: 100 };
    let mut targets: Vec<Load> = case.capacities.iter().map(empty).collect();
    let mut offered: Vec<usize> = (0..targets.len()).collect();
    let mut cursor = 0;
    for (index, op) in case.ops.into_iter().enumerate() {
        marks.at(index);
        match op {
            Op::Pick { out } => {
                let loads: Vec<Load> = offered.iter().map(|target| targets[*target]).collect();
                let position = match policy {
                    Policy::FirstAvailable => first_available(&loads),
                    Policy::RoundRobin => round_robin(&loads, &mut cursor),
                    // Chance plays no part here, so any number must do.
                    Policy::RandomChoice2 => {
                        random_choice_2(&loads, (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
                    }
                };
                let chosen = position.map(|position| offered[position]);
                marks.same("out", out, chosen.map_or(-1, |target| target as i64))?;
                if let Some(target) = chosen {
                    targets[target].in_flight += 1;
                }
            }
            Op::Done { target } => targets[target].in_flight -= 1,
            Op::Busy { target } => targets[target].in_flight += 1,
            Op::Targets { offered: now } => offered = now,
        }
    }
    Ok(())
}
