//! Kinesis Data Streams.

use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::operation::put_record::PutRecordOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use crate::world::World;

/// The errors with which Kinesis refuses a request over its limits.
const REFUSALS: [Option<&str>; 2] = [Some("ValidationException"), Some("InvalidArgumentException")];

fn entry(key: &str, data: &str) -> PutRecordsRequestEntry {
    let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data));
    entry.build().unwrap()
}

pub async fn records_of_a_key_are_in_one_shard_in_order(world: &World) {
    let stream = world.stream(2).await;
    let records: Vec<_> = (0..20).map(|number| ("key", number.to_string())).collect();
    let put = world.put_records(&stream, &records).await;
    let shard = &put[0].shard_id;
    assert!(put.iter().all(|answer| answer.shard_id == *shard), "{put:?}");
    // Sequence numbers are decimal text: a longer one is larger.
    let number = |answer: &PutRecordOutput| (answer.sequence_number.len(), answer.sequence_number.clone());
    assert!(put.is_sorted_by_key(number), "{put:?}");
    let (read, _) = world.read(&stream, shard, records.len()).await;
    let read: Vec<_> = read.iter().map(|record| record.sequence_number()).collect();
    let put: Vec<_> = put.iter().map(|answer| answer.sequence_number()).collect();
    assert_eq!(read, put);
}

pub async fn put_records_answers_by_position(world: &World) {
    let stream = world.stream(2).await;
    let data: Vec<_> = (0..10).map(|number: u32| number.to_string()).collect();
    let entries = data.iter().map(|data| entry(data, data)).collect();
    let put = world.kinesis.put_records().stream_name(&stream).set_records(Some(entries));
    let output = put.send().await.unwrap();
    assert_eq!((output.failed_record_count, output.records.len()), (Some(0), data.len()));
    for (answer, data) in output.records.iter().zip(&data) {
        let iterator = world.kinesis.get_shard_iterator().stream_name(&stream);
        let iterator = iterator.shard_id(answer.shard_id.as_ref().unwrap());
        let iterator = iterator.shard_iterator_type("AT_SEQUENCE_NUMBER".into());
        let iterator = iterator.starting_sequence_number(answer.sequence_number.as_ref().unwrap());
        let mut next = iterator.send().await.unwrap().shard_iterator;
        let record = world.until("the record", async || {
            let read = world.kinesis.get_records().shard_iterator(next.take()?).send().await.unwrap();
            next = read.next_shard_iterator;
            read.records.into_iter().next()
        });
        assert_eq!(record.await.data.as_ref(), data.as_bytes());
    }
}

pub async fn more_than_500_records_are_refused(world: &World) {
    let stream = world.stream(1).await;
    let entries = (0..501).map(|key: u32| entry(&key.to_string(), "x")).collect();
    let put = world.kinesis.put_records().stream_name(&stream).set_records(Some(entries));
    let error = put.send().await.unwrap_err();
    assert!(REFUSALS.contains(&error.code()), "{error:?}");
}

pub async fn a_record_above_1_mib_is_refused(world: &World) {
    let stream = world.stream(1).await;
    let put = async |bytes: usize| {
        let put = world.kinesis.put_record().stream_name(&stream).partition_key("1");
        put.data(Blob::new(vec![b'x'; bytes])).send().await
    };
    // The key counts too.
    put((1 << 20) - 1).await.unwrap();
    let error = put((1 << 20) + 1).await.unwrap_err();
    assert!(REFUSALS.contains(&error.code()), "{error:?}");
}

pub async fn a_split_shard_can_still_be_read(world: &World) {
    let stream = world.stream(1).await;
    world.put_records(&stream, &[("1", "before".to_owned()), ("2", "before".to_owned())]).await;
    let shards = world.kinesis.list_shards().stream_name(&stream).send().await.unwrap();
    let parent = shards.shards()[0].shard_id.clone();
    let split = world.kinesis.split_shard().stream_name(&stream).shard_to_split(&parent);
    split.new_starting_hash_key((1_u128 << 127).to_string()).send().await.unwrap();
    world.until_active(&stream).await;
    world.put_records(&stream, &[("1", "after".to_owned())]).await;

    let shards = world.kinesis.list_shards().stream_name(&stream).send().await.unwrap();
    let children: Vec<_> =
        shards.shards().iter().filter(|shard| shard.parent_shard_id.as_ref() == Some(&parent)).collect();
    assert_eq!(children.len(), 2, "{shards:?}");
    let (read, is_closed) = world.read(&stream, &parent, 2).await;
    assert!(read.len() == 2 && read.iter().all(|record| record.data.as_ref() == b"before"), "{read:?}");
    assert!(is_closed, "the parent has no end");
}
