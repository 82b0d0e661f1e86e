//! Batches: the records of one invocation.

use std::time::Duration;

/// The largest payload of an invocation, in bytes. A record that is larger by itself gets a batch of
/// its own.
pub const PAYLOAD_MAX_BYTES: usize = 6 * 1024 * 1024;

const PAYLOAD_HEAD: &str = r#"{"Records":["#;
const PAYLOAD_TAIL: &str = "]}";

/// Identifies a batch while it is in flight or being discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId {
    /// The index is enough: a key group has at most one batch in flight.
    pub(crate) key_group: usize,
}

/// One invocation of the function.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch {
    /// For [`Input::Invoked`](crate::Input::Invoked).
    pub id: BatchId,
    /// 1 the first time that the function is invoked with the first of these records, then 2 and so
    /// on, whatever other records the batch has. Throttled invocations do not count.
    pub attempt: u32,
    /// The sequence numbers of the records in the payload, in the same order.
    pub sequence_numbers: Vec<String>,
    /// The event for the function: JSON with `Records`.
    pub payload: String,
}

/// A record that passed the filters and has not been processed.
#[derive(Debug)]
pub(crate) struct PendingRecord {
    /// The index in the shard, counted from the first record fetched.
    pub position: u64,
    pub sequence_number: String,
    pub arrived_at: Duration,
    pub json: String,
}

/// How many of the waiting records the next batch takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gathered {
    pub count: usize,
    /// No further record fits, so the batch does not wait for its window to end.
    pub full: bool,
}

/// Takes records, given by their size in bytes, in order until BatchSize or the payload limit is
/// reached.
pub(crate) fn gather(sizes: impl IntoIterator<Item = usize>, batch_size: usize) -> Gathered {
    let mut payload_bytes = PAYLOAD_HEAD.len() + PAYLOAD_TAIL.len();
    let mut count = 0;
    for size in sizes {
        let comma_bytes = usize::from(count > 0);
        payload_bytes += size + comma_bytes;
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

pub(crate) fn payload(records: &[PendingRecord]) -> String {
    let records: Vec<&str> = records.iter().map(|record| record.json.as_str()).collect();
    [PAYLOAD_HEAD, &records.join(","), PAYLOAD_TAIL].concat()
}

#[cfg(test)]
mod tests {
    // "How Lambda processes records from stream and queue-based event sources", section
    // "Batching behavior", https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html

    use super::*;

    fn pending(json: String) -> PendingRecord {
        PendingRecord { position: 0, sequence_number: "1".into(), arrived_at: Duration::ZERO, json }
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

        let records: Vec<PendingRecord> = (0..5).map(|_| pending("1".repeat(size))).collect();
        assert!(payload(&records).len() <= PAYLOAD_MAX_BYTES);
    }

    #[test]
    fn the_size_of_the_payload_is_counted_to_the_byte() {
        let around = payload(&[]).len();
        let fits = [1000, PAYLOAD_MAX_BYTES - around - 1001];
        let records = fits.map(|size| pending("1".repeat(size)));
        assert_eq!(payload(&records).len(), PAYLOAD_MAX_BYTES);
        assert_eq!(gather(fits, 100).count, 2);
        assert_eq!(gather([1000, fits[1] + 1], 100).count, 1);
    }

    #[test]
    fn a_record_above_the_limit_goes_alone() {
        let gathered = gather([PAYLOAD_MAX_BYTES, 10], 100);
        assert_eq!(gathered, Gathered { count: 1, full: true });
    }
}
