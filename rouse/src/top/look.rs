//! What a live view asks of the admin port: the revisions, and more of those that are on the screen.

use std::ops::Range;

use api::admin::{DecisionList, Series, WakeList};
use serde::de::DeserializeOwned;

use crate::admin::{Server, typed};
use crate::find::{About, path};
use crate::view::Row;

/// A minute is drawn; ten more, in case that the newest seconds are told late.
const SECONDS: u64 = 70;

/// Every revision that is meant, with nothing of its past.
///
/// # Errors
/// If nothing answers, or there is no such revision.
pub(super) async fn rows(about: &About, server: &Server) -> anyhow::Result<Vec<Row>> {
    let row = |revision| Row { revision, points: Vec::new(), decisions: Vec::new(), wakes: Vec::new() };
    Ok(about.revisions(server).await?.into_iter().map(row).collect())
}

/// Adds the last minute of some, and decisions and wakes of one.
///
/// # Errors
/// If nothing answers any more. That a revision has gone meanwhile is none.
pub(super) async fn more(
    server: &Server,
    rows: &mut [Row],
    shown: Range<usize>,
    whole: Option<usize>,
) -> anyhow::Result<()> {
    for (number, row) in rows.iter_mut().enumerate() {
        let of = |part: &str| path(&row.revision, part);
        if shown.contains(&number) {
            row.points = ask::<Series>(server, &of(&format!("series?seconds={SECONDS}"))).await?.points;
        }
        if whole == Some(number) {
            row.decisions = ask::<DecisionList>(server, &of("decisions")).await?.decisions;
            row.wakes = ask::<WakeList>(server, &of("wakes")).await?.wakes;
        }
    }
    Ok(())
}

async fn ask<T: DeserializeOwned + Default>(server: &Server, path: &str) -> anyhow::Result<T> {
    server.find(path).await?.map_or_else(|| Ok(T::default()), typed)
}
