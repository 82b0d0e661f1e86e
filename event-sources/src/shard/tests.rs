//! The rules for a whole shard, each with the page of AWS's documentation that states it.

use super::*;
use crate::{BACKOFF_FIRST, Batch, Discard, DiscardReason, Filters, InvocationOutcome, StreamKind};
use serde_json::json;

mod failures;

const START: Duration = Duration::from_secs(1_000);

fn records<const N: usize>(keys: [&str; N]) -> Vec<Record> {
    let numbered = keys.into_iter().enumerate();
    numbered.map(|(n, key)| Record::new((n + 1).to_string(), key, json!({"eventName": key}))).collect()
}

fn fetched<const N: usize>(keys: [&str; N]) -> Input {
    Input::Fetched { records: records(keys), closed: false }
}

fn completed(batch: &Batch, outcome: InvocationOutcome) -> Input {
    Input::Invoked { batch: batch.id, outcome }
}

fn success() -> InvocationOutcome {
    InvocationOutcome::Returned("null".into())
}

fn failed_from(sequence_number: &str) -> InvocationOutcome {
    let failure = json!({"batchItemFailures": [{"itemIdentifier": sequence_number}]});
    InvocationOutcome::Returned(failure.to_string())
}

/// A shard after its first input.
fn shard(settings: MappingSettings) -> Shard {
    let mut shard = Shard::new(settings);
    assert_eq!(shard.handle(Input::TimePassed, START), [Action::Fetch]);
    shard
}

fn invoked(actions: &[Action]) -> Vec<&Batch> {
    let batches = actions.iter().filter_map(|action| match action {
        Action::Invoke(batch) => Some(batch),
        _ => None,
    });
    batches.collect()
}

fn checkpoint(actions: &[Action]) -> Option<&str> {
    actions.iter().find_map(|action| match action {
        Action::Checkpoint(sequence_number) => Some(sequence_number.as_str()),
        _ => None,
    })
}

fn wait(actions: &[Action]) -> Option<Duration> {
    actions.iter().find_map(|action| match action {
        Action::WaitUntil(time) => Some(*time),
        _ => None,
    })
}

// "How Lambda processes records from stream and queue-based event sources", section "Batching
// behavior": without a window, Lambda invokes the function as soon as there are records.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
#[test]
fn without_a_window_records_are_delivered_at_once() {
    let mut shard = shard(MappingSettings::default());
    let actions = shard.handle(fetched(["a", "b"]), START);
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["1", "2"]);
    assert_eq!(invoked(&actions)[0].attempt, 1);
    assert!(actions.contains(&Action::Fetch));
}

// The same page and section: a batch that is not full is delivered when its window ends.
#[test]
fn a_window_gathers_records_until_it_ends() {
    let window = Duration::from_secs(10);
    let mut shard = shard(MappingSettings {
        batch_size: 3,
        maximum_batching_window: window,
        ..MappingSettings::default()
    });
    let arrived = START + Duration::from_secs(1);
    let actions = shard.handle(fetched(["a"]), arrived);
    assert!(invoked(&actions).is_empty());
    let ends = wait(&actions).unwrap();
    assert!(ends > arrived && ends <= arrived + window);
    assert_eq!(invoked(&shard.handle(fetched(["b"]), arrived)).len(), 0);
    let actions = shard.handle(Input::TimePassed, ends);
    assert_eq!(invoked(&actions)[0].sequence_numbers.len(), 2);
}

// The same page and section: a full batch does not wait for its window.
#[test]
fn a_full_batch_does_not_wait() {
    let mut shard = shard(MappingSettings {
        batch_size: 2,
        maximum_batching_window: Duration::from_secs(300),
        ..MappingSettings::default()
    });
    let actions = shard.handle(fetched(["a", "b", "c"]), START);
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["1", "2"]);
}

// The same page and section: for Kinesis and DynamoDB the next window begins when the previous
// invocation completes.
#[test]
fn the_next_window_begins_when_the_invocation_has_completed() {
    let window = Duration::from_secs(10);
    let mut shard = shard(MappingSettings {
        batch_size: 2,
        maximum_batching_window: window,
        ..MappingSettings::default()
    });
    let actions = shard.handle(fetched(["a", "b", "c"]), START);
    let completed_at = START + Duration::from_secs(4);
    let actions = shard.handle(completed(invoked(&actions)[0], success()), completed_at);
    assert_eq!(wait(&actions), Some(completed_at + window));
}

// "Configuring partial batch response with Kinesis Data Streams and Lambda": by default, Lambda sets
// the checkpoint to the highest sequence number of a batch only when the batch is a complete success.
// https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
#[test]
fn a_complete_success_moves_the_checkpoint_to_the_end_of_the_batch() {
    let mut shard = shard(MappingSettings::default());
    let actions = shard.handle(fetched(["a", "b"]), START);
    assert_eq!(checkpoint(&actions), None);
    let actions = shard.handle(completed(invoked(&actions)[0], success()), START);
    assert_eq!(checkpoint(&actions), Some("2"));
}

// The same page, "Report syntax": Lambda retries from the lowest failed record on.
#[test]
fn a_partial_failure_is_retried_from_the_lowest_failed_record() {
    let mut shard = shard(MappingSettings { report_batch_item_failures: true, ..MappingSettings::default() });
    let actions = shard.handle(fetched(["a", "b", "c"]), START);
    let actions = shard.handle(completed(invoked(&actions)[0], failed_from("2")), START);
    assert_eq!(checkpoint(&actions), Some("1"));
    assert!(invoked(&actions).is_empty());

    let retry_at = wait(&actions).unwrap();
    assert_eq!(retry_at, START + BACKOFF_FIRST);
    let actions = shard.handle(Input::TimePassed, retry_at);
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["2", "3"]);
    assert_eq!(invoked(&actions)[0].attempt, 2);
}

// "How Lambda processes records from stream and queue-based event sources": to keep the order, an
// error stops the shard until the error is resolved. Lambda retries the same batch.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
#[test]
fn a_failed_batch_blocks_its_shard_and_is_retried_unchanged() {
    let mut shard = shard(MappingSettings::default());
    let mut actions = shard.handle(fetched(["a", "b"]), START);
    let later = Record::new("3", "c", json!({}));
    let input = Input::Fetched { records: vec![later], closed: false };
    shard.handle(input, START);

    for (attempt, outcome) in [(2, InvocationOutcome::FunctionError), (2, InvocationOutcome::NotInvoked)] {
        let batch = invoked(&actions)[0].clone();
        actions = shard.handle(completed(&batch, outcome), START);
        assert!(invoked(&actions).is_empty());
        assert_eq!(checkpoint(&actions), None);
        let retry_at = wait(&actions).unwrap();
        actions = shard.handle(Input::TimePassed, retry_at);
        assert_eq!(invoked(&actions)[0].sequence_numbers, ["1", "2"]);
        assert_eq!(invoked(&actions)[0].attempt, attempt);
    }

    let batch = invoked(&actions)[0].clone();
    let actions = shard.handle(completed(&batch, success()), START);
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["3"]);
}

// The same page: with several concurrent batches of a shard, the order of each key is kept. A failed
// record blocks its own key group and the checkpoint, and nothing else.
#[test]
fn parallel_batches_keep_the_order_of_each_key() {
    let mut shard = shard(MappingSettings { parallelization_factor: 10, ..MappingSettings::default() });
    let actions = shard.handle(fetched(["a", "b", "a", "b"]), START);
    let batches = invoked(&actions);
    let numbers = batches.iter().map(|batch| batch.sequence_numbers.clone());
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort();
    assert_eq!(numbers, [["1", "3"], ["2", "4"]], "a and b are in different key groups");

    let batch_from = |number: &str| {
        let starts_there = |batch: &&&Batch| batch.sequence_numbers[0] == number;
        *batches.iter().find(starts_there).unwrap()
    };
    let actions = shard.handle(completed(batch_from("2"), success()), START);
    assert_eq!(checkpoint(&actions), None);
    let actions = shard.handle(completed(batch_from("1"), success()), START);
    assert_eq!(checkpoint(&actions), Some("4"));
}

// "Control which events Lambda sends to your function": with a window, each new record is
// filtered before it joins the batch; the iterator advances past records that do not match.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
#[test]
fn records_that_are_filtered_out_advance_the_checkpoint() {
    let mut shard = shard(MappingSettings {
        batch_size: 2,
        filters: Filters::parse(StreamKind::DynamoDb, [r#"{"eventName":["in"]}"#]).unwrap(),
        ..MappingSettings::default()
    });
    let actions = shard.handle(fetched(["out", "in", "out", "in", "out"]), START);
    assert_eq!(checkpoint(&actions), Some("1"));
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["2", "4"]);
    let actions = shard.handle(completed(invoked(&actions)[0], success()), START);
    assert_eq!(checkpoint(&actions), Some("5"));
}

// "Change data capture for DynamoDB Streams": a parent shard is processed before its children.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
#[test]
fn a_closed_shard_is_drained_when_its_last_record_is_processed() {
    let mut shard = shard(MappingSettings::default());
    let input = Input::Fetched { records: records(["a"]), closed: true };
    let actions = shard.handle(input, START);
    assert!(!actions.contains(&Action::Fetch) && !actions.contains(&Action::Drained));
    let actions = shard.handle(completed(invoked(&actions)[0], success()), START);
    assert_eq!(actions, [Action::Checkpoint("1".into()), Action::Drained]);
}

#[test]
fn no_more_is_fetched_than_the_bound_allows() {
    let mut shard = shard(MappingSettings::default());
    let records = (0..HELD_RECORDS_MAX).map(|n| Record::new(n.to_string(), "a", json!({}))).collect();
    let input = Input::Fetched { records, closed: false };
    let actions = shard.handle(input, START);
    assert!(!actions.contains(&Action::Fetch));
    let actions = shard.handle(completed(invoked(&actions)[0], success()), START);
    assert!(actions.contains(&Action::Fetch));
}

#[test]
fn an_outcome_of_a_batch_that_is_not_in_flight_is_ignored() {
    let mut shard = shard(MappingSettings::default());
    let actions = shard.handle(fetched(["a"]), START);
    let batch = invoked(&actions)[0].clone();
    let waiting = shard.handle(completed(&batch, InvocationOutcome::FunctionError), START);
    let again = shard.handle(completed(&batch, success()), START);
    assert_eq!(wait(&again), wait(&waiting));
    assert_eq!(checkpoint(&again), None);
}
