//! What goes wrong. Drawn from the seed, about one in the plan's mean time.

use super::load::CALM;
use super::replica::State;
use super::{Cluster, Event, tell};
use crate::queue::Millis;

const HOUR: i64 = 3_600_000;

impl Cluster {
    pub(super) fn fault(&mut self) {
        let Some(every) = self.plan.faults_every else { return };
        if self.plan.length < self.now + CALM {
            return;
        }
        let pause = self.draw.u64(1..every * 2);
        self.queue.plan(self.now + pause, Event::Fault);
        self.tally.faults += 1;
        let (activator, autoscaler) = (self.draw.usize(..2), self.draw.usize(..2));
        let revision = self.draw.usize(..self.workloads.len());
        match self.draw.u8(..13) {
            0 => self.cut(activator, autoscaler),
            1 => {
                let lasts = self.draw.u64(1_000..60_000);
                let by = self.draw.u64(100..5_000);
                tell!(self, "fault: a{activator} and autoscaler {autoscaler} talk slowly, by {by} ms for {lasts} ms");
                let link = &mut self.activators[activator].links[autoscaler];
                link.slow_until = self.now + lasts;
                link.slow_by = by;
            }
            2 => self.autoscaler_restarts(autoscaler),
            3 => {
                self.autoscaler_restarts(0);
                self.autoscaler_restarts(1);
            }
            4 => self.activator_crashes(activator),
            5 => {
                let replicas = &self.workloads[revision].replicas;
                let there: Vec<u64> = replicas
                    .iter()
                    .filter(|replica| matches!(replica.state, State::Ready | State::Leaving))
                    .map(|replica| replica.id.0)
                    .collect();
                if !there.is_empty() {
                    let id = there[self.draw.usize(..there.len())];
                    self.replica_crashes(revision, id);
                }
            }
            6 => {
                let lasts = self.draw.u64(5_000..300_000);
                tell!(self, "fault: no start of r{revision} succeeds for {lasts} ms");
                self.workloads[revision].starts_fail_until = self.now + lasts;
            }
            7 => self.cut_sidecar(revision, autoscaler),
            8 => {
                let lasts = self.draw.u64(500..20_000);
                tell!(self, "fault: the API server is out for {lasts} ms");
                self.api_out_until = self.now + lasts;
            }
            9 => {
                let lasts = self.draw.u64(500..40_000);
                tell!(self, "fault: autoscaler {autoscaler} does not reach the API server for {lasts} ms");
                self.autoscalers[autoscaler].api_cut_until = self.now + lasts;
            }
            // Who runs already does not notice; who starts from now on is an hour off from who does.
            10 => {
                let step = if self.draw.bool() { HOUR } else { -HOUR };
                tell!(self, "fault: the wall clock steps by {step} ms");
                self.wall_skew += step;
            }
            11 => {
                self.cut(0, autoscaler);
                self.cut(1, autoscaler);
            }
            _ => {
                let sidecars: Vec<u64> = self.workloads[revision].replicas.iter().map(|found| found.id.0).collect();
                for _ in sidecars {
                    self.cut_sidecar(revision, autoscaler);
                }
            }
        }
    }

    /// Everything between the two is lost for a while.
    fn cut(&mut self, activator: usize, autoscaler: usize) {
        let lasts = self.outage();
        tell!(self, "fault: a{activator} and autoscaler {autoscaler} are cut from one another for {lasts} ms");
        let notices = self.draw.bool();
        let stream = self.break_stream(activator, autoscaler, notices);
        self.queue.plan(self.now + lasts, Event::StreamOpens { activator, autoscaler, stream });
    }

    /// Mostly short; sometimes longer than anything waits.
    fn outage(&mut self) -> Millis {
        if self.draw.u8(..10) == 0 { self.draw.u64(60_000..400_000) } else { self.draw.u64(100..30_000) }
    }

    fn cut_sidecar(&mut self, revision: usize, autoscaler: usize) {
        let lasts = self.outage();
        let replicas = &mut self.workloads[revision].replicas;
        if replicas.is_empty() {
            return;
        }
        let index = self.draw.usize(..replicas.len());
        replicas[index].cut_until[autoscaler] = self.now + lasts;
        let id = replicas[index].id.0;
        if self.draw.bool() {
            self.autoscalers[autoscaler].sidecars.remove(&(revision, id));
        }
        tell!(self, "fault: r{revision}-{id} is cut from autoscaler {autoscaler} for {lasts} ms");
        self.roster_changed(autoscaler);
    }

    fn autoscaler_restarts(&mut self, autoscaler: usize) {
        if !self.autoscalers[autoscaler].up {
            return;
        }
        tell!(self, "fault: autoscaler {autoscaler} ends");
        let ending = &mut self.autoscalers[autoscaler];
        ending.up = false;
        ending.lead = None;
        for activator in 0..self.activators.len() {
            if !self.activators[activator].links[autoscaler].up {
                continue;
            }
            let stream = self.break_stream(activator, autoscaler, true);
            let pause = self.draw.u64(50..2_000);
            self.queue.plan(self.now + pause, Event::StreamOpens { activator, autoscaler, stream });
        }
        let back = self.draw.u64(500..20_000);
        self.queue.plan(self.now + back, Event::AutoscalerBack { autoscaler });
    }

    /// What it held and forwarded is lost to its clients; the replicas notice at once.
    fn activator_crashes(&mut self, activator: usize) {
        if !self.activators[activator].up {
            return;
        }
        let same_pod = self.draw.bool();
        tell!(self, "fault: a{activator} crashes, and comes back {}", if same_pod { "" } else { "as another pod" });
        let life = self.activators[activator].life;
        self.activators[activator].up = false;
        for autoscaler in 0..self.autoscalers.len() {
            let notices = self.draw.u8(..4) != 0;
            self.break_stream(activator, autoscaler, notices);
        }
        if !same_pod {
            self.activators[activator].pods += 1;
            let pods = self.activators[activator].pods;
            self.activators[activator].uid = format!("a{activator}-{pods}").into();
            self.pods_changed();
        }
        let lost: Vec<u64> = self
            .requests
            .iter()
            .filter(|(_, request)| request.through == Some((activator, life)))
            .map(|(number, _)| *number)
            .collect();
        for number in lost {
            let Some(request) = self.requests.remove(&number) else { continue };
            self.tally.end("lost-with-its-activator");
            let now = self.now;
            let replica = request.replica.and_then(|replica| self.replica(request.revision, replica));
            let next = replica.and_then(|replica| {
                let now = super::moment(now, replica.skew);
                replica.leave(now, number, request.begun)
            });
            if let Some(next) = next {
                self.begin(next);
            }
        }
        let back = self.draw.u64(500..10_000);
        self.queue.plan(self.now + back, Event::ActivatorBack { activator });
    }
}
