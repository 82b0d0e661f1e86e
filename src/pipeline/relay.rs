//! relay: carries dispatches from the table's stream to Kinesis.
//!
//! It writes nothing to the table. If it fails before or after a record went into Kinesis, or dies, the
//! stream's records are redelivered and copies may double; G3 and G4 rest on the record. It does not keep order
//! among notifications, and does not promise it.

use aws_lambda_events::dynamodb::{Event, EventRecord};
use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::aws::{Fault, pack, pause};
use crate::clock::Clock;
use crate::metrics::METRICS;
use crate::record::{Change, Dispatch, Record};

/// Most records of one `PutRecords`.
const RECORDS_MAX: usize = 500;
/// Most bytes of one `PutRecords`, keys included: half of what AWS takes, and more than the stream's records
/// of one invocation (6 MB of JSON) can have.
const BYTES_MAX: usize = 5 * 1024 * 1024;

/// The stage that relays.
#[derive(Clone, Debug)]
pub struct Relay {
    client: Client,
    stream: String,
    clock: Clock,
}

/// A dispatch on its way to Kinesis.
struct Outgoing {
    sequence_number: String,
    key: String,
    data: Blob,
}

impl Relay {
    /// Relays into the Kinesis stream of this name.
    pub fn new(client: Client, stream: impl Into<String>, clock: Clock) -> Relay {
        Relay { client, stream: stream.into(), clock }
    }

    /// Handles a batch of the table's stream. A record whose dispatch is not in Kinesis by `until` is a batch
    /// item failure, and is redelivered.
    pub async fn receive(&self, event: Event, until: Instant) -> DynamoDbEventResponse {
        let records = event.records.len();
        let now = self.clock.now();
        let mut left: Vec<_> = event.records.into_iter().filter_map(|record| outgoing(record, now)).collect();
        let dispatches = left.len();
        for tries in 1.. {
            left = self.put(left, until).await;
            if left.is_empty() || Instant::now() >= until {
                break;
            }
            let _ = timeout_at(until, pause(tries)).await;
        }
        tracing::info!(records, dispatches, left = left.len(), "relayed");
        let mut response = DynamoDbEventResponse::default();
        response.batch_item_failures = left.into_iter().map(failure).collect();
        response
    }

    /// Sends once. Returns what Kinesis did not take.
    async fn put(&self, outgoing: Vec<Outgoing>, until: Instant) -> Vec<Outgoing> {
        let sizes: Vec<_> =
            outgoing.iter().map(|outgoing| outgoing.data.as_ref().len() + outgoing.key.len()).collect();
        let mut rest = outgoing.into_iter();
        let requests = pack(&sizes, RECORDS_MAX, BYTES_MAX);
        let requests = requests.into_iter().map(|run| rest.by_ref().take(run.len()).collect());
        let requests: Vec<Vec<Outgoing>> = requests.collect();
        join_all(requests.into_iter().map(|batch| self.put_batch(batch, until)))
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn put_batch(&self, batch: Vec<Outgoing>, until: Instant) -> Vec<Outgoing> {
        let entries = batch.iter().map(|outgoing| {
            PutRecordsRequestEntry::builder()
                .partition_key(&outgoing.key)
                .data(outgoing.data.clone())
                .build()
                .expect("key and data are set")
        });
        let call = self.client.put_records().stream_name(&self.stream).set_records(Some(entries.collect()));
        match timeout_at(until, call.send()).await {
            Ok(Ok(output)) => not_taken(batch, &output.records),
            Ok(Err(error)) => {
                tracing::warn!(fault = %Fault::from_sdk("PutRecords", &error), "records are sent again");
                batch
            }
            Err(_) => batch,
        }
    }
}

/// The records that Kinesis did not take: only those with a sequence number are in the stream.
fn not_taken<T>(sent: Vec<T>, results: &[PutRecordsResultEntry]) -> Vec<T> {
    let taken = results.iter().map(|result| result.sequence_number().is_some());
    let sent = sent.into_iter().zip(taken.chain(std::iter::repeat(false)));
    sent.filter(|(_, taken)| !taken).map(|(record, _)| record).collect()
}

fn failure(outgoing: Outgoing) -> DynamoDbBatchItemFailure {
    let mut failure = DynamoDbBatchItemFailure::default();
    failure.item_identifier = Some(outgoing.sequence_number);
    failure
}

/// The dispatch of a stream record, if there is one. The mapping's filter passes only dispatches; this checks
/// again. An item that is not a record would fail for ever and hold up its shard for a day, so it is logged as
/// an error and skipped.
fn outgoing(record: EventRecord, now: Timestamp) -> Option<Outgoing> {
    let sequence_number = record.change.sequence_number.unwrap_or_default();
    if record.change.new_image.is_empty() {
        return None; // a removal: the record expired
    }
    let stored = match Record::decode(record.change.new_image) {
        Ok(stored) => stored,
        Err(error) => {
            tracing::error!(sequence_number, %error, "an item of the table is not a record and is not relayed");
            tracing::info!(target: METRICS, UnreadableItems = 1);
            return None;
        }
    };
    let dispatch = dispatch(&stored, now)?;
    Some(Outgoing {
        sequence_number,
        key: dispatch.partition_key().to_owned(),
        data: Blob::new(dispatch.encode()),
    })
}

/// The dispatch of a changed record, if its last change was a dispatch.
fn dispatch(record: &Record, now: Timestamp) -> Option<Dispatch> {
    let destinations: Vec<String> = record.pending().map(|(name, _)| name.clone()).collect();
    (record.change == Change::Dispatch && !destinations.is_empty())
        .then(|| Dispatch::new(record, destinations, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::State;
    use crate::record::tests::{at, event_for};

    #[test]
    fn a_dispatch_names_the_pending_destinations() {
        let mut record = event_for(&["a", "b", "c"]);
        record.destinations.get_mut("b").unwrap().state = State::Dead;
        let dispatch = dispatch(&record, at(2_000)).unwrap();
        assert_eq!(dispatch.destinations, ["a", "c"]);
        assert_eq!((dispatch.number, dispatch.accepted_at, dispatch.relayed_at), (1, at(1_000), at(2_000)));
        assert_eq!(dispatch.notification, record.notification());
    }

    #[test]
    fn what_kinesis_did_not_take_is_sent_again() {
        let taken = PutRecordsResultEntry::builder().sequence_number("1").shard_id("s").build();
        let failed =
            PutRecordsResultEntry::builder().error_code("ProvisionedThroughputExceededException").build();
        assert_eq!(not_taken(vec!["a", "b", "c"], &[taken.clone(), failed, taken.clone()]), ["b"]);
        assert_eq!(not_taken(vec!["a", "b"], &[taken]), ["b"], "no result is no success");
    }

    #[test]
    fn only_dispatches_are_relayed() {
        for change in [
            Change::Attempt,
            Change::Lease,
            Change::Release,
            Change::Renew,
            Change::Mark,
            Change::Dead,
            Change::Close,
        ] {
            assert_eq!(dispatch(&Record { change, ..event_for(&["a"]) }, at(0)), None, "{change:?}");
        }
        let mut ended = event_for(&["a"]);
        ended.destinations.get_mut("a").unwrap().state = State::Done;
        assert_eq!(dispatch(&ended, at(0)), None);
    }

    #[test]
    fn an_item_that_is_no_record_and_a_removal_are_skipped() {
        let image = serde_json::json!({ "Records": [
            { "awsRegion": "r", "eventID": "1", "eventName": "REMOVE",
              "dynamodb": { "ApproximateCreationDateTime": 1.0, "Keys": { "id": { "S": "1" } }, "SequenceNumber": "7", "SizeBytes": 1 } },
            { "awsRegion": "r", "eventID": "2", "eventName": "INSERT",
              "dynamodb": { "ApproximateCreationDateTime": 1.0, "Keys": { "id": { "S": "1" } }, "SequenceNumber": "8", "SizeBytes": 1,
                            "NewImage": { "id": { "S": "1" } } } },
        ] });
        let event: Event = serde_json::from_value(image).unwrap();
        assert!(event.records.into_iter().all(|record| outgoing(record, at(0)).is_none()));
    }
}
