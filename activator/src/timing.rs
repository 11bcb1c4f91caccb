//! How long a wake took, told to who waited for it.

use std::time::Duration;

use http::HeaderValue;
use units::Moment;

use crate::replica::Replica;

/// The phases of a wake, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wake {
    /// From the request's arrival until a replica was ordered and had an address.
    order: Duration,
    /// From then until it answered that it is ready. The model's own time.
    start: Duration,
    /// From then until the request was handed to it.
    forward: Duration,
    /// From then until the head of its answer. The model's own time, too.
    answer: Duration,
    total: Duration,
}

impl Wake {
    pub(crate) fn of(arrived: Moment, replica: &Replica, handed_over: Moment, answered: Moment) -> Self {
        // A replica that was on its way already cost no order, and less than its whole start.
        let ordered = replica.seen.max(arrived);
        let ready = replica.ready().unwrap_or(handed_over).clamp(ordered, handed_over.max(ordered));
        Self {
            order: ordered.since(arrived),
            start: ready.since(ordered),
            forward: handed_over.since(ready),
            answer: answered.since(handed_over),
            total: answered.since(arrived),
        }
    }

    /// As `server-timing` (W3C) has it, in milliseconds.
    pub(crate) fn header(&self) -> HeaderValue {
        let Self { order, start, forward, answer, total } = *self;
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let text = format!(
            "wake;dur={:.1}, order;dur={:.1}, start;dur={:.1}, forward;dur={:.1}, answer;dur={:.1}",
            ms(total),
            ms(order),
            ms(start),
            ms(forward),
            ms(answer)
        );
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("wake"))
    }
}

#[cfg(test)]
mod tests {
    use balance::ReplicaId;

    use super::*;
    use crate::replica::UpstreamSettings;

    fn at(ms: u64) -> Moment {
        Moment::from_unix_millis(1_000_000 + ms)
    }

    fn replica(seen: Moment, ready: Moment) -> Replica {
        let address = ([127, 0, 0, 1], 9).into();
        let replica = Replica::new(ReplicaId(1), "model-1".into(), address, UpstreamSettings::HTTP1, true, None, seen);
        replica.became_ready(ready);
        replica
    }

    #[tokio::test]
    async fn the_parts_of_a_wake_add_up() {
        let wake = Wake::of(at(0), &replica(at(4), at(504)), at(505), at(705));
        let said = wake.header();
        assert_eq!(said, "wake;dur=705.0, order;dur=4.0, start;dur=500.0, forward;dur=1.0, answer;dur=200.0");
        assert_eq!(wake.order + wake.start + wake.forward + wake.answer, wake.total);
    }

    #[tokio::test]
    async fn who_comes_while_a_replica_starts_waits_only_for_the_rest() {
        let wake = Wake::of(at(300), &replica(at(4), at(504)), at(505), at(605));
        assert_eq!(wake.header(), "wake;dur=305.0, order;dur=0.0, start;dur=204.0, forward;dur=1.0, answer;dur=100.0");
    }
}
