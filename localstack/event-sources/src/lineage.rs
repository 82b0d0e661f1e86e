//! In which order the shards of a stream are processed.

use std::collections::BTreeSet;

/// A shard as the stream lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    pub id: String,
    /// Those it came out of, by a split or a merge.
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
    /// drained, or are no longer listed because all of their records have expired.
    pub fn begin(&mut self, listed: &[ShardInfo]) -> Vec<String> {
        let ids: BTreeSet<&String> = listed.iter().map(|shard| &shard.id).collect();
        let open = |parent: &String| ids.contains(parent) && !self.drained.contains(parent);
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
    use super::*;

    fn shard(id: &str, parents: &[&str]) -> ShardInfo {
        ShardInfo { id: id.into(), parents: parents.iter().map(|parent| (*parent).into()).collect() }
    }

    // "Change data capture for DynamoDB Streams", https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
    // and "Complete the resharding action" of Kinesis,
    // https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html:
    // a parent is processed before its children, so that the order of a key is kept.
    #[test]
    fn a_child_begins_when_its_parents_are_drained() {
        let listed = [shard("merged", &["a", "b"]), shard("a", &[]), shard("b", &["long-expired"])];
        let mut lineage = Lineage::default();
        assert_eq!(lineage.begin(&listed), ["a", "b"]);
        lineage.drained("a".into());
        assert!(lineage.begin(&listed).is_empty());
        lineage.drained("b".into());
        assert_eq!(lineage.begin(&listed), ["merged"]);
        assert!(lineage.begin(&listed).is_empty());
    }
}
