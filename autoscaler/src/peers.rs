//! Who is connected: activators by the UID of their pod, sidecars by revision and replica.
//!
//! Only who, and how to reach them; what they count goes straight to the revision it is about. A peer that connects
//! again replaces its older stream, which is cut.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use units::{EndpointKey, Incarnation, Moment, RevisionKey};
use wire::{Down, FromAutoscaler};

/// Frames that may wait to be written to one peer. It is written to at once, so more than a few waiting means that it
/// does not read; the largest burst is one frame for each of an activator's revisions being sealed or refused at once.
const OUTBOX_FRAMES: usize = 1024;

/// The way to one peer. Never waits: a peer that does not keep up is cut off, and begins anew with a hello.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    frames: mpsc::Sender<Bytes>,
    cut: CancellationToken,
}

impl Outbox {
    /// A way to a peer, what comes out at its end, and what tells the stream to end.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Bytes>, CancellationToken) {
        let (frames, written) = mpsc::channel(OUTBOX_FRAMES);
        let cut = CancellationToken::new();
        (Self { frames, cut: cut.clone() }, written, cut)
    }

    /// Says something. `false` if the peer is gone or does not keep up; it is cut then.
    pub(crate) fn say(&self, what: Down) -> bool {
        let frame = wire::encode(&FromAutoscaler { kind: Some(what) });
        let taken = self.frames.try_send(frame).is_ok();
        if !taken {
            self.cut.cancel();
        }
        taken
    }

    /// Ends the stream.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    /// Is it the way of the same stream?
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.frames.same_channel(&other.frames)
    }
}

/// An activator that is connected.
#[derive(Clone, Debug)]
pub(crate) struct Activator {
    /// UID of its pod.
    pub(crate) uid: Arc<str>,
    /// Name of its pod, for people.
    pub(crate) name: Arc<str>,
    /// Which run of the program.
    pub(crate) incarnation: Incarnation,
    /// The highest epoch that it had heard of when it connected.
    pub(crate) highest_epoch: u64,
    /// It asked to be taken out of every path.
    pub(crate) leaving: bool,
    /// How to reach it.
    pub(crate) outbox: Outbox,
}

/// A sidecar that is connected.
#[derive(Clone, Debug)]
pub(crate) struct Sidecar {
    /// Which run of the program.
    pub(crate) incarnation: Incarnation,
    /// How to reach it.
    pub(crate) outbox: Outbox,
}

/// Everyone who is connected. Shared; every call is short and none waits.
#[derive(Debug)]
pub(crate) struct Peers {
    activators: Mutex<BTreeMap<Arc<str>, Connected>>,
    sidecars: DashMap<RevisionKey, HashMap<Arc<str>, Sidecar>>,
    frames: Mutex<FrameLog>,
    /// Counts changes of who is there and who leaves.
    changes: watch::Sender<u64>,
    /// Counts changes of routes.
    routes: watch::Sender<u64>,
    /// Counts what was acknowledged of each endpoint that somebody asked about. One for each: an activator that connects
    /// acknowledges every endpoint, and would wake the tasks of all of them with each.
    acknowledgements: DashMap<EndpointKey, watch::Sender<u64>>,
}

/// The newest frames of all activators, so that each revision learns of every one when it next decides. Telling 8,000
/// idle revisions of each frame at once would wake them all each second.
#[derive(Debug, Default)]
struct FrameLog {
    /// Number of the first that is kept.
    first: u64,
    frames: VecDeque<(Moment, Arc<str>)>,
}

/// Frames kept: those of 100 activators within 10 s, five times the longest pause between two decisions.
const FRAMES_KEPT: usize = 1000;

#[derive(Debug)]
struct Connected {
    activator: Activator,
    acknowledged: HashMap<EndpointKey, u64>,
}

impl Peers {
    /// Nobody yet.
    pub(crate) fn new() -> Self {
        Self {
            activators: Mutex::default(),
            sidecars: DashMap::new(),
            frames: Mutex::default(),
            changes: watch::Sender::new(0),
            routes: watch::Sender::new(0),
            acknowledgements: DashMap::new(),
        }
    }

    /// Changes whenever an activator came, went or asked to leave.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Changes whenever any endpoint did, and its route with it perhaps.
    pub(crate) fn routes(&self) -> watch::Receiver<u64> {
        self.routes.subscribe()
    }

    /// Changes whenever an activator acknowledged this endpoint. Ends when the endpoint is forgotten.
    pub(crate) fn acknowledgements_of(&self, endpoint: &EndpointKey) -> watch::Receiver<u64> {
        self.acknowledgements.entry(endpoint.clone()).or_default().subscribe()
    }

    /// An activator connected. An older stream of it is cut.
    pub(crate) fn activator_came(&self, activator: Activator) {
        let connected = Connected { activator, acknowledged: HashMap::new() };
        let uid = Arc::clone(&connected.activator.uid);
        if let Some(old) = self.activators.lock().insert(uid, connected) {
            old.activator.outbox.cut();
        }
        self.changed();
    }

    /// Its stream ended. Nothing happens if a newer one has taken its place.
    pub(crate) fn activator_went(&self, uid: &str, outbox: &Outbox) {
        let mut activators = self.activators.lock();
        if activators.get(uid).is_some_and(|connected| connected.activator.outbox.is(outbox)) {
            activators.remove(uid);
            drop(activators);
            self.changed();
        }
    }

    /// A frame of it came.
    pub(crate) fn activator_heard(&self, uid: Arc<str>, at: Moment) {
        let mut log = self.frames.lock();
        if log.frames.len() == FRAMES_KEPT {
            log.frames.pop_front();
            log.first += 1;
        }
        log.frames.push_back((at, uid));
    }

    /// Tells of every frame from number `next` on that is still kept, up to a moment, and returns the next number.
    pub(crate) fn frames_from(
        &self,
        next: u64,
        before: Option<Moment>,
        mut tell: impl FnMut(Moment, &Arc<str>),
    ) -> u64 {
        let log = self.frames.lock();
        let mut next = next.max(log.first);
        let passed_over = usize::try_from(next - log.first).unwrap_or(usize::MAX);
        for (at, uid) in log.frames.iter().skip(passed_over) {
            if before.is_some_and(|before| before <= *at) {
                break;
            }
            tell(*at, uid);
            next += 1;
        }
        next
    }

    /// The number that the next frame will have.
    pub(crate) fn next_frame(&self) -> u64 {
        let log = self.frames.lock();
        log.first + log.frames.len() as u64
    }

    /// It routes by this generation of an endpoint.
    pub(crate) fn acknowledged(&self, uid: &str, endpoint: EndpointKey, generation: u64) {
        if let Some(connected) = self.activators.lock().get_mut(uid) {
            connected.acknowledged.insert(endpoint.clone(), generation);
        }
        if let Some(heard) = self.acknowledgements.get(&endpoint) {
            heard.send_modify(|count| *count += 1);
        }
    }

    /// An endpoint is gone. One that comes under its name counts its generations anew, and what was said of the old one
    /// would count for it.
    pub(crate) fn forget_endpoint(&self, endpoint: &EndpointKey) {
        for connected in self.activators.lock().values_mut() {
            connected.acknowledged.remove(endpoint);
        }
        self.acknowledgements.remove(endpoint);
    }

    /// It asked to be taken out of every path.
    pub(crate) fn leaving(&self, uid: &str) {
        if let Some(connected) = self.activators.lock().get_mut(uid) {
            connected.activator.leaving = true;
        }
        self.changed();
    }

    /// An endpoint changed, and its route with it perhaps.
    pub(crate) fn route_changed(&self) {
        self.routes.send_modify(|count| *count += 1);
    }

    /// The activators that are connected, by UID.
    pub(crate) fn activators(&self) -> Vec<Activator> {
        self.activators.lock().values().map(|connected| connected.activator.clone()).collect()
    }

    /// The generation of an endpoint that an activator routes by, if it is connected and has said so on this stream.
    pub(crate) fn acknowledgement(&self, uid: &str, endpoint: &EndpointKey) -> Option<u64> {
        self.activators.lock().get(uid).and_then(|connected| connected.acknowledged.get(endpoint).copied())
    }

    /// Is this activator connected?
    pub(crate) fn is_connected(&self, uid: &str) -> bool {
        self.activators.lock().contains_key(uid)
    }

    /// What people call an activator: the name of its pod; its UID if it is not connected any more.
    pub(crate) fn name_of(&self, uid: &Arc<str>) -> Arc<str> {
        self.activators
            .lock()
            .get(uid)
            .map_or_else(|| Arc::clone(uid), |connected| Arc::clone(&connected.activator.name))
    }

    /// Says something to one activator. `false` if it is not connected.
    pub(crate) fn tell_activator(&self, uid: &str, what: Down) -> bool {
        let outbox = self.activators.lock().get(uid).map(|connected| connected.activator.outbox.clone());
        outbox.is_some_and(|outbox| outbox.say(what))
    }

    /// A sidecar connected. An older stream of it is cut.
    pub(crate) fn sidecar_came(&self, revision: &RevisionKey, replica: Arc<str>, sidecar: Sidecar) {
        if let Some(old) = self.sidecars.entry(revision.clone()).or_default().insert(replica, sidecar) {
            old.outbox.cut();
        }
    }

    /// Its stream ended. Nothing happens if a newer one has taken its place.
    pub(crate) fn sidecar_went(&self, revision: &RevisionKey, replica: &str, outbox: &Outbox) {
        if let Some(mut sidecars) = self.sidecars.get_mut(revision)
            && sidecars.get(replica).is_some_and(|sidecar| sidecar.outbox.is(outbox))
        {
            sidecars.remove(replica);
        }
        self.sidecars.remove_if(revision, |_, sidecars| sidecars.is_empty());
    }

    /// The sidecars of a revision that are connected, by replica.
    pub(crate) fn sidecars(&self, revision: &RevisionKey) -> HashMap<Arc<str>, Sidecar> {
        self.sidecars.get(revision).map(|sidecars| sidecars.clone()).unwrap_or_default()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn activator(uid: &str) -> (Activator, CancellationToken) {
        let (outbox, _written, cut) = Outbox::new();
        let (uid, name) = (uid.into(), uid.into());
        (Activator { uid, name, incarnation: Incarnation(1), highest_epoch: 0, leaving: false, outbox }, cut)
    }

    #[test]
    fn a_newer_stream_takes_the_place_of_an_older_one_which_is_cut_and_cannot_take_it_back() {
        let peers = Peers::new();
        let (old, old_cut) = activator("a");
        let (new, new_cut) = activator("a");
        let (old_outbox, new_outbox) = (old.outbox.clone(), new.outbox.clone());
        peers.activator_came(old);
        peers.activator_came(new);
        assert!(old_cut.is_cancelled() && !new_cut.is_cancelled());
        peers.activator_went("a", &old_outbox);
        assert_eq!(peers.activators().len(), 1);
        peers.activator_went("a", &new_outbox);
        assert_eq!(peers.activators().len(), 0);
    }

    #[test]
    fn what_an_older_stream_acknowledged_counts_no_more() {
        let peers = Peers::new();
        let endpoint = EndpointKey::new("shop", "recommender");
        peers.activator_came(activator("a").0);
        peers.acknowledged("a", endpoint.clone(), 3);
        assert_eq!(peers.acknowledgement("a", &endpoint), Some(3));
        peers.activator_came(activator("a").0);
        assert_eq!(peers.acknowledgement("a", &endpoint), None);
    }

    #[test]
    fn what_was_acknowledged_of_an_endpoint_that_is_gone_counts_for_none_of_its_name() {
        let peers = Peers::new();
        let endpoint = EndpointKey::new("shop", "recommender");
        peers.activator_came(activator("a").0);
        peers.acknowledged("a", endpoint.clone(), 3);
        peers.forget_endpoint(&endpoint);
        assert_eq!(peers.acknowledgement("a", &endpoint), None);
    }

    #[test]
    fn every_frame_is_told_once_to_each_reader_as_long_as_it_is_kept() {
        let peers = Peers::new();
        let told = |next| {
            let mut seconds = Vec::new();
            let next = peers.frames_from(next, None, |at, _| seconds.push(at.unix().as_secs()));
            (seconds, next)
        };
        let hear = |second| peers.activator_heard("a".into(), Moment::from_unix_millis(second * 1_000));
        hear(1);
        hear(2);
        let (seconds, next) = told(0);
        assert_eq!(seconds, [1, 2]);
        hear(3);
        assert_eq!(told(next).0, [3]);
        (0..FRAMES_KEPT as u64).for_each(hear);
        assert_eq!(told(next).0.len(), FRAMES_KEPT);
    }

    #[test]
    fn a_peer_that_does_not_read_is_cut_and_not_buffered_for() {
        let (outbox, _unread, cut) = Outbox::new();
        let taken = (0..2 * OUTBOX_FRAMES).filter(|_| outbox.say(Down::Out(wire::Empty {}))).count();
        assert_eq!(taken, OUTBOX_FRAMES);
        assert!(cut.is_cancelled());
    }
}
