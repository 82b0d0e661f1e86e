//! In which order the shards of a stream are processed.

use std::collections::BTreeSet;

/// A shard as the stream lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// Its id.
    pub id: String,
    /// Those it came out of: one by a split, two by a merge.
    pub parents: Vec<String>,
}

/// Which shards of a stream were begun, and which of them are done.
#[derive(Debug, Default)]
pub struct Lineage {
    begun: BTreeSet<String>,
    drained: BTreeSet<String>,
}

impl Lineage {
    /// The shards that may begin now, from here on taken as begun: those whose parents are
    /// drained. A parent that was never begun and is no longer listed holds up nothing, for its
    /// records have all expired; one that was begun is waited for, listed or not.
    pub fn begin(&mut self, listed: &[ShardInfo]) -> Vec<String> {
        let ids: BTreeSet<&String> = listed.iter().map(|shard| &shard.id).collect();
        let open = |parent: &String| {
            let known = ids.contains(parent) || self.begun.contains(parent);
            known && !self.drained.contains(parent)
        };
        let ready =
            listed.iter().filter(|shard| !self.begun.contains(&shard.id) && !shard.parents.iter().any(open));
        let ready: Vec<String> = ready.map(|shard| shard.id.clone()).collect();
        self.begun.extend(ready.iter().cloned());
        ready
    }

    /// Every record of the shard has been processed, and no more will come.
    pub fn drained(&mut self, shard_id: String) {
        self.drained.insert(shard_id);
    }
}

#[cfg(test)]
mod tests {
    // "Change data capture for DynamoDB Streams", https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
    // and "Complete the resharding action" of Kinesis,
    // https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html:
    // a parent is processed before its children, so that the order of a key is kept.

    use super::*;
    use proptest::prelude::*;

    fn shard(id: &str, parents: &[&str]) -> ShardInfo {
        ShardInfo { id: id.into(), parents: parents.iter().map(|parent| (*parent).into()).collect() }
    }

    #[test]
    fn both_halves_of_a_split_begin_when_their_parent_is_drained() {
        let listed = [shard("parent", &[]), shard("left", &["parent"]), shard("right", &["parent"])];
        let mut lineage = Lineage::default();
        assert_eq!(lineage.begin(&listed), ["parent"]);
        assert!(lineage.begin(&listed).is_empty());
        lineage.drained("parent".into());
        assert_eq!(lineage.begin(&listed), ["left", "right"]);
    }

    #[test]
    fn a_merged_shard_begins_when_both_parents_are_drained() {
        let listed = [shard("merged", &["a", "b"]), shard("a", &[]), shard("b", &["long-expired"])];
        let mut lineage = Lineage::default();
        assert_eq!(lineage.begin(&listed), ["a", "b"]);
        lineage.drained("a".into());
        assert!(lineage.begin(&listed).is_empty());
        lineage.drained("b".into());
        assert_eq!(lineage.begin(&listed), ["merged"]);
        assert!(lineage.begin(&listed).is_empty());
    }

    // The stream forgets a shard when its records expire; a batch of it may still be in flight.
    #[test]
    fn a_parent_that_was_begun_is_waited_for_when_it_is_no_longer_listed() {
        let mut lineage = Lineage::default();
        assert_eq!(lineage.begin(&[shard("parent", &[])]), ["parent"]);
        let listed = [shard("child", &["parent"])];
        assert!(lineage.begin(&listed).is_empty());
        lineage.drained("parent".into());
        assert_eq!(lineage.begin(&listed), ["child"]);
    }

    /// Splits and merges one after another: each step ends one or two of the open shards.
    fn resharded(steps: Vec<(bool, usize)>) -> Vec<ShardInfo> {
        let mut listed = vec![shard("0", &[]), shard("1", &[])];
        let mut open = vec!["0".to_owned(), "1".to_owned()];
        for (merge, place) in steps {
            let parents: Vec<String> = (0..if merge && open.len() > 1 { 2 } else { 1 })
                .map(|_| open.remove(place % open.len()))
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
            let (mut begun, mut drained) = (BTreeSet::new(), BTreeSet::new());
            let mut polled = Vec::new();
            for place in order {
                for id in lineage.begin(&listed) {
                    let info = listed.iter().find(|info| info.id == id).unwrap();
                    prop_assert!(info.parents.iter().all(|parent| drained.contains(parent)));
                    prop_assert!(begun.insert(id.clone()), "begun twice");
                    polled.push(id);
                }
                if polled.is_empty() {
                    break;
                }
                let ended = polled.remove(place % polled.len());
                drained.insert(ended.clone());
                lineage.drained(ended);
            }
            prop_assert_eq!(begun.len(), listed.len());
        }
    }
}
