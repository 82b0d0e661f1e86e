//! What becomes of records that fail.
//!
//! Where nothing else is named, the page is "Retain discarded batch records for a Kinesis Data
//! Streams event source in Lambda",
//! <https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>, and "Retain
//! discarded records for a DynamoDB event source in Lambda",
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html>.

use super::*;

fn retries(most: u32) -> Settings {
    Settings { maximum_retry_attempts: Some(most), ..Settings::default() }
}

fn bisect(most: u32) -> Settings {
    Settings { bisect_batch_on_function_error: true, ..retries(most) }
}

fn max_age(age: Duration) -> Settings {
    Settings { maximum_record_age: Some(age), ..Settings::default() }
}

fn discards(actions: &[Action]) -> Vec<&Discard> {
    let discards = actions.iter().filter_map(|action| match action {
        Action::Discard(discard) => Some(discard),
        _ => None,
    });
    discards.collect()
}

fn discarded(discard: &Discard, written: bool) -> Event {
    Event::Discarded { batch: discard.id, written }
}

/// The function gets the first batch of `actions` and fails, and so with every retry, until the
/// shard does something else.
fn fail_until_given_up(shard: &mut Shard, mut actions: Vec<Action>, answer: &Answer) -> (u32, Vec<Action>) {
    let mut invocations = 0;
    while let [batch] = invoked(&actions)[..] {
        invocations += 1;
        actions = shard.handle(answered(batch, answer.clone()), START);
        if let Some(time) = wait(&actions) {
            actions = shard.handle(Event::TimePassed, time);
        }
    }
    (invocations, actions)
}

/// Answers all that is asked for until the shard rests: the function fails whole batches that
/// hold a poisonous record. Returns each invocation's records and each discard's.
fn run(shard: &mut Shard, mut actions: Vec<Action>, poison: &str) -> (Vec<Vec<String>>, Vec<Vec<String>>) {
    let (mut invocations, mut given_up) = (Vec::new(), Vec::new());
    loop {
        let event = if let [batch] = invoked(&actions)[..] {
            invocations.push(batch.sequence_numbers.clone());
            let fails = batch.sequence_numbers.iter().any(|number| number == poison);
            answered(batch, if fails { Answer::FunctionError } else { success() })
        } else if let [discard] = discards(&actions)[..] {
            given_up.push(discard.sequence_numbers.clone());
            discarded(discard, true)
        } else if wait(&actions).is_some() {
            Event::TimePassed
        } else {
            return (invocations, given_up);
        };
        let now = wait(&actions).unwrap_or(START);
        actions = shard.handle(event, now);
    }
}

// "During invocation": after MaximumRetryAttempts the batch is given up, and the shard goes on.
#[test]
fn a_batch_is_invoked_once_and_retried_maximum_retry_attempts_times() {
    let mut shard = shard(Settings { batch_size: 2, ..retries(2) });
    let actions = shard.handle(fetched(["a", "b", "c"]), START);
    let (invocations, actions) = fail_until_given_up(&mut shard, actions, &Answer::FunctionError);
    assert_eq!(invocations, 3);
    let discard = discards(&actions)[0];
    assert_eq!(discard.sequence_numbers, ["1", "2"]);
    assert_eq!(discard.reason, Reason::RetryAttemptsExhausted { function_error: true });
    assert_eq!(discard.invocations, 3);
    assert_eq!(checkpoint(&actions), None, "not before the destination knows");

    let actions = shard.handle(discarded(discard, true), START);
    assert_eq!(checkpoint(&actions), Some("2"));
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["3"]);
    assert_eq!(invoked(&actions)[0].attempt, 1);
}

// "Configuring partial batch response with Kinesis Data Streams and Lambda", section "Success and
// failure conditions": reported failures are retried by the mapping's strategy. What succeeded
// before them is not given up with them.
// https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
#[test]
fn what_is_given_up_after_reports_begins_with_the_reported_record() {
    let mut shard = shard(Settings { report_batch_item_failures: true, ..retries(2) });
    let actions = shard.handle(fetched(["a", "b", "c"]), START);
    let (invocations, actions) = fail_until_given_up(&mut shard, actions, &failed_from("2"));
    assert_eq!(invocations, 3);
    assert_eq!(discards(&actions)[0].sequence_numbers, ["2", "3"]);
    assert_eq!(discards(&actions)[0].reason, Reason::RetryAttemptsExhausted { function_error: false });
}

// AWS does not say what follows when the destination cannot be written. Nothing is lost here: the
// records stay, and it is written later. The function does not get them again.
#[test]
fn while_the_destination_cannot_be_written_the_records_are_kept() {
    let mut shard = shard(retries(0));
    let actions = shard.handle(fetched(["a"]), START);
    let (_, mut actions) = fail_until_given_up(&mut shard, actions, &Answer::FunctionError);
    let discard = discards(&actions)[0].clone();
    for pause in [BACKOFF_FIRST, BACKOFF_FIRST * 2] {
        actions = shard.handle(discarded(&discard, false), START);
        assert_eq!(checkpoint(&actions), None);
        assert_eq!(wait(&actions), Some(START + pause));
        actions = shard.handle(Event::TimePassed, START + pause);
        assert_eq!(discards(&actions), [&discard]);
        assert!(invoked(&actions).is_empty());
    }
    let actions = shard.handle(discarded(&discard, true), START);
    assert_eq!(checkpoint(&actions), Some("1"));
}

// "AWS Lambda Supports Failure-Handling Features for Kinesis and DynamoDB Event Sources": a record
// that has reached the age is skipped; the function gets the younger ones.
// https://aws.amazon.com/about-aws/whats-new/2019/11/aws-lambda-supports-failure-handling-features-for-kinesis-and-dynamodb-event-sources/
#[test]
fn the_records_that_are_too_old_are_given_up_and_the_others_delivered() {
    let mut shard = shard(max_age(Duration::from_secs(60)));
    let ages_s = [90, 61, 60, 5];
    let aged = records(["a", "b", "c", "d"]).into_iter().zip(ages_s);
    let records = aged.map(|(record, age)| record.arrived_at(Some(START - Duration::from_secs(age))));
    let event = Event::Fetched { records: records.collect(), closed: false };
    let actions = shard.handle(event, START);
    let discard = discards(&actions)[0];
    assert_eq!(discard.sequence_numbers, ["1", "2"]);
    assert_eq!(discard.reason, Reason::RecordAgeExceeded);
    assert_eq!(discard.invocations, 0);
    assert_eq!(discard.first_arrived_at, START - Duration::from_secs(90));
    assert_eq!(discard.last_arrived_at, START - Duration::from_secs(61));
    assert!(invoked(&actions).is_empty());

    let actions = shard.handle(discarded(discard, true), START);
    assert_eq!(checkpoint(&actions), Some("2"));
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["3", "4"]);
}

// "Before invocation": throttles are retried until the records are too old, whatever
// MaximumRetryAttempts.
#[test]
fn a_throttled_batch_is_retried_until_its_records_are_too_old() {
    let age = Duration::from_secs(60);
    let mut shard = shard(Settings { maximum_record_age: Some(age), ..bisect(1) });
    let mut actions = shard.handle(fetched(["a", "b"]), START);
    let mut now = START;
    while let [batch] = invoked(&actions)[..] {
        assert_eq!((batch.attempt, batch.sequence_numbers.len()), (1, 2));
        assert!(now <= START + age);
        let waiting = shard.handle(answered(batch, Answer::NotInvoked), now);
        now = wait(&waiting).unwrap();
        actions = shard.handle(Event::TimePassed, now);
    }
    assert!(now > START + age);
    assert_eq!(discards(&actions)[0].reason, Reason::RecordAgeExceeded);
    assert_eq!(discards(&actions)[0].invocations, 0);
}

// "Lambda parameters for Amazon DynamoDB event source mappings": without a maximum age the
// stream's 24 hours are the limit.
// https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html
#[test]
fn without_limits_a_batch_is_retried_until_its_records_expire() {
    let mut shard = shard(Settings::default());
    let actions = shard.handle(fetched(["a"]), START);
    let day = Duration::from_secs(24 * 60 * 60);
    let actions = shard.handle(answered(invoked(&actions)[0], Answer::FunctionError), START + day);
    let actions = shard.handle(Event::TimePassed, wait(&actions).unwrap());
    assert_eq!(discards(&actions)[0].reason, Reason::RecordAgeExceeded);
    assert_eq!(discards(&actions)[0].invocations, 1);
}

// Both pages: bisect isolates a bad record, and splits take nothing from the quota. That the first
// half is done with before the second begins follows from the order that a shard keeps.
#[test]
fn bisect_isolates_a_bad_record_and_the_others_go_through_in_order() {
    let mut shard = shard(bisect(1));
    let actions = shard.handle(fetched(["a", "b", "c", "d", "e"]), START);
    let (invocations, given_up) = run(&mut shard, actions, "3");
    let expected: [&[&str]; 6] =
        [&["1", "2", "3", "4", "5"], &["1", "2"], &["3", "4", "5"], &["3"], &["3"], &["4", "5"]];
    assert_eq!(invocations, expected);
    assert_eq!(given_up, [["3"]]);
}

// The same, where the retries are none: still split, or bisect would do nothing.
#[test]
fn bisect_splits_without_any_retry_attempts() {
    let mut shard = shard(bisect(0));
    let actions = shard.handle(fetched(["a", "b"]), START);
    let (invocations, given_up) = run(&mut shard, actions, "2");
    let expected: [&[&str]; 3] = [&["1", "2"], &["1"], &["2"]];
    assert_eq!(invocations, expected);
    assert_eq!(given_up, [["2"]]);
}

// "Configuring partial batch response with Kinesis Data Streams and Lambda", section "Bisecting a
// batch": an error halves the batch though the mapping has ReportBatchItemFailures; a partial
// success splits it where the report says, and only what follows is retried.
// https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
#[test]
fn with_bisect_a_report_splits_where_it_says_and_an_error_in_the_middle() {
    let mut shard = shard(Settings { report_batch_item_failures: true, ..bisect(0) });
    let actions = shard.handle(fetched(["a", "b", "c", "d", "e"]), START);
    let actions = shard.handle(answered(invoked(&actions)[0], failed_from("2")), START);
    assert_eq!(checkpoint(&actions), Some("1"));
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["2", "3", "4", "5"], "at once, and uncounted");

    let actions = shard.handle(answered(invoked(&actions)[0], Answer::FunctionError), START);
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["2", "3"]);
    let actions = shard.handle(answered(invoked(&actions)[0], failed_from("2")), START);
    assert_eq!(discards(&actions)[0].sequence_numbers, ["2", "3"], "no progress counts, and is not halved");
    let actions = shard.handle(discarded(discards(&actions)[0], true), START);
    assert_eq!(invoked(&actions)[0].sequence_numbers, ["4", "5"]);
}

// "How Lambda processes records from stream and queue-based event sources": order is kept per key.
// A lane that is at its destination holds up no other.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
#[test]
fn a_lane_that_is_given_up_holds_up_no_other() {
    let mut shard = shard(Settings { batch_size: 1, parallelization_factor: 10, ..retries(0) });
    let actions = shard.handle(fetched(["a", "b", "a", "b"]), START);
    let [a, b] = invoked(&actions)[..] else { panic!("a and b share no lane") };
    let actions = shard.handle(answered(a, Answer::FunctionError), START);
    let discard = discards(&actions)[0].clone();
    let actions = shard.handle(answered(b, success()), START);
    assert_eq!(invoked(&actions).len(), 1);
    let actions = shard.handle(discarded(&discard, true), START);
    assert_eq!(invoked(&actions).len(), 1);
}
