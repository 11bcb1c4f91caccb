//! Startup-aware scaling, an option: what piles up while replicas start is worked off, not taken for load.
//!
//! With slow starts, requests in flight are mostly requests that wait, and there are more of them with every second of the
//! start. Knative takes each for load and orders replicas for them, again and again; they come when those ordered first
//! have worked most of it off, and stay for the rest of the panic.
//!
//! Here two things are learned: how much work a request is, from moments in which nobody waited; and how long a start
//! takes. With `w` and `s` for them, `c` in flight, `r` arriving a second, and room for `h` in the replicas that are ready:
//! - what arrives is a load of `a = r·w`;
//! - a backlog of `b = c - a` is there, and until an order of now has come, `(a - h)·s/w` more pile up (neither below 0);
//! - both are to be worked off within a sixth of a start, so that who waited for a start waits little longer.
//!
//! So it stands for `min(a, c) + b·6w/s + 6·(a - h)`; where `6w/s` is 1 and more, for `c`. It asks for most of that at once, and for
//! little more while what was ordered is on its way. Until both are learned it stands for `c`, as without the option. It
//! grows with `c` and with `r`, so more load never means fewer replicas.
//!
//! Not here: replicas that are starting count as ready where growth and panic are judged, which is `scaler`'s.

use std::time::Duration;

/// A backlog is to be worked off within a start divided by this.
const STARTS_SHARE: f64 = 6.0;

/// A start counts a quarter beside those before it.
const NEW_START_COUNTS: f64 = 0.25;

/// Each look at calm work leaves so much of the older ones; at a look each 2 s half is left after some twelve minutes.
const KEPT: f64 = 0.998;

/// Fewer requests than this, and what a request takes is not known.
const LEAST_REQUESTS: f64 = 5.0;

/// What has been learned of one revision.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Startup {
    /// How long a start takes, in seconds.
    takes_s: Option<f64>,
    /// Request-seconds and requests of calm moments, the older ones faded.
    worked_s: f64,
    arrived: f64,
}

impl Startup {
    /// A replica became ready, so long after it was made.
    pub(crate) fn learn_start(&mut self, took: Duration) {
        let took_s = took.as_secs_f64();
        self.takes_s = Some(self.takes_s.map_or(took_s, |known| known + NEW_START_COUNTS * (took_s - known)));
    }

    /// In a moment in which nobody waited so many were in flight and so many arrived a second.
    pub(crate) fn learn_work(&mut self, in_flight: f64, rate: f64) {
        self.worked_s = self.worked_s * KEPT + in_flight;
        self.arrived = self.arrived * KEPT + rate;
    }

    /// The load that so many in flight, with so many arriving a second, stand for where so many have room.
    pub(crate) fn load(&self, in_flight: f64, rate: f64, room: f64) -> f64 {
        let Some(takes_s) = self.takes_s.filter(|takes_s| 0.0 < *takes_s) else { return in_flight };
        if self.arrived < LEAST_REQUESTS {
            return in_flight;
        }
        let work_s = self.worked_s / self.arrived;
        let arriving = rate * work_s;
        let backlog = (in_flight - arriving).max(0.0);
        let piling_up = (arriving - room).max(0.0);
        // A start as fast as a few requests lets nothing pile up that is worth a word.
        let share = STARTS_SHARE * work_s / takes_s;
        if 1.0 <= share { in_flight } else { arriving.min(in_flight) + backlog * share + piling_up * STARTS_SHARE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request is half a second of work, a start takes 60 s.
    fn learned() -> Startup {
        let mut startup = Startup::default();
        startup.learn_start(Duration::from_secs(60));
        for _ in 0..10 {
            startup.learn_work(2.0, 4.0);
        }
        startup
    }

    #[test]
    fn with_room_and_without_a_backlog_what_is_in_flight_is_the_load() {
        assert_eq!(learned().load(5.0, 10.0, 7.0), 5.0);
        assert_eq!(learned().load(3.0, 10.0, 7.0), 3.0);
    }

    #[test]
    fn a_backlog_is_spread_over_a_sixth_of_a_start() {
        assert_eq!(learned().load(405.0, 10.0, 7.0), 5.0 + 400.0 * 0.5 / 10.0);
    }

    #[test]
    fn what_will_have_piled_up_when_an_order_comes_is_ordered_for_at_once() {
        // 3 too many at a time are 360 requests in 60 s; of half a second each in 10 s they are a load of 18.
        assert_eq!(learned().load(5.0, 10.0, 2.0), 5.0 + 360.0 * 0.5 / 10.0);
    }

    #[test]
    fn until_work_and_starts_are_known_all_in_flight_counts() {
        let mut startup = Startup::default();
        startup.learn_start(Duration::from_secs(40));
        assert_eq!(startup.load(405.0, 10.0, 2.0), 405.0);
        startup = Startup { takes_s: None, ..learned() };
        assert_eq!(startup.load(405.0, 10.0, 2.0), 405.0);
    }

    #[test]
    fn fast_starts_change_nothing() {
        let startup = Startup { takes_s: Some(2.0), ..learned() };
        assert_eq!(startup.load(405.0, 10.0, 2.0), 405.0);
    }

    #[test]
    fn more_in_flight_and_more_arriving_are_never_less_load() {
        let startup = learned();
        let loads = |load: &dyn Fn(f64) -> f64| (0..100).map(|step| load(f64::from(step))).collect::<Vec<f64>>();
        for load in
            [loads(&|in_flight| startup.load(in_flight, 10.0, 2.0)), loads(&|rate| startup.load(40.0, rate, 9.0))]
        {
            assert!(load.is_sorted(), "{load:?}");
        }
    }
}
