//! One revision's replicas: as many as its scale says, neither more nor fewer for long.
//!
//! A fleet is one task that owns its state: orders and news from its replicas come in, starts and leaves go out, and
//! after each step the revision as it now stands is put on the board. A replica is one run of one process: after a
//! crash another one follows, with a new name, a new port and a new queue-proxy, so that nothing of the old can be
//! taken for the new.
//!
//! Whom to take and when to start: `muster.rs`. What happens inside a replica: `replica.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use platform::{Endpoint, ReplicaState, Revision, Scale, ScaleError, ScaleOrder, ScaleVersion, Source, Trouble};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use units::{ReplicaCount, RevisionKey};

use crate::backoff::Backoff;
use crate::described::Workload;
use crate::muster::{self, Member};
use crate::replica::{Making, News, Told};
use crate::seams::Shared;

/// What a fleet is told. Each answer is sent once the board shows what it says.
#[derive(Debug)]
pub(crate) enum Order {
    /// Be so many.
    Scale(ScaleOrder, oneshot::Sender<Result<Scale, ScaleError>>),
    /// How many are to be?
    Read(oneshot::Sender<Result<Scale, ScaleError>>),
    /// This is said of the revision from now on; `None`: nothing any more.
    Describe(Option<Duty>, oneshot::Sender<()>),
    /// Let everybody leave, then end.
    Close,
}

/// What is said of a revision.
#[derive(Clone, Debug)]
pub(crate) struct Duty {
    /// The endpoint it belongs to.
    pub(crate) endpoint: Arc<Endpoint>,
    /// Is there a way for requests to it?
    pub(crate) reachable: bool,
    /// What it runs; `None` if it is missing.
    pub(crate) workload: Option<Arc<Workload>>,
}

/// The owner of one revision's replicas.
#[derive(Debug)]
pub(crate) struct Fleet {
    key: RevisionKey,
    shared: Arc<Shared>,
    /// The last one; kept when nothing is said any more, until the last replica has gone.
    duty: Option<Duty>,
    described: bool,
    closing: bool,
    generation: u64,
    scale: Scale,
    /// Oldest first.
    members: Vec<Member>,
    next_number: u64,
    backoff: Backoff,
    trouble: Option<Trouble>,
    news: mpsc::UnboundedReceiver<News>,
    tell: mpsc::UnboundedSender<News>,
}

/// An answer that waits until the board has been changed.
enum Answer {
    Scale(oneshot::Sender<Result<Scale, ScaleError>>, Result<Scale, ScaleError>),
    Described(oneshot::Sender<()>),
    Nothing,
}

impl Fleet {
    /// A fleet that knows nothing yet of its revision.
    pub(crate) fn new(key: RevisionKey, shared: Arc<Shared>) -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        let scale = Scale { replicas: ReplicaCount::ZERO, version: next_version(&shared) };
        Self {
            key,
            shared,
            duty: None,
            described: false,
            closing: false,
            generation: 0,
            scale,
            members: Vec::new(),
            next_number: 1,
            backoff: Backoff::default(),
            trouble: None,
            news,
            tell,
        }
    }

    /// Runs until it is told to close (or nobody is left who could tell it) and the last replica has gone.
    pub(crate) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut orders_come = true;
        loop {
            let wait = self.backoff.left(self.shared.clock.now());
            let answer = tokio::select! {
                // Receiving is safe to drop: what was not taken stays in the channel.
                order = orders.recv(), if orders_come => {
                    orders_come = order.is_some();
                    self.obey(order.unwrap_or(Order::Close))
                }
                Some(news) = self.news.recv() => { self.hear(news); Answer::Nothing }
                () = tokio::time::sleep(wait), if self.is_short() => Answer::Nothing,
            };
            self.muster();
            self.publish();
            match answer {
                // Who has stopped listening does not mind.
                Answer::Scale(to, answer) => drop(to.send(answer)),
                Answer::Described(to) => drop(to.send(())),
                Answer::Nothing => {}
            }
            if self.closing && self.members.is_empty() {
                return;
            }
        }
    }

    fn obey(&mut self, order: Order) -> Answer {
        match order {
            Order::Scale(order, answer) => Answer::Scale(answer, self.rescale(order)),
            Order::Read(answer) => Answer::Scale(answer, self.current_scale()),
            Order::Describe(duty, answer) => {
                self.describe(duty);
                Answer::Described(answer)
            }
            Order::Close => {
                self.closing = true;
                Answer::Nothing
            }
        }
    }

    fn rescale(&mut self, order: ScaleOrder) -> Result<Scale, ScaleError> {
        let now = self.current_scale()?;
        if order.expect.is_some_and(|expected| expected != now.version) {
            return Err(ScaleError::Conflict { now });
        }
        if order.to != now.replicas {
            self.set_scale(order.to);
            muster::take_surplus(&mut self.members, self.generation, order.to, &order.victims, self.shared.clock.now());
        }
        Ok(self.scale.clone())
    }

    fn current_scale(&self) -> Result<Scale, ScaleError> {
        if self.closing {
            return Err(ScaleError::Refused { why: "the program is ending".to_owned() });
        }
        self.workload().map(|_| self.scale.clone()).ok_or(ScaleError::Gone)
    }

    fn workload(&self) -> Option<&Arc<Workload>> {
        self.duty.as_ref().filter(|_| self.described).and_then(|duty| duty.workload.as_ref())
    }

    fn set_scale(&mut self, to: ReplicaCount) {
        if self.scale.replicas != to {
            debug!(revision = %self.key, from = %self.scale.replicas, to = %to, "scale");
        }
        if self.scale.replicas.is_zero() || to.is_zero() {
            self.forget_trouble();
        }
        self.scale = Scale { replicas: to, version: next_version(&self.shared) };
    }

    fn forget_trouble(&mut self) {
        self.trouble = None;
        self.backoff = Backoff::default();
    }

    fn describe(&mut self, duty: Option<Duty>) {
        let before = self.workload().cloned();
        self.described = duty.is_some();
        // The last words about it are kept while its replicas drain.
        self.duty = duty.or(self.duty.take());
        let after = self.workload().cloned();
        match (before, after) {
            (None, Some(workload)) => {
                self.change_generation();
                self.set_scale(workload.initial_scale);
            }
            (Some(before), Some(after)) if before.container != after.container => self.change_generation(),
            (Some(_), None) => self.set_scale(ReplicaCount::ZERO),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn change_generation(&mut self) {
        self.generation += 1;
        self.forget_trouble();
    }

    fn hear(&mut self, News { number, told }: News) {
        let now = self.shared.clock.now();
        let Some(at) = self.members.iter().position(|member| member.number == number) else { return };
        let member = &mut self.members[at];
        match told {
            Told::Spawned(at) => member.replica.spawned = Some(at),
            Told::Address(address) => member.replica.address = address,
            Told::Ready if member.replica.state != ReplicaState::Leaving => {
                member.enter(ReplicaState::Ready, now);
                member.ready_since.get_or_insert(now);
                self.trouble = None;
            }
            Told::Unready if member.replica.state == ReplicaState::Ready => member.enter(ReplicaState::Unready, now),
            Told::Ready | Told::Unready => {}
            Told::Warning(words) => {
                let crashes_in_a_row = self.trouble.as_ref().map_or(0, |trouble| trouble.crashes_in_a_row);
                self.trouble = Some(Trouble { crashes_in_a_row, last_words: words.into() });
            }
            Told::Fell(words) => {
                let unasked = member.replica.state != ReplicaState::Leaving;
                member.take_leave(now);
                if unasked {
                    let ready_for = member.ready_since.map(|since| now.since(since));
                    let name = Arc::clone(&member.replica.name);
                    self.count_fall(&name, ready_for, &words);
                }
            }
            Told::Gone => drop(self.members.remove(at)),
        }
    }

    /// A replica fell that should have stayed.
    fn count_fall(&mut self, name: &str, ready_for: Option<Duration>, words: &str) {
        let now = self.shared.clock.now();
        self.backoff.fell(now, ready_for);
        let failed_starts = self.trouble.as_ref().map_or(0, |trouble| trouble.crashes_in_a_row);
        // A replica that had been ready did start; its end is no failed start.
        let crashes_in_a_row = failed_starts + u32::from(ready_for.is_none());
        let again_in = self.backoff.left(now);
        warn!(revision = %self.key, replica = name, crashes_in_a_row, ?again_in, "{}", first_line(words));
        self.trouble = Some(Trouble { crashes_in_a_row, last_words: words.into() });
    }

    fn wanted(&self) -> ReplicaCount {
        if self.closing || self.workload().is_none() { ReplicaCount::ZERO } else { self.scale.replicas }
    }

    /// Is somebody missing whom only the back-off delays?
    fn is_short(&self) -> bool {
        0 < muster::missing(&self.members, self.generation, self.wanted())
    }

    /// Takes who is too many, and starts who is missing if the back-off allows.
    fn muster(&mut self) {
        let now = self.shared.clock.now();
        let wanted = self.wanted();
        muster::take_surplus(&mut self.members, self.generation, wanted, &[], now);
        if !self.backoff.left(now).is_zero() {
            return;
        }
        for _ in 0..muster::missing(&self.members, self.generation, wanted) {
            self.start();
        }
    }

    fn start(&mut self) {
        let (Some(workload), Some(duty)) = (self.workload().cloned(), &self.duty) else { return };
        let number = self.next_number;
        self.next_number += 1;
        let name: Arc<str> = format!("{}-{number}", self.key.name).into();
        let leave = CancellationToken::new();
        let making = Making {
            number,
            name: Arc::clone(&name),
            revision: self.key.clone(),
            workload,
            endpoint: Arc::clone(&duty.endpoint),
            leave: leave.clone(),
            tell: self.tell.clone(),
            shared: Arc::clone(&self.shared),
        };
        self.members.push(Member::new(number, name, self.generation, self.shared.clock.now(), leave));
        self.shared.tasks.spawn(making.live());
    }

    fn publish(&self) {
        let Some(duty) = self.duty.as_ref().filter(|_| self.described || !self.members.is_empty()) else {
            self.shared.boards.revisions.remove(&self.key);
            return;
        };
        let workload = match self.workload() {
            None => platform::Workload::Missing,
            Some(_) => platform::Workload::Present { generation: self.generation, scale: self.scale.clone() },
        };
        let described = self.workload();
        let revision = Revision {
            key: self.key.clone(),
            endpoint: duty.endpoint.key.clone(),
            workload,
            reachable: self.described && duty.reachable,
            container_concurrency: duty.endpoint.container_concurrency,
            container_concurrency_from: Source::Endpoint,
            sidecars: true,
            layers: described.map_or_else(Vec::new, |workload| workload.layers.clone()),
            adopted: true,
            contested: false,
            replicas: self.members.iter().map(|member| member.replica.clone()).collect(),
            progress_deadline: described.map_or(Duration::ZERO, |workload| workload.progress_deadline),
            trouble: self.trouble.clone(),
        };
        self.shared.boards.revisions.put(self.key.clone(), revision);
    }
}

fn next_version(shared: &Shared) -> ScaleVersion {
    ScaleVersion(shared.versions.fetch_add(1, Ordering::Relaxed).to_string().into())
}

fn first_line(words: &str) -> &str {
    let line = words.lines().next().unwrap_or_default();
    line.strip_suffix("; its last lines:").unwrap_or(line)
}
