//! One channel per thing, and a feed of which things there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};

/// What a feed tells.
#[derive(Debug)]
pub enum Event<K, T> {
    /// This thing exists; its channel holds the newest version and every later one.
    Added(K, watch::Receiver<Arc<T>>),
    /// It is gone. Its channel is closed.
    Removed(K),
    /// Everything that existed at the start has been told. Sent once to each reader.
    Synced,
}

/// A reader's end: what exists first, then [`Event::Synced`], then each change.
pub type Feed<K, T> = mpsc::UnboundedReceiver<Event<K, T>>;

/// What a platform writes to, so that feeds can be read from it. Shared by reference; every call is short.
#[derive(Debug)]
pub struct Board<K, T>(Mutex<Inner<K, T>>);

#[derive(Debug)]
struct Inner<K, T> {
    things: BTreeMap<K, watch::Sender<Arc<T>>>,
    readers: Vec<mpsc::UnboundedSender<Event<K, T>>>,
    synced: bool,
}

impl<K: Ord + Clone, T: PartialEq> Board<K, T> {
    /// An empty board, not yet synced.
    #[expect(clippy::new_without_default, reason = "an unsynced board is a deliberate beginning, not a default")]
    pub fn new() -> Self {
        Self(Mutex::new(Inner { things: BTreeMap::new(), readers: Vec::new(), synced: false }))
    }

    /// Puts a thing, or a newer version of it. Readers are woken only if it differs.
    pub fn put(&self, key: K, thing: T) {
        let mut inner = self.lock();
        if let Some(channel) = inner.things.get(&key) {
            channel.send_if_modified(|old| {
                let differs = **old != thing;
                if differs {
                    *old = Arc::new(thing);
                }
                differs
            });
            return;
        }
        let (sender, receiver) = watch::channel(Arc::new(thing));
        inner.tell(|| Event::Added(key.clone(), receiver.clone()));
        inner.things.insert(key, sender);
    }

    /// Takes a thing away. Nothing happens if it is not there.
    pub fn remove(&self, key: &K) {
        let mut inner = self.lock();
        if inner.things.remove(key).is_some() {
            inner.tell(|| Event::Removed(key.clone()));
        }
    }

    /// Says that everything which existed at the start has been put.
    pub fn synced(&self) {
        let mut inner = self.lock();
        if !std::mem::replace(&mut inner.synced, true) {
            inner.tell(|| Event::Synced);
        }
    }

    /// The newest version of one thing.
    pub fn get(&self, key: &K) -> Option<Arc<T>> {
        self.lock().things.get(key).map(|channel| Arc::clone(&channel.borrow()))
    }

    /// The keys there are, in order.
    pub fn keys(&self) -> Vec<K> {
        self.lock().things.keys().cloned().collect()
    }

    /// A new reader.
    pub fn feed(&self) -> Feed<K, T> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut inner = self.lock();
        for (key, channel) in &inner.things {
            // The reader's own end is still in hand, so this cannot fail.
            let _ = sender.send(Event::Added(key.clone(), channel.subscribe()));
        }
        if inner.synced {
            let _ = sender.send(Event::Synced);
        }
        inner.readers.push(sender);
        receiver
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<K, T>> {
        // No call leaves the board half changed, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, T> Inner<K, T> {
    fn tell(&mut self, event: impl Fn() -> Event<K, T>) {
        self.readers.retain(|reader| reader.send(event()).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(feed: &mut Feed<&'static str, u32>) -> Vec<String> {
        std::iter::from_fn(|| feed.try_recv().ok())
            .map(|event| match event {
                Event::Added(key, value) => format!("+{key}={}", *value.borrow()),
                Event::Removed(key) => format!("-{key}"),
                Event::Synced => "synced".to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_late_reader_hears_what_exists_then_synced_then_changes() {
        let board = Board::new();
        board.put("a", 1);
        board.synced();
        let mut feed = board.feed();
        board.put("b", 2);
        board.remove(&"a");
        assert_eq!(story(&mut feed), ["+a=1", "synced", "+b=2", "-a"]);
    }

    #[test]
    fn a_thing_put_again_unchanged_wakes_nobody() {
        let board = Board::new();
        board.put("a", 1);
        let mut feed = board.feed();
        let Ok(Event::Added(_, mut channel)) = feed.try_recv() else { panic!("a was put") };
        channel.mark_unchanged();
        board.put("a", 1);
        assert!(!channel.has_changed().unwrap());
        board.put("a", 2);
        assert!(channel.has_changed().unwrap());
    }
}
