//! The order in which the shards of a stream are processed.

use std::collections::BTreeSet;

/// A shard as the stream lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// The shard's id.
    pub id: String,
    /// The ids of its parents: one after a split, two after a merge, none for a first shard.
    pub parents: Vec<String>,
}

/// Decides when each shard of a stream may start, so that the order of a key survives resharding.
#[derive(Debug, Default)]
pub struct Lineage {
    started: BTreeSet<String>,
    drained: BTreeSet<String>,
}

impl Lineage {
    /// Returns the shards that may start now, and counts them as started: those whose parents are
    /// drained. A parent that has not started and is no longer listed does not count, because its
    /// records have expired. A parent that has started counts until it is drained, listed or not.
    pub fn start(&mut self, listed: &[ShardInfo]) -> Vec<String> {
        let ids: BTreeSet<&String> = listed.iter().map(|shard| &shard.id).collect();
        let is_open = |parent: &String| {
            let known = ids.contains(parent) || self.started.contains(parent);
            known && !self.drained.contains(parent)
        };
        let is_ready =
            |shard: &&ShardInfo| !self.started.contains(&shard.id) && !shard.parents.iter().any(is_open);
        let ready: Vec<String> = listed.iter().filter(is_ready).map(|shard| shard.id.clone()).collect();
        self.started.extend(ready.iter().cloned());
        ready
    }

    /// The shard is closed and all its records are processed:
    /// [`Action::Drained`](crate::Action::Drained).
    pub fn drained(&mut self, shard_id: String) {
        self.drained.insert(shard_id);
    }
}

#[cfg(test)]
mod tests {
    // "Change data capture for DynamoDB Streams",
    // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html and "Complete the resharding
    // action" of Kinesis, https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html:
    // parents are processed before their children, which keeps the order of a key.

    use super::*;
    use proptest::prelude::*;

    fn shard(id: &str, parents: &[&str]) -> ShardInfo {
        ShardInfo { id: id.into(), parents: parents.iter().map(|parent| (*parent).into()).collect() }
    }

    #[test]
    fn both_halves_of_a_split_start_when_their_parent_is_drained() {
        let listed = [shard("parent", &[]), shard("left", &["parent"]), shard("right", &["parent"])];
        let mut lineage = Lineage::default();
        assert_eq!(lineage.start(&listed), ["parent"]);
        assert!(lineage.start(&listed).is_empty());
        lineage.drained("parent".into());
        assert_eq!(lineage.start(&listed), ["left", "right"]);
    }

    #[test]
    fn a_merged_shard_starts_when_both_parents_are_drained() {
        let listed = [shard("merged", &["a", "b"]), shard("a", &[]), shard("b", &["long-expired"])];
        let mut lineage = Lineage::default();
        assert_eq!(lineage.start(&listed), ["a", "b"]);
        lineage.drained("a".into());
        assert!(lineage.start(&listed).is_empty());
        lineage.drained("b".into());
        assert_eq!(lineage.start(&listed), ["merged"]);
        assert!(lineage.start(&listed).is_empty());
    }

    // The stream no longer lists a shard whose records have expired, but one of its batches may
    // still be in flight.
    #[test]
    fn a_parent_that_has_started_is_waited_for_when_it_is_no_longer_listed() {
        let mut lineage = Lineage::default();
        assert_eq!(lineage.start(&[shard("parent", &[])]), ["parent"]);
        let listed = [shard("child", &["parent"])];
        assert!(lineage.start(&listed).is_empty());
        lineage.drained("parent".into());
        assert_eq!(lineage.start(&listed), ["child"]);
    }

    /// The shards after a series of splits and merges. Each step closes one or two open shards.
    fn resharded(steps: Vec<(bool, usize)>) -> Vec<ShardInfo> {
        let mut listed = vec![shard("0", &[]), shard("1", &[])];
        let mut open = vec!["0".to_owned(), "1".to_owned()];
        for (merge, index) in steps {
            let parents: Vec<String> = (0..if merge && open.len() > 1 { 2 } else { 1 })
                .map(|_| open.remove(index % open.len()))
                .collect();
            for _ in 0..3 - parents.len() {
                let id = listed.len().to_string();
                open.push(id.clone());
                listed.push(ShardInfo { id, parents: parents.clone() });
            }
        }
        listed
    }

    proptest! {
        #[test]
        fn every_shard_is_begun_once_and_after_all_its_parents(
            steps in prop::collection::vec((any::<bool>(), 0_usize..50), 0..20),
            order in prop::collection::vec(0_usize..50, 100),
        ) {
            let listed = resharded(steps);
            let mut lineage = Lineage::default();
            let (mut started, mut drained) = (BTreeSet::new(), BTreeSet::new());
            let mut polled = Vec::new();
            for index in order {
                for id in lineage.start(&listed) {
                    let info = listed.iter().find(|info| info.id == id).unwrap();
                    prop_assert!(info.parents.iter().all(|parent| drained.contains(parent)));
                    prop_assert!(started.insert(id.clone()), "started twice");
                    polled.push(id);
                }
                if polled.is_empty() {
                    break;
                }
                let closed = polled.remove(index % polled.len());
                drained.insert(closed.clone());
                lineage.drained(closed);
            }
            prop_assert_eq!(started.len(), listed.len());
        }
    }
}
