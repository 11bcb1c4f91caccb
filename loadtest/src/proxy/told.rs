//! A report as people read it.

use std::fmt;
use std::time::Duration;

use crate::proxy::RATE;
use crate::proxy::budgets::Budget;
use crate::proxy::figures::{Figures, Report, SceneFigures, Spread, mib};
use crate::proxy::memory::Memory;

/// How long it has taken, and how long it will.
pub(crate) fn left(elapsed: Duration, rounds_done: f64, rounds: u32) -> String {
    let minutes = |time: Duration| format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60);
    // Before that, the scenes differ too much to say anything of those to come.
    if rounds_done < 1.0 {
        return format!(" ({})", minutes(elapsed));
    }
    format!(" ({} of about {})", minutes(elapsed), minutes(elapsed.mul_f64(f64::from(rounds) / rounds_done)))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, rounds, .. } = self;
        writeln!(f, "{rounds} rounds; medians, CPU with the least and the most of a round; one worker thread each.")?;
        writeln!(f, "{machine}.")?;
        self.scenes.iter().try_for_each(|scene| write!(f, "\n{scene}"))?;
        if !self.memory.is_empty() {
            writeln!(
                f,
                "\nmemory (RssAnon, MiB), also of a burst of 1,000 requests of 64 KiB that are held for a second or more"
            )?;
            writeln!(f, "{:<22}{:>10}{:>10}{:>10}{:>10}{:>12}", "", "idle", "64 conn.", "512", "holding", "3 s later")?;
        }
        self.memory.values().try_for_each(|memory| write!(f, "{memory}"))?;
        if !self.binary_bytes.is_empty() {
            write!(f, "\nbinaries:")?;
            for (kind, bytes) in &self.binary_bytes {
                write!(f, " {} {:.1} MiB;", kind.name(), mib(*bytes as f64))?;
            }
            writeln!(f)?;
        }
        if !self.budgets.is_empty() {
            writeln!(f, "\nbudgets:")?;
        }
        for Budget { whose, what, unit, measured, at_most, kept, aim } in &self.budgets {
            let verdict = match (kept, aim) {
                (true, false) => "kept",
                (false, false) => "OVER",
                (true, true) => "aim reached",
                (false, true) => "aim not reached",
            };
            writeln!(f, "  {whose:<22}{what:<40}{measured:>8.2} {unit:<4} at most {at_most} {unit}: {verdict}")?;
        }
        self.left_out.iter().try_for_each(|left_out| writeln!(f, "\nLEFT OUT: {left_out}"))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<22}", self.name)?;
        let columns = [self.idle_bytes, self.with_64_bytes, self.with_512_bytes, self.holding_bytes];
        columns.iter().try_for_each(|bytes| write!(f, "{:>10.1}", mib(*bytes)))?;
        writeln!(
            f,
            "{:>12.1}{}",
            mib(self.later_bytes),
            if self.has_a_line { "" } else { "  (no line: passes all on at once)" }
        )
    }
}

impl fmt::Display for SceneFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, requests, .. } = self;
        let paced = self.peers.values().any(|figures| figures.added_p99_seconds.is_some());
        write!(f, "{name}, {requests} requests a round")?;
        writeln!(f, "{}", if paced { format!(", and latency at {RATE} a second") } else { String::new() })?;
        let heads = ["CPU a request", "x bare", "x nginx", "x HAProxy", "requests/s", "p50 added", "p99 added"];
        write!(f, "{:<22}{:>28}", "", heads[0])?;
        let shown = if paced { &heads[1..] } else { &heads[1..5] };
        shown.iter().try_for_each(|head| write!(f, "{head:>11}"))?;
        writeln!(f, "{:>22}", "RssAnon idle/loaded")?;
        self.peers.values().try_for_each(|figures| figures.line(paced, f))?;
        for figures in self.peers.values() {
            if let Some(Spread { median, min, max }) = figures.to_other {
                writeln!(f, "{}'s CPU is {median:.3} x that of the other build ({min:.3}-{max:.3})", figures.name)?;
            }
        }
        Ok(())
    }
}

impl Figures {
    fn line(&self, paced: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread { median, min, max } = self.cpu_seconds;
        let cpu = format!("{:.1} us ({:.1}-{:.1})", median * 1e6, min * 1e6, max * 1e6);
        write!(f, "{:<22}{cpu:>28}", self.name)?;
        for ratio in [self.to_bare, self.to_nginx, self.to_haproxy] {
            write!(f, "{:>11}", ratio.map_or(String::new(), |ratio| format!("{:.2}", ratio.median)))?;
        }
        write!(f, "{:>11.0}", self.requests_per_second)?;
        let ms = |added: Option<Spread>| added.map_or(String::new(), |added| format!("{:.3} ms", added.median * 1e3));
        if paced {
            write!(f, "{:>11}{:>11}", ms(self.added_p50_seconds), ms(self.added_p99_seconds))?;
        }
        let memory = format!("{:.1} / {:.1} MiB", mib(self.idle_bytes), mib(self.loaded_bytes));
        writeln!(f, "{memory:>22}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::figures::tests::report;

    #[test]
    fn what_is_over_its_budget_and_who_is_left_out_is_said_aloud() {
        let text = report().to_string();
        assert!(text.contains("at most 1.5 ×: OVER"), "{text}");
        assert!(text.contains("at most 1.2 ×: aim not reached"), "{text}");
        assert!(text.contains("at most 10 MiB: kept"), "{text}");
        assert!(text.contains("LEFT OUT: HAProxy: not here"), "{text}");
        assert!(text.contains("activator's CPU is 2.000 x that of the other build"), "{text}");
    }

    #[test]
    fn how_long_it_will_take_is_told_after_the_first_round() {
        assert_eq!(left(Duration::from_secs(65), 0.5, 5), " (1:05)");
        assert_eq!(left(Duration::from_secs(90), 1.0, 5), " (1:30 of about 7:30)");
    }
}
