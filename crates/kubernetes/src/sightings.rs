//! One object, watched by its name.

use std::fmt::Debug;
use std::future::ready;
use std::time::Duration;

use daemon::Clock;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tracing::warn;

/// The pause after a watch broke.
const PAUSE: Duration = Duration::from_secs(1);

/// What a watch says of it: it is this, or there is none. Nothing is said while it is listed.
pub(crate) type Sightings<K> = BoxStream<'static, Option<K>>;

/// Watches for as long as it is polled; a watch that breaks is begun again.
pub(crate) fn sightings<K>(clock: Clock, api: Api<K>, name: &str) -> Sightings<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let (mut found, mut failing) = (false, false);
    let what = name.to_owned();
    let events = watcher::watcher(api, config).then(move |event| async move {
        if event.is_err() {
            clock.sleep_until(clock.now().plus(PAUSE)).await;
        }
        event
    });
    let sightings = events.filter_map(move |event| {
        match &event {
            Ok(_) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                warn!(%error, name = what, "it cannot be watched, trying again");
            }
            Err(_) => {}
        }
        let sighting = match event {
            Ok(Event::Init) => {
                found = false;
                None
            }
            Ok(Event::InitApply(object)) => {
                found = true;
                Some(Some(object))
            }
            Ok(Event::Apply(object)) => Some(Some(object)),
            Ok(Event::InitDone) if !found => Some(None),
            Ok(Event::Delete(_)) => Some(None),
            Ok(Event::InitDone) | Err(_) => None,
        };
        ready(sighting)
    });
    sightings.boxed()
}
