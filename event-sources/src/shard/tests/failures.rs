//! The rules for records that fail.
//!
//! Unless a test names another page, its rule is on "Retain discarded batch records for a Kinesis Data
//! Streams event source in Lambda",
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>, and "Retain
//! discarded records for a DynamoDB event source in Lambda",
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html>.

use super::*;

fn retries(attempts_max: u32) -> MappingSettings {
    MappingSettings { maximum_retry_attempts: Some(attempts_max), ..MappingSettings::default() }
}

fn bisect(attempts_max: u32) -> MappingSettings {
    MappingSettings { bisect_batch_on_function_error: true, ..retries(attempts_max) }
}

fn max_age(age: Duration) -> MappingSettings {
    MappingSettings { maximum_record_age: Some(age), ..MappingSettings::default() }
}

fn discards(actions: &[Action]) -> Vec<&Discard> {
    let discards = actions.iter().filter_map(|action| match action {
        Action::Discard(discard) => Some(discard),
        _ => None,
    });
    discards.collect()
}

fn discarded(discard: &Discard, written: bool) -> Input {
    Input::Discarded { batch: discard.id, written }
}

/// Completes the first batch of `actions` and each of its retries with `outcome` until the shard
/// does something else. Returns the number of invocations and the actions that followed.
fn fail_until_discarded(
    shard: &mut Shard,
    mut actions: Vec<Action>,
    outcome: &InvocationOutcome,
) -> (u32, Vec<Action>) {
    let mut invocations = 0;
    while let [batch] = invoked(&actions)[..] {
        invocations += 1;
        actions = shard.handle(completed(batch, outcome.clone()), START);
        if let Some(time) = wait(&actions) {
            actions = shard.handle(Input::TimePassed, time);
        }
    }
    (invocations, actions)
}

/// Carries out every action until there are none, with a function that fails every batch that has the
/// poison record. Returns the records of each invocation and of each discard.
fn run(shard: &mut Shard, mut actions: Vec<Action>, poison: &str) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let (mut invocations, mut discarded_records) = (Vec::new(), Vec::new());
    loop {
        let input = if let [batch] = invoked(&actions)[..] {
            invocations.push(batch.sequence_numbers.clone());
            let fails = batch.sequence_numbers.iter().any(|number| number == poison);
            completed(batch, if fails { InvocationOutcome::FunctionError } else { success() })
        } else if let [discard] = discards(&actions)[..] {
            discarded_records.push(discard.sequence_numbers.clone());
            discarded(discard, true)
        } else if wait(&actions).is_some() {
            Input::TimePassed
        } else {
            return (invocations, discarded_records);
        };
        let now = wait(&actions).unwrap_or(START);
        actions = shard.handle(input, now);
    }
}

// "During invocation": after MaximumRetryAttempts, Lambda discards the batch and continues with the
// shard.
#[test]
fn a_batch_is_invoked_once_and_retried_maximum_retry_attempts_times() {
    let mut shard = shard(MappingSettings { batch_size: 2, ..retries(2) });
    let actions = shard.handle(fetched(["a", "b", "c"]), START);
    let (invocations, actions) = fail_until_discarded(&mut shard, actions, &InvocationOutcome::FunctionError);
    assert_eq!(invocations, 3);
    let discard = discards(&actions)[0];
    assert_eq!(discard.sequence_numbers, ["1", "2"]);
    assert_eq!(discard.reason, DiscardReason::RetryAttemptsExhausted { function_error: true });
    assert_eq!(discard.invocations, 3);
    assert_eq!(checkpoint(&actions), None, "not before the destination is written");

    let actions = shard.handle(discarded(discard, true), START);
    assert_eq!(checkpoint(&actions), Some("2"));
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["3"]);
    assert_eq!(invoked(&actions)[0].attempt, 1);
}

// "Configuring partial batch response with Kinesis Data Streams and Lambda", section "Success and
// failure conditions": Lambda retries reported records by the mapping's retry strategy. The
// records that succeeded before them are not discarded.
// https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
#[test]
fn a_discard_after_reports_begins_with_the_reported_record() {
    let mut shard = shard(MappingSettings { report_batch_item_failures: true, ..retries(2) });
    let actions = shard.handle(fetched(["a", "b", "c"]), START);
    let (invocations, actions) = fail_until_discarded(&mut shard, actions, &failed_from("2"));
    assert_eq!(invocations, 3);
    assert_eq!(discards(&actions)[0].sequence_numbers, ["2", "3"]);
    assert_eq!(discards(&actions)[0].reason, DiscardReason::RetryAttemptsExhausted { function_error: false });
}

// AWS does not say what happens when the destination cannot be written. Here no record is lost: the
// engine keeps the records and writes later. The function does not get them again.
#[test]
fn while_the_destination_cannot_be_written_the_records_are_kept() {
    let mut shard = shard(retries(0));
    let actions = shard.handle(fetched(["a"]), START);
    let (_, mut actions) = fail_until_discarded(&mut shard, actions, &InvocationOutcome::FunctionError);
    let discard = discards(&actions)[0].clone();
    for pause in [BACKOFF_FIRST, BACKOFF_FIRST * 2] {
        actions = shard.handle(discarded(&discard, false), START);
        assert_eq!(checkpoint(&actions), None);
        assert_eq!(wait(&actions), Some(START + pause));
        actions = shard.handle(Input::TimePassed, START + pause);
        assert_eq!(discards(&actions), [&discard]);
        assert!(invoked(&actions).is_empty());
    }
    let actions = shard.handle(discarded(&discard, true), START);
    assert_eq!(checkpoint(&actions), Some("1"));
}

// "AWS Lambda Supports Failure-Handling Features for Kinesis and DynamoDB Event Sources": Lambda skips a record that
// has reached the maximum age. The function gets the younger ones.
// https://aws.amazon.com/about-aws/whats-new/2019/11/aws-lambda-supports-failure-handling-features-for-kinesis-and-dynamodb-event-sources/
#[test]
fn records_that_are_too_old_are_discarded_and_the_others_delivered() {
    let mut shard = shard(max_age(Duration::from_secs(60)));
    let ages_s = [90, 61, 60, 5];
    let aged = records(["a", "b", "c", "d"]).into_iter().zip(ages_s);
    let records = aged.map(|(record, age)| record.arrived_at(Some(START - Duration::from_secs(age))));
    let input = Input::Fetched { records: records.collect(), closed: false };
    let actions = shard.handle(input, START);
    let discard = discards(&actions)[0];
    assert_eq!(discard.sequence_numbers, ["1", "2"]);
    assert_eq!(discard.reason, DiscardReason::RecordAgeExceeded);
    assert_eq!(discard.invocations, 0);
    assert_eq!(discard.first_arrived_at, START - Duration::from_secs(90));
    assert_eq!(discard.last_arrived_at, START - Duration::from_secs(61));
    assert!(invoked(&actions).is_empty());

    let actions = shard.handle(discarded(discard, true), START);
    assert_eq!(checkpoint(&actions), Some("2"));
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["3", "4"]);
}

// "Before invocation": Lambda retries throttled invocations until the records are too old.
// MaximumRetryAttempts does not apply.
#[test]
fn a_throttled_batch_is_retried_until_its_records_are_too_old() {
    let age = Duration::from_secs(60);
    let mut shard = shard(MappingSettings { maximum_record_age: Some(age), ..bisect(1) });
    let mut actions = shard.handle(fetched(["a", "b"]), START);
    let mut now = START;
    while let [batch] = invoked(&actions)[..] {
        assert_eq!((batch.attempt, batch.sequence_numbers.len()), (1, 2));
        assert!(now <= START + age);
        let waiting = shard.handle(completed(batch, InvocationOutcome::NotInvoked), now);
        now = wait(&waiting).unwrap();
        actions = shard.handle(Input::TimePassed, now);
    }
    assert!(now > START + age);
    assert_eq!(discards(&actions)[0].reason, DiscardReason::RecordAgeExceeded);
    assert_eq!(discards(&actions)[0].invocations, 0);
}

// "Lambda parameters for Amazon DynamoDB event source mappings": without a maximum age, the limit is
// the stream's retention period of 24 hours.
// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html
#[test]
fn without_limits_a_batch_is_retried_until_its_records_expire() {
    let mut shard = shard(MappingSettings::default());
    let actions = shard.handle(fetched(["a"]), START);
    let day = Duration::from_secs(24 * 60 * 60);
    let actions =
        shard.handle(completed(invoked(&actions)[0], InvocationOutcome::FunctionError), START + day);
    let actions = shard.handle(Input::TimePassed, wait(&actions).unwrap());
    assert_eq!(discards(&actions)[0].reason, DiscardReason::RecordAgeExceeded);
    assert_eq!(discards(&actions)[0].invocations, 1);
}

// Both pages: bisecting isolates a bad record, and splits do not consume the retry quota. The first
// half is processed before the second, because a shard keeps its order.
#[test]
fn bisect_isolates_a_bad_record_and_the_others_succeed_in_order() {
    let mut shard = shard(bisect(1));
    let actions = shard.handle(fetched(["a", "b", "c", "d", "e"]), START);
    let (invocations, discarded_records) = run(&mut shard, actions, "3");
    let expected: [&[&str]; 6] =
        [&["1", "2", "3", "4", "5"], &["1", "2"], &["3", "4", "5"], &["3"], &["3"], &["4", "5"]];
    assert_eq!(invocations, expected);
    assert_eq!(discarded_records, [["3"]]);
}

// The same pages: splits do not consume the retry quota, so a batch is split without any.
#[test]
fn bisect_splits_without_any_retry_attempts() {
    let mut shard = shard(bisect(0));
    let actions = shard.handle(fetched(["a", "b"]), START);
    let (invocations, discarded_records) = run(&mut shard, actions, "2");
    let expected: [&[&str]; 3] = [&["1", "2"], &["1"], &["2"]];
    assert_eq!(invocations, expected);
    assert_eq!(discarded_records, [["2"]]);
}

// "Configuring partial batch response with Kinesis Data Streams and Lambda", section "Bisecting a
// batch": a function error halves the batch, also with ReportBatchItemFailures. A partial success
// splits the batch at the reported record, and Lambda retries from that record on.
// https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
#[test]
fn with_bisect_a_report_splits_at_its_record_and_an_error_in_the_middle() {
    let mut shard = shard(MappingSettings { report_batch_item_failures: true, ..bisect(0) });
    let actions = shard.handle(fetched(["a", "b", "c", "d", "e"]), START);
    let actions = shard.handle(completed(invoked(&actions)[0], failed_from("2")), START);
    assert_eq!(checkpoint(&actions), Some("1"));
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["2", "3", "4", "5"], "at once and uncounted");

    let actions = shard.handle(completed(invoked(&actions)[0], InvocationOutcome::FunctionError), START);
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["2", "3"]);
    let actions = shard.handle(completed(invoked(&actions)[0], failed_from("2")), START);
    assert_eq!(
        discards(&actions)[0].sequence_numbers,
        ["2", "3"],
        "without progress the failure counts and the batch is not halved"
    );
    let actions = shard.handle(discarded(discards(&actions)[0], true), START);
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["4", "5"]);
}

// "How Lambda processes records from stream and queue-based event sources": order is kept per key, so
// a key group that is being discarded does not block another.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
#[test]
fn a_key_group_that_is_being_discarded_blocks_no_other() {
    let mut shard = shard(MappingSettings { batch_size: 1, parallelization_factor: 10, ..retries(0) });
    let actions = shard.handle(fetched(["a", "b", "a", "b"]), START);
    let [a, b] = invoked(&actions)[..] else { panic!("a and b are in different key groups") };
    let actions = shard.handle(completed(a, InvocationOutcome::FunctionError), START);
    let discard = discards(&actions)[0].clone();
    let actions = shard.handle(completed(b, success()), START);
    assert_eq!(invoked(&actions).len(), 1);
    let actions = shard.handle(discarded(&discard, true), START);
    assert_eq!(invoked(&actions).len(), 1);
}
