//! The rules of a whole shard, each with the page of AWS's documentation that states it.

use super::*;
use crate::event::Source;
use crate::{BACKOFF_FIRST, Filters};
use serde_json::json;

mod failures;

const START: Duration = Duration::from_secs(1_000);

fn records<const N: usize>(keys: [&str; N]) -> Vec<Record> {
    let numbered = keys.into_iter().enumerate();
    numbered.map(|(n, key)| Record::new((n + 1).to_string(), key, json!({"eventName": key}))).collect()
}

fn fetched<const N: usize>(keys: [&str; N]) -> Event {
    Event::Fetched { records: records(keys), closed: false }
}

fn answered(batch: &Batch, answer: Answer) -> Event {
    Event::Answered { batch: batch.id, answer }
}

fn success() -> Answer {
    Answer::Returned("null".into())
}

fn failed_from(sequence_number: &str) -> Answer {
    let failure = json!({"batchItemFailures": [{"itemIdentifier": sequence_number}]});
    Answer::Returned(failure.to_string())
}

/// A shard that has been started.
fn shard(settings: Settings) -> Shard {
    let mut shard = Shard::new(settings);
    assert_eq!(shard.handle(Event::TimePassed, START), [Action::Fetch]);
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
// behavior": without a window, batches go as soon as there are records.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
#[test]
fn without_a_window_records_go_at_once() {
    let mut shard = shard(Settings::default());
    let actions = shard.handle(fetched(["a", "b"]), START);
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["1", "2"]);
    assert_eq!(invoked(&actions)[0].attempt, 1);
    assert!(actions.contains(&Action::Fetch));
}

// The same page and section: the window ends a batch that nothing else has ended.
#[test]
fn a_window_gathers_records_until_it_ends() {
    let window = Duration::from_secs(10);
    let mut shard = shard(Settings { batch_size: 3, maximum_batching_window: window, ..Settings::default() });
    let arrived = START + Duration::from_secs(1);
    let actions = shard.handle(fetched(["a"]), arrived);
    assert!(invoked(&actions).is_empty());
    let ends = wait(&actions).unwrap();
    assert!(ends > arrived && ends <= arrived + window);
    assert_eq!(invoked(&shard.handle(fetched(["b"]), arrived)).len(), 0);
    let actions = shard.handle(Event::TimePassed, ends);
    assert_eq!(invoked(&actions)[0].sequence_numbers.len(), 2);
}

// The same page and section: a full batch does not wait for its window.
#[test]
fn a_full_batch_does_not_wait() {
    let mut shard = shard(Settings {
        batch_size: 2,
        maximum_batching_window: Duration::from_secs(300),
        ..Settings::default()
    });
    let actions = shard.handle(fetched(["a", "b", "c"]), START);
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["1", "2"]);
}

// The same page and section: for Kinesis and DynamoDB the next window begins when the previous
// invocation has completed.
#[test]
fn the_next_window_begins_when_the_invocation_has_completed() {
    let window = Duration::from_secs(10);
    let mut shard = shard(Settings { batch_size: 2, maximum_batching_window: window, ..Settings::default() });
    let actions = shard.handle(fetched(["a", "b", "c"]), START);
    let completed = START + Duration::from_secs(4);
    let actions = shard.handle(answered(invoked(&actions)[0], success()), completed);
    assert_eq!(wait(&actions), Some(completed + window));
}

// "Configuring partial batch response with Kinesis Data Streams and Lambda": by default, the
// checkpoint is the highest sequence number of a batch that is a complete success.
// https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
#[test]
fn a_complete_success_moves_the_checkpoint_to_the_end_of_the_batch() {
    let mut shard = shard(Settings::default());
    let actions = shard.handle(fetched(["a", "b"]), START);
    assert_eq!(checkpoint(&actions), None);
    let actions = shard.handle(answered(invoked(&actions)[0], success()), START);
    assert_eq!(checkpoint(&actions), Some("2"));
}

// The same page, "Report syntax": the lowest failed record is where it goes on.
#[test]
fn a_partial_failure_is_retried_from_the_lowest_failed_record() {
    let mut shard = shard(Settings { report_batch_item_failures: true, ..Settings::default() });
    let actions = shard.handle(fetched(["a", "b", "c"]), START);
    let actions = shard.handle(answered(invoked(&actions)[0], failed_from("2")), START);
    assert_eq!(checkpoint(&actions), Some("1"));
    assert!(invoked(&actions).is_empty());

    let retry_at = wait(&actions).unwrap();
    assert_eq!(retry_at, START + BACKOFF_FIRST);
    let actions = shard.handle(Event::TimePassed, retry_at);
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["2", "3"]);
    assert_eq!(invoked(&actions)[0].attempt, 2);
}

// "How Lambda processes records from stream and queue-based event sources": an error stops the
// shard until it is resolved, so that order is kept; the same batch is tried again.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
#[test]
fn a_failed_batch_holds_up_its_shard_and_is_tried_again_as_it_was() {
    let mut shard = shard(Settings::default());
    let mut actions = shard.handle(fetched(["a", "b"]), START);
    let later = Record::new("3", "c", json!({}));
    let event = Event::Fetched { records: vec![later], closed: false };
    shard.handle(event, START);

    for (attempt, answer) in [(2, Answer::FunctionError), (2, Answer::NotInvoked)] {
        let batch = invoked(&actions)[0].clone();
        actions = shard.handle(answered(&batch, answer), START);
        assert!(invoked(&actions).is_empty());
        assert_eq!(checkpoint(&actions), None);
        let retry_at = wait(&actions).unwrap();
        actions = shard.handle(Event::TimePassed, retry_at);
        assert_eq!(invoked(&actions)[0].sequence_numbers, ["1", "2"]);
        assert_eq!(invoked(&actions)[0].attempt, attempt);
    }

    let batch = invoked(&actions)[0].clone();
    let actions = shard.handle(answered(&batch, success()), START);
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["3"]);
}

// The same page: with several batches of a shard in parallel, order is kept for each key. What
// one key's failure holds up is that key's lane alone, and the checkpoint.
#[test]
fn parallel_batches_keep_the_order_of_each_key() {
    let mut shard = shard(Settings { parallelization_factor: 10, ..Settings::default() });
    let actions = shard.handle(fetched(["a", "b", "a", "b"]), START);
    let batches = invoked(&actions);
    let numbers = batches.iter().map(|batch| batch.sequence_numbers.clone());
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort();
    assert_eq!(numbers, [["1", "3"], ["2", "4"]], "a and b share no lane");

    let of = |number: &str| {
        let has = |batch: &&&Batch| batch.sequence_numbers[0] == number;
        *batches.iter().find(has).unwrap()
    };
    let actions = shard.handle(answered(of("2"), success()), START);
    assert_eq!(checkpoint(&actions), None);
    let actions = shard.handle(answered(of("1"), success()), START);
    assert_eq!(checkpoint(&actions), Some("4"));
}

// "Control which events Lambda sends to your function": with a window, each new record is
// filtered before it joins the batch; the iterator goes past records that do not match.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
#[test]
fn records_that_are_filtered_out_advance_the_checkpoint() {
    let mut shard = shard(Settings {
        batch_size: 2,
        filters: Filters::parse(Source::DynamoDb, [r#"{"eventName":["in"]}"#]).unwrap(),
        ..Settings::default()
    });
    let actions = shard.handle(fetched(["out", "in", "out", "in", "out"]), START);
    assert_eq!(checkpoint(&actions), Some("1"));
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["2", "4"]);
    let actions = shard.handle(answered(invoked(&actions)[0], success()), START);
    assert_eq!(checkpoint(&actions), Some("5"));
}

// "Change data capture for DynamoDB Streams": a parent shard is processed before its children.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
#[test]
fn a_closed_shard_is_drained_when_its_last_record_is_processed() {
    let mut shard = shard(Settings::default());
    let event = Event::Fetched { records: records(["a"]), closed: true };
    let actions = shard.handle(event, START);
    assert!(!actions.contains(&Action::Fetch) && !actions.contains(&Action::Drained));
    let actions = shard.handle(answered(invoked(&actions)[0], success()), START);
    assert_eq!(actions, [Action::Checkpoint("1".into()), Action::Drained]);
}

#[test]
fn no_more_is_fetched_than_the_bound_allows() {
    let mut shard = shard(Settings::default());
    let records = (0..HELD_RECORDS_MAX).map(|n| Record::new(n.to_string(), "a", json!({}))).collect();
    let event = Event::Fetched { records, closed: false };
    let actions = shard.handle(event, START);
    assert!(!actions.contains(&Action::Fetch));
    let actions = shard.handle(answered(invoked(&actions)[0], success()), START);
    assert!(actions.contains(&Action::Fetch));
}

#[test]
fn an_answer_to_a_batch_that_is_not_in_flight_is_ignored() {
    let mut shard = shard(Settings::default());
    let actions = shard.handle(fetched(["a"]), START);
    let batch = invoked(&actions)[0].clone();
    let waiting = shard.handle(answered(&batch, Answer::FunctionError), START);
    let again = shard.handle(answered(&batch, success()), START);
    assert_eq!(wait(&again), wait(&waiting));
    assert_eq!(checkpoint(&again), None);
}
