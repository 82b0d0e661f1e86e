//! Lambda's event source mappings. Each invokes the function `tests/support/scripted`.

use aws_sdk_lambda::types::{
    DestinationConfig, EventSourcePosition, Filter, FilterCriteria, FunctionResponseType, OnFailure,
};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use serde_json::{Value, json};

use crate::world::{Entry, Queue, World, item, s, script, seconds};

/// A number of failures that no retry reaches.
const ALWAYS: u32 = 1000;

/// The visibility time-out of a queue, in seconds: no less than the function's time-out.
const VISIBILITY_S: u32 = 5;

/// How many times the function saw a record.
fn times(entries: &[Entry], n: u32) -> usize {
    entries.iter().flat_map(|entry| &entry.seen).filter(|seen| seen.n == n).count()
}

fn on_failure(queue: &Queue) -> DestinationConfig {
    DestinationConfig::builder().on_failure(OnFailure::builder().destination(&queue.arn).build()).build()
}

pub async fn only_reported_messages_are_redelivered(world: &World) {
    let (queue, journal) = (world.queue(VISIBILITY_S).await, world.queue(30).await);
    let messages = (0..4).map(|n| {
        let body = script(&journal, n, if n == 1 { json!({ "fail": 1 }) } else { json!({}) });
        SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(body).build().unwrap()
    });
    let send = world.sqs.send_message_batch().queue_url(&queue.url);
    send.set_entries(Some(messages.collect())).send().await.unwrap();
    let mapping = world.mapping(&queue.arn).await.batch_size(10);
    world.create(mapping.function_response_types(FunctionResponseType::ReportBatchItemFailures)).await;
    let entries = world.journal(&journal, |entries| times(entries, 1) == 2).await;
    seconds(2).await;
    assert_eq!(world.receive(&journal, 1).await, None);
    assert_eq!([0, 1, 2, 3].map(|n| times(&entries, n)), [1, 2, 1, 1]);
}

pub async fn a_body_arrives_byte_for_byte(world: &World) {
    let (queue, journal) = (world.queue(VISIBILITY_S).await, world.queue(30).await);
    let odd = r#" { "b":1 , "a" : 1.0,"a":2,	"text":"é \u00e9 \/ 😀" ,"#;
    let body = format!("{odd}\n\"n\":1,\"journal\":\"{}\"}} ", journal.url);
    world.send(&queue, &body).await;
    world.create(world.mapping(&queue.arn).await).await;
    let entries = world.journal(&journal, |entries| times(entries, 1) > 0).await;
    assert_eq!(entries[0].seen[0].text, body);
}

/// Asserts that each invocation begins at the first failure of the previous one, or else after it.
fn assert_nothing_skipped(entries: &[Entry], last: u32) {
    let mut next = 1;
    for entry in entries {
        let expected: Vec<u32> = (next..).take(entry.seen.len()).collect();
        assert_eq!(entry.numbers(), expected, "{entries:?}");
        let failed = if entry.error { Some(next) } else { entry.failed.iter().min().copied() };
        next = failed.unwrap_or(next + expected.len() as u32);
    }
    assert_eq!(next, last + 1);
}

/// Whether the last record has succeeded.
fn is_complete(entries: &[Entry], last: u32) -> bool {
    entries
        .last()
        .is_some_and(|entry| !entry.error && entry.failed.is_empty() && entry.numbers().contains(&last))
}

pub async fn a_batch_is_retried_from_its_lowest_failure(world: &World) {
    let (stream, journal) = (world.stream(1).await, world.queue(30).await);
    let records = (1..=6).map(|n| {
        let fail = [0, 0, 1, 0, 2, 0][n as usize - 1];
        ("key", script(&journal, n, json!({ "fail": fail })))
    });
    world.put_records(&stream, &records.collect::<Vec<_>>()).await;
    let mapping = world.mapping(&world.kinesis_arn(&stream).await).await;
    let mapping = mapping.starting_position(EventSourcePosition::TrimHorizon);
    world.create(mapping.function_response_types(FunctionResponseType::ReportBatchItemFailures)).await;
    let entries = world.journal(&journal, |entries| is_complete(entries, 6)).await;
    assert_nothing_skipped(&entries, 6);
}

/// The first and last sequence number of the records that the mapping gave up, from its report.
fn given_up(message: &str) -> (Value, Value) {
    let message: Value = serde_json::from_str(message).unwrap();
    let batch = &message["KinesisBatchInfo"];
    assert!(batch["shardId"].as_str().is_some_and(|id| id.starts_with("shardId-")), "{message}");
    (batch["startSequenceNumber"].clone(), batch["endSequenceNumber"].clone())
}

pub async fn a_batch_is_given_up_as_metadata(world: &World) {
    let (stream, journal, failures) = (world.stream(1).await, world.queue(30).await, world.queue(30).await);
    let records = [1, 2, 3].map(|n| {
        let error = if n == 1 { ALWAYS } else { 0 };
        ("key", script(&journal, n, json!({ "error": error })))
    });
    let put = world.put_records(&stream, &records).await;
    let mapping = world.mapping(&world.kinesis_arn(&stream).await).await.batch_size(2);
    let mapping = mapping.starting_position(EventSourcePosition::TrimHorizon).maximum_retry_attempts(1);
    world.create(mapping.destination_config(on_failure(&failures))).await;
    let entries = world.journal(&journal, |entries| is_complete(entries, 3)).await;
    let batch = entries[0].numbers();
    let last = batch.len();
    let behind: Vec<_> = entries[2..].iter().flat_map(Entry::numbers).collect();
    assert_eq!((entries[1].numbers(), behind), (batch, (last as u32 + 1..=3).collect()), "{entries:?}");
    let message = world.message(&failures).await.body.unwrap();
    let numbers = [1, last].map(|n| Value::from(put[n - 1].sequence_number.as_str()));
    assert_eq!(given_up(&message), numbers.into());
    assert!(!message.contains("journal"), "the report has the payload: {message}");
}

pub async fn bisect_gives_up_the_poison_record_alone(world: &World) {
    let (stream, journal, failures) = (world.stream(1).await, world.queue(30).await, world.queue(30).await);
    let records = (1..=8).map(|n| {
        let error = if n == 5 { ALWAYS } else { 0 };
        ("key", script(&journal, n, json!({ "error": error })))
    });
    let put = world.put_records(&stream, &records.collect::<Vec<_>>()).await;
    let mapping = world.mapping(&world.kinesis_arn(&stream).await).await;
    let mapping = mapping.starting_position(EventSourcePosition::TrimHorizon).maximum_retry_attempts(1);
    let mapping = mapping.bisect_batch_on_function_error(true);
    world.create(mapping.destination_config(on_failure(&failures))).await;
    let message = world.message(&failures).await.body.unwrap();
    let poison = Value::from(put[4].sequence_number.as_str());
    assert_eq!(given_up(&message), (poison.clone(), poison));
    let succeeded =
        |entries: &[Entry], n| entries.iter().any(|entry| !entry.error && entry.numbers().contains(&n));
    let others = [1, 2, 3, 4, 6, 7, 8];
    world.journal(&journal, |entries| others.iter().all(|n| succeeded(entries, *n))).await;
}

pub async fn batches_of_a_shard_run_concurrently(world: &World) {
    // Few: a local AWS that runs one batch after the other looks at all of its mappings in between.
    const KEYS: [&str; 4] = ["0", "1", "2", "3"];
    let (stream, journal) = (world.stream(1).await, world.queue(30).await);
    let record = |n| (KEYS[n as usize % 4], script(&journal, n, json!({ "sleep": 200 })));
    world.put_records(&stream, &(0..12).map(record).collect::<Vec<_>>()).await;
    let mapping = world.mapping(&world.kinesis_arn(&stream).await).await.batch_size(1);
    let mapping = mapping.starting_position(EventSourcePosition::TrimHorizon);
    world.create(mapping.parallelization_factor(10)).await;
    let entries = world.journal(&journal, |entries| entries.len() >= 12).await;
    for key in 0..4 {
        let of_key: Vec<&Entry> = entries.iter().filter(|entry| entry.seen[0].n % 4 == key).collect();
        let seen: Vec<_> = of_key.iter().map(|entry| entry.seen[0].n).collect();
        assert_eq!(seen, [key, key + 4, key + 8]);
        assert!(of_key.windows(2).all(|pair| pair[0].ended <= pair[1].began), "{of_key:?}");
    }
    let overlap = entries.windows(2).any(|pair| pair[1].began < pair[0].ended);
    assert!(overlap, "one after another: {entries:?}");
}

pub async fn a_filter_passes_only_what_matches(world: &World) {
    let (table, journal) = (world.table().await, world.queue(30).await);
    for (n, change) in [(1, "dispatch"), (2, "mark"), (3, "dispatch"), (4, "mark")] {
        let does = s(script(&journal, n, json!({})));
        world.put(&table, item("1", [("change", s(change)), ("do", does)])).await;
    }
    world.dynamodb.delete_item().table_name(&table).key("id", s("1")).send().await.unwrap();
    world
        .put(&table, item("1", [("change", s("dispatch")), ("do", s(script(&journal, 5, json!({}))))]))
        .await;
    let pattern = json!({ "dynamodb": { "NewImage": { "change": { "S": ["dispatch"] } } } });
    let filter = Filter::builder().pattern(pattern.to_string()).build();
    let mapping = world.mapping(&world.stream_arn(&table).await).await;
    let mapping = mapping.starting_position(EventSourcePosition::TrimHorizon);
    world.create(mapping.filter_criteria(FilterCriteria::builder().filters(filter).build())).await;
    let entries = world.journal(&journal, |entries| is_complete(entries, 5)).await;
    let seen: Vec<_> = entries.iter().flat_map(Entry::numbers).collect();
    assert_eq!(seen, [1, 3, 5]);
}

pub async fn a_failed_batch_of_changes_is_retried_in_order(world: &World) {
    let (table, journal) = (world.table().await, world.queue(30).await);
    for n in 1..=4 {
        let does = if n == 2 { json!({ "fail": 1 }) } else { json!({}) };
        world.put(&table, item("1", [("do", s(script(&journal, n, does)))])).await;
    }
    let mapping = world.mapping(&world.stream_arn(&table).await).await;
    let mapping = mapping.starting_position(EventSourcePosition::TrimHorizon);
    world.create(mapping.function_response_types(FunctionResponseType::ReportBatchItemFailures)).await;
    let entries = world.journal(&journal, |entries| is_complete(entries, 4)).await;
    assert_nothing_skipped(&entries, 4);
}
