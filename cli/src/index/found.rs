//! What a read of the index finds, up to the bounds of the read. What was found before it ended counts.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use handover::NotificationKey;
use tokio::sync::SetOnce;
use tokio::time::timeout;

/// What a read found, in the order of the keys.
pub struct Found<T> {
    pub all: Vec<T>,
    /// Whether there may be more, which was not read.
    pub is_cut: bool,
}

/// The bounds of a read.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub time: Duration,
    /// Most that is found.
    pub found: usize,
}

impl Bounds {
    pub const NONE: Bounds = Bounds { time: Duration::MAX, found: usize::MAX };
}

/// What is found up to now, by reads that are made concurrently.
pub struct Finding<T> {
    /// Each key that was seen, with what was found.
    seen: RefCell<BTreeMap<NotificationKey, Option<T>>>,
    /// For how much more there is room.
    room: Cell<usize>,
    is_full: SetOnce<()>,
}

impl<T> Finding<T> {
    /// Whether this key is seen for the first time: one that moves to another slot meanwhile is seen twice.
    pub fn is_new(&self, key: &NotificationKey) -> bool {
        match self.seen.borrow_mut().entry(key.clone()) {
            Entry::Vacant(entry) => entry.insert(None).is_none(),
            Entry::Occupied(_) => false,
        }
    }

    /// Adds what was found under a key. Where there is no room for it, the read ends.
    pub fn add(&self, key: NotificationKey, found: T) {
        match self.room.get().checked_sub(1) {
            Some(room) => {
                self.room.set(room);
                self.seen.borrow_mut().insert(key, Some(found));
            }
            None => {
                let _ = self.is_full.set(());
            }
        }
    }
}

/// Reads parts of the index in the given order, up to `concurrent` at once, until all are read or a bound is reached.
pub async fn find<P, T>(
    bounds: Bounds,
    parts: impl Iterator<Item = P>,
    concurrent: usize,
    read: impl AsyncFn(P, &Finding<T>) -> anyhow::Result<()>,
) -> anyhow::Result<Found<T>> {
    let finding =
        Finding { seen: RefCell::default(), room: bounds.found.into(), is_full: SetOnce::default() };
    let reads = stream::iter(parts).map(|part| read(part, &finding)).buffer_unordered(concurrent);
    let ended = tokio::select! {
        _ = finding.is_full.wait() => Ok(Ok(())),
        ended = timeout(bounds.time, reads.try_collect::<()>()) => ended,
    };
    let is_cut = ended.is_err() || finding.is_full.initialized();
    ended.unwrap_or(Ok(()))?;
    let all = finding.seen.into_inner().into_values().flatten().collect();
    Ok(Found { all, is_cut })
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// What is found in five parts of two pages, of which each takes a second and has one key. The last page has the
    /// key of the first one, too.
    async fn found(time: u64, max: usize) -> (Vec<String>, bool) {
        let bounds = Bounds { time: Duration::from_millis(time * 1_000 + 500), found: max };
        let read = async |part: u32, finding: &Finding<String>| {
            for page in [1, 2] {
                sleep(Duration::from_secs(1)).await;
                let moved = (part == 5 && page == 2).then(|| "1-1".to_owned());
                for id in [format!("{part}-{page}")].into_iter().chain(moved) {
                    let key = NotificationKey::new(&id, "s");
                    if finding.is_new(&key) {
                        finding.add(key, id);
                    }
                }
            }
            Ok(())
        };
        let found = find(bounds, 1..=5, 1, read).await.unwrap();
        (found.all, found.is_cut)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_cut_off_is_said_to_be() {
        let all = ["1-1", "1-2", "2-1", "2-2", "3-1", "3-2", "4-1", "4-2", "5-1", "5-2"];
        let first = |count: usize, is_cut| (all[..count].iter().map(ToString::to_string).collect(), is_cut);
        assert_eq!(found(60, 10).await, first(10, false));
        assert_eq!(found(60, 9).await, first(9, true));
        assert_eq!(found(60, 4).await, first(4, true));
        assert_eq!(found(3, 10).await, first(3, true), "a page counts before its part has ended");
        assert_eq!(found(0, 10).await, first(0, true));
    }

    #[tokio::test]
    async fn a_read_that_fails_is_an_error() {
        let read = async |_, _: &Finding<()>| anyhow::bail!("denied");
        let found = find(Bounds::NONE, 1..=5, 1, read).await;
        assert_eq!(found.err().map(|error| error.to_string()), Some("denied".into()));
    }
}
