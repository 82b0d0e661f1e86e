//! Records, and the batches that an invocation gets.

use std::time::Duration;

use serde_json::Value;

/// The most that one invocation's payload holds, in bytes. A record that is larger on its own
/// goes alone.
pub const PAYLOAD_MAX_BYTES: usize = 6 * 1024 * 1024;

const PAYLOAD_HEAD: &str = r#"{"Records":["#;
const PAYLOAD_TAIL: &str = "]}";

/// A record as it was read from the shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its sequence number in the shard.
    pub(crate) sequence_number: String,
    /// Records of one ordering key are delivered in the order of the shard, also under a
    /// ParallelizationFactor: Kinesis's partition key, DynamoDB's item key.
    pub(crate) ordering_key: String,
    /// The record as the function gets it in `Records`.
    pub(crate) event: Value,
    /// When it arrived in the stream, if that is known.
    pub(crate) arrived_at: Option<Duration>,
}

impl Record {
    /// A record with its sequence number, its ordering key (Kinesis: the partition key;
    /// DynamoDB: the item's key) and the JSON that the function gets to see. It is taken to have
    /// arrived when it is fetched.
    pub fn new(sequence_number: impl Into<String>, ordering_key: impl Into<String>, event: Value) -> Self {
        let (sequence_number, ordering_key) = (sequence_number.into(), ordering_key.into());
        Self { sequence_number, ordering_key, event, arrived_at: None }
    }

    /// The record with the time at which it arrived in the stream, on the clock that
    /// [`Shard::handle`](crate::Shard::handle) is given.
    pub fn arrived_at(self, arrived_at: Option<Duration>) -> Self {
        Self { arrived_at, ..self }
    }

    /// Its sequence number in the shard.
    pub fn sequence_number(&self) -> &str {
        &self.sequence_number
    }
}

/// Names a batch while it is in flight or being discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId {
    /// One batch of a lane is in flight at a time.
    pub(crate) lane: usize,
}

/// One invocation of the function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// To be given back with the answer.
    pub id: BatchId,
    /// 1 for the first time that the function gets the first of these records, 2 for the second,
    /// and so on, whatever it got along with it. A throttle does not count.
    pub attempt: u32,
    /// Of the records in the payload, in their order.
    pub sequence_numbers: Vec<String>,
    /// The invocation's payload, JSON.
    pub payload: String,
}

/// A record that passed the filters, ready to be put into a payload.
#[derive(Debug)]
pub(crate) struct Item {
    /// Where it stands in the shard, counted from the first record read.
    pub position: u64,
    pub sequence_number: String,
    pub arrived_at: Duration,
    pub json: String,
}

/// How many of the waiting items the next batch takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gathered {
    pub count: usize,
    /// No further item may join: the batch need not wait for its window.
    pub full: bool,
}

/// Takes items in order up to BatchSize and the payload limit.
pub(crate) fn gather(sizes: impl IntoIterator<Item = usize>, batch_size: usize) -> Gathered {
    let mut payload_bytes = PAYLOAD_HEAD.len() + PAYLOAD_TAIL.len();
    let mut count = 0;
    for size in sizes {
        payload_bytes += size + usize::from(count > 0);
        if count > 0 && payload_bytes > PAYLOAD_MAX_BYTES {
            return Gathered { count, full: true };
        }
        count += 1;
        if count == batch_size {
            return Gathered { count, full: true };
        }
    }
    let full = payload_bytes >= PAYLOAD_MAX_BYTES;
    Gathered { count, full }
}

pub(crate) fn payload(items: &[Item]) -> String {
    let records: Vec<&str> = items.iter().map(|item| item.json.as_str()).collect();
    [PAYLOAD_HEAD, &records.join(","), PAYLOAD_TAIL].concat()
}

#[cfg(test)]
mod tests {
    // "How Lambda processes records from stream and queue-based event sources", section
    // "Batching behavior", https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html

    use super::*;

    fn item(json: String) -> Item {
        Item { position: 0, sequence_number: "1".into(), arrived_at: Duration::ZERO, json }
    }

    // The second of the three criteria: the batch size.
    #[test]
    fn a_batch_holds_at_most_batch_size_records() {
        let gathered = gather([10; 5], 3);
        assert_eq!(gathered, Gathered { count: 3, full: true });
        let gathered = gather([10; 2], 3);
        assert_eq!(gathered, Gathered { count: 2, full: false });
    }

    // The third of the three criteria: the payload size.
    #[test]
    fn a_payload_holds_at_most_6_mb() {
        let size = 1024 * 1024;
        let gathered = gather([size; 10], 100);
        assert_eq!(gathered, Gathered { count: 5, full: true });

        let items: Vec<Item> = (0..5).map(|_| item("1".repeat(size))).collect();
        assert!(payload(&items).len() <= PAYLOAD_MAX_BYTES);
    }

    #[test]
    fn the_size_of_the_payload_is_counted_to_the_byte() {
        let around = payload(&[]).len();
        let fits = [1000, PAYLOAD_MAX_BYTES - around - 1001];
        let items = fits.map(|size| item("1".repeat(size)));
        assert_eq!(payload(&items).len(), PAYLOAD_MAX_BYTES);
        assert_eq!(gather(fits, 100).count, 2);
        assert_eq!(gather([1000, fits[1] + 1], 100).count, 1);
    }

    #[test]
    fn a_record_above_the_limit_goes_alone() {
        let gathered = gather([PAYLOAD_MAX_BYTES, 10], 100);
        assert_eq!(gathered, Gathered { count: 1, full: true });
    }
}
