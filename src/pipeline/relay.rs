//! relay: carries dispatches from the table's stream to Kinesis.
//!
//! What Kinesis throttles is set aside in a queue of relay's own, and tried again from there: so a hot partition key
//! does not hold up the others. Relay writes nothing to the table. If it fails before or after a record went into
//! Kinesis or into its queue, or dies, the records or messages are redelivered and copies may double; G3 and G4
//! rest on the record. It does not keep order among notifications, and does not promise it.

use std::collections::HashSet;

use aws_lambda_events::dynamodb::{Event, EventRecord};
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::aws::sqs::{body, id, receives};
use crate::aws::{Fault, pack, pause};
use crate::clock::Clock;
use crate::metrics::METRICS;
use crate::notification::Routes;
use crate::record::{Change, Dispatch, Record};
use crate::store::RelayQueue;

/// Most records of one `PutRecords`.
const RECORDS_MAX: usize = 500;
/// Most bytes of one `PutRecords`, keys included: half of what AWS takes, and more than the records or messages
/// of one invocation (6 MB of JSON) can have.
const BYTES_MAX: usize = 5 * 1024 * 1024;
/// Most characters of a Kinesis partition key.
const PARTITION_KEY_MAX: usize = 256;
/// Tries after which what is still throttled is set aside. Few, since everything behind it in the table's stream
/// waits meanwhile.
const TRIES_MAX: u32 = 2;
/// Longest wait of a message that is still throttled, in seconds.
const WAIT_SECONDS_MAX: f64 = 120.0;

/// The stage that relays.
#[derive(Clone, Debug)]
pub struct Relay {
    client: Client,
    stream: String,
    queue: RelayQueue,
    clock: Clock,
    /// Those of the stack, if they are known.
    routes: Option<Routes>,
}

/// A dispatch on its way to Kinesis.
struct Outgoing {
    /// Its copy: a sequence number of the table's stream, or the id of a message of relay's queue.
    copy: String,
    key: String,
    data: Blob,
}

/// What Kinesis did not take.
#[derive(Default)]
struct NotTaken {
    /// What is throttled, or refused one by one: others may be taken meanwhile.
    throttled: Vec<Outgoing>,
    /// What was in a call that failed. Then every other call is taken to fail, too, so nothing could pass.
    failed: Vec<Outgoing>,
}

impl Relay {
    /// Relays into the Kinesis stream of this name, and sets aside in this queue.
    pub fn new(client: Client, stream: impl Into<String>, queue: RelayQueue, clock: Clock) -> Relay {
        Relay { client, stream: stream.into(), queue, clock, routes: None }
    }

    /// Reports what was accepted by other routes than these, those of the stack: a producer with an outbox, or a destination
    /// that emits, has its own copy. It is relayed all the same.
    pub fn comparing(self, routes: Routes) -> Relay {
        Relay { routes: Some(routes), ..self }
    }

    /// Handles a batch of the table's stream. A record whose dispatch is neither in Kinesis nor set aside by
    /// `until` is a batch item failure, and is redelivered.
    pub async fn receive(&self, event: Event, until: Instant) -> DynamoDbEventResponse {
        let records = event.records.len();
        let now = self.clock.now();
        let routes = self.routes.as_ref();
        let mut left: Vec<_> =
            event.records.into_iter().filter_map(|record| outgoing(record, routes, now)).collect();
        let dispatches = left.len();
        let mut set_aside = 0;
        for tries in 1.. {
            let NotTaken { mut throttled, failed } = self.put(left, until).await;
            if tries >= TRIES_MAX {
                let before = throttled.len();
                throttled = self.set_aside(throttled, until).await;
                set_aside += before - throttled.len();
            }
            left = failed;
            left.append(&mut throttled);
            if left.is_empty() || Instant::now() >= until {
                break;
            }
            let _ = timeout_at(until, pause(tries)).await;
        }
        tracing::info!(records, dispatches, set_aside, left = left.len(), "relayed");
        let mut response = DynamoDbEventResponse::default();
        response.batch_item_failures = left.into_iter().map(failure).collect();
        response
    }

    /// Handles a batch of relay's queue. A message whose dispatch Kinesis does not take is a batch item failure,
    /// and waits there for longer each time.
    pub async fn retry(&self, event: SqsEvent, until: Instant) -> SqsBatchResponse {
        let messages = &event.records;
        let NotTaken { throttled, failed } = self.put(messages.iter().map(queued).collect(), until).await;
        let left: HashSet<String> =
            throttled.into_iter().chain(failed).map(|outgoing| outgoing.copy).collect();
        tracing::info!(dispatches = messages.len(), left = left.len(), "relayed from the queue");
        let waiting = messages.iter().filter(|message| left.contains(id(message)));
        let waiting: Vec<_> =
            waiting.map(|message| (message, wait_seconds(receives(message), fastrand::f64()))).collect();
        // If this fails they are redelivered all the same.
        let _ = timeout_at(until, self.queue.delay(&waiting)).await;
        let mut response = SqsBatchResponse::default();
        response.set_failures(waiting.iter().map(|(message, _)| id(message)));
        response
    }

    /// Sends to relay's queue. Returns what that did not take.
    async fn set_aside(&self, throttled: Vec<Outgoing>, until: Instant) -> Vec<Outgoing> {
        let send = self.queue.send(throttled.iter().map(|outgoing| outgoing.data.as_ref()));
        let Ok(unsent) = timeout_at(until, send).await else { return throttled };
        let unsent: HashSet<usize> = unsent.into_iter().collect();
        let places = throttled.into_iter().enumerate();
        places.filter(|(place, _)| unsent.contains(place)).map(|(_, outgoing)| outgoing).collect()
    }

    /// Sends once. Returns what Kinesis did not take.
    async fn put(&self, outgoing: Vec<Outgoing>, until: Instant) -> NotTaken {
        let sizes: Vec<_> =
            outgoing.iter().map(|outgoing| outgoing.data.as_ref().len() + outgoing.key.len()).collect();
        let mut rest = outgoing.into_iter();
        let requests = pack(&sizes, RECORDS_MAX, BYTES_MAX);
        let requests = requests.into_iter().map(|run| rest.by_ref().take(run.len()).collect());
        let requests: Vec<Vec<Outgoing>> = requests.collect();
        let put = join_all(requests.into_iter().map(|batch| self.put_batch(batch, until))).await;
        put.into_iter().fold(NotTaken::default(), |mut all, of_batch| {
            all.throttled.extend(of_batch.throttled);
            all.failed.extend(of_batch.failed);
            all
        })
    }

    async fn put_batch(&self, batch: Vec<Outgoing>, until: Instant) -> NotTaken {
        let entries = batch.iter().map(|outgoing| {
            PutRecordsRequestEntry::builder()
                .partition_key(&outgoing.key)
                .data(outgoing.data.clone())
                .build()
                .expect("key and data are set")
        });
        let call = self.client.put_records().stream_name(&self.stream).set_records(Some(entries.collect()));
        match timeout_at(until, call.send()).await {
            Ok(Ok(output)) => NotTaken { throttled: not_taken(batch, &output.records), failed: vec![] },
            Ok(Err(error)) => {
                let fault = Fault::from_sdk("PutRecords", &error);
                tracing::warn!(%fault, "records are sent again");
                match fault.is_throttled() {
                    true => NotTaken { throttled: batch, failed: vec![] },
                    false => NotTaken { throttled: vec![], failed: batch },
                }
            }
            Err(_) => NotTaken { throttled: vec![], failed: batch },
        }
    }
}

/// The records that Kinesis did not take: only those with a sequence number are in the stream.
fn not_taken<T>(sent: Vec<T>, results: &[PutRecordsResultEntry]) -> Vec<T> {
    let taken = results.iter().map(|result| result.sequence_number().is_some());
    let sent = sent.into_iter().zip(taken.chain(std::iter::repeat(false)));
    sent.filter(|(_, taken)| !taken).map(|(record, _)| record).collect()
}

/// How long a message waits that is still throttled, in whole seconds: twice as long with each receive, and between
/// three quarters of that and all of it, so that what was throttled together is not tried together. `random` is from
/// 0 to 1.
fn wait_seconds(receives: u32, random: f64) -> i32 {
    let longest = 2f64.powi(receives.min(30) as i32).min(WAIT_SECONDS_MAX);
    (longest * (0.75 + random / 4.0)).ceil() as i32
}

fn failure(outgoing: Outgoing) -> DynamoDbBatchItemFailure {
    let mut failure = DynamoDbBatchItemFailure::default();
    failure.item_identifier = Some(outgoing.copy);
    failure
}

/// The dispatch of a message of relay's queue. What is no dispatch of ours is put into Kinesis as well, where each
/// destination dead-letters it. Its key must not be one for which Kinesis refuses all records of the call.
fn queued(message: &SqsMessage) -> Outgoing {
    let bytes = body(message).as_bytes();
    let dispatch = Dispatch::decode(bytes);
    let key = dispatch.as_ref().map(Dispatch::partition_key).ok();
    let key = key.filter(|key| (1..=PARTITION_KEY_MAX).contains(&key.chars().count())).unwrap_or(id(message));
    Outgoing { copy: id(message).to_owned(), key: key.to_owned(), data: Blob::new(bytes) }
}

/// The dispatch of a stream record, if there is one. The mapping's filter passes dispatches, and events without
/// subscribers, which are only compared with the routes; this checks again.
fn outgoing(record: EventRecord, routes: Option<&Routes>, now: Timestamp) -> Option<Outgoing> {
    let copy = record.change.sequence_number.clone().unwrap_or_default();
    let stored = decode(record)?;
    if let Some(routes) = routes {
        report_drift(&stored, routes);
    }
    let dispatch = dispatch(&stored, now)?;
    Some(Outgoing { copy, key: dispatch.partition_key().to_owned(), data: Blob::new(dispatch.encode()) })
}

/// The record of a stream record, if it has one. An item that is not a record would fail for ever and hold up its shard for
/// a day, so it is logged as an error and skipped.
fn decode(record: EventRecord) -> Option<Record> {
    if record.change.new_image.is_empty() {
        return None; // a removal: the record expired
    }
    let decoded = Record::decode(record.change.new_image);
    let not_a_record = |error: &_| {
        let sequence_number = record.change.sequence_number.unwrap_or_default();
        tracing::error!(sequence_number, %error, "an item of the table is not a record and is not relayed");
        tracing::info!(target: METRICS, UnreadableItems = 1);
    };
    decoded.inspect_err(not_a_record).ok()
}

/// Reports a record that was accepted by other routes than these.
fn report_drift(record: &Record, routes: &Routes) {
    if record.drifts_from(routes) {
        let Record { id, source, .. } = record;
        tracing::warn!(id, source, "accepted by other routes than those of the stack");
        tracing::info!(target: METRICS, RoutesDrift = 1);
    }
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
    use crate::metrics::written_by;
    use crate::notification::Draft;
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
    fn what_was_accepted_by_other_routes_is_reported_once() {
        let mut record = event_for(&["a", "b"]);
        let reports = |record: &Record, routes: &str| {
            let routes = routes.parse().unwrap();
            let written = written_by(|| report_drift(record, &routes));
            written.into_iter().filter(|line| line["RoutesDrift"] == 1).count()
        };
        let same = r#"{"t":{"kind":"event","destinations":["b","a"]}}"#;
        assert_eq!(reports(&record, same), 0);
        for other in [
            "{}",
            r#"{"t":{"kind":"event","destinations":["a"]}}"#,
            r#"{"t":{"kind":"event","destinations":["a","c"]}}"#,
            r#"{"t":{"kind":"event","destinations":["a","b","c"]}}"#,
            r#"{"t":{"kind":"event","channel":"c"},"c":{"kind":"channel","destinations":["a","b"],"sequenced":["a"]}}"#,
        ] {
            assert_eq!(reports(&record, other), 1, "{other}");
        }
        record.version = 2;
        assert_eq!(reports(&record, "{}"), 0, "routes may have changed since it was accepted");
    }

    /// Nothing else would say that it reached nobody.
    #[test]
    fn an_event_without_subscribers_is_compared_with_the_routes_too() {
        let routes = |destinations: &str| -> Routes {
            let routes = format!(
                r#"{{"t":{{"kind":"event","channel":"c"}},"c":{{"kind":"channel","destinations":[{destinations}]}}}}"#
            );
            routes.parse().unwrap()
        };
        let event = Draft::event("t", "s", &1).partitionkey("c/1").build("1").unwrap();
        let image: serde_dynamo::Item =
            serde_dynamo::to_item(Record::accept(event, &routes(""), at(1_000)).unwrap()).unwrap();
        let put = serde_json::json!({
            "awsRegion": "r", "eventID": "1", "eventName": "INSERT",
            "dynamodb": { "ApproximateCreationDateTime": 1.0, "Keys": {}, "SequenceNumber": "7", "SizeBytes": 1,
                          "NewImage": image },
        });
        for (of_the_stack, reports) in [("", 0), (r#""search""#, 1)] {
            let written = written_by(|| {
                let record = serde_json::from_value(put.clone()).unwrap();
                assert!(outgoing(record, Some(&routes(of_the_stack)), at(2_000)).is_none());
            });
            assert_eq!(written.iter().filter(|line| line["RoutesDrift"] == 1).count(), reports);
        }
    }

    #[test]
    fn what_kinesis_did_not_take_is_sent_again() {
        let taken = PutRecordsResultEntry::builder().sequence_number("1").shard_id("s").build();
        let failed =
            PutRecordsResultEntry::builder().error_code("ProvisionedThroughputExceededException").build();
        assert_eq!(not_taken(vec!["a", "b", "c"], &[taken.clone(), failed, taken.clone()]), ["b"]);
        assert_eq!(not_taken(vec!["a", "b"], &[taken]), ["b"], "no result is no success");
    }

    /// A message that is throttled for a day is received fewer times than `infra/core.yaml` lets it be.
    #[test]
    fn what_is_throttled_for_a_day_is_not_dead_lettered() {
        let waits = |random: f64| (1..).map(move |receives| wait_seconds(receives, random));
        assert_eq!(waits(1.0).take(8).collect::<Vec<_>>(), [2, 4, 8, 16, 32, 64, 120, 120]);
        assert_eq!(wait_seconds(1, 0.0), 2);
        let mut waited = 0;
        let is_within_a_day = |wait: &i32| {
            waited += wait;
            waited < 24 * 3_600
        };
        let receives = waits(0.0).take_while(is_within_a_day).count();
        let template = crate::templates::CORE;
        let (_, queue) = template.split_once("\n  RelayQueue:").unwrap();
        let (_, most) = queue.split_once("maxReceiveCount: ").unwrap();
        let most: usize = most[..most.find('\n').unwrap()].parse().unwrap();
        assert!(receives < most, "{receives} of {most}");
    }

    #[test]
    fn what_is_no_dispatch_is_put_into_kinesis_as_it_is() {
        let message = serde_json::json!({ "messageId": "7", "body": "bytes" });
        let outgoing = queued(&serde_json::from_value(message).unwrap());
        assert_eq!((&*outgoing.copy, &*outgoing.key, outgoing.data.as_ref()), ("7", "7", &b"bytes"[..]));
    }

    /// Else every record of its call would be refused with it, each time.
    #[test]
    fn a_key_that_kinesis_does_not_take_is_replaced() {
        let key_of = |id: &str| {
            let mut dispatch = dispatch(&event_for(&["a"]), at(2_000)).unwrap();
            dispatch.notification.id = id.to_owned();
            let body = String::from_utf8(dispatch.encode()).unwrap();
            let message = serde_json::json!({ "messageId": "7", "body": body });
            queued(&serde_json::from_value(message).unwrap()).key
        };
        let longest = "é".repeat(PARTITION_KEY_MAX);
        assert_eq!(key_of(&longest), longest);
        assert_eq!([key_of(&format!("{longest}é")), key_of("")], ["7", "7"]);
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
        assert!(event.records.into_iter().all(|record| decode(record).is_none()));
    }
}
