//! DynamoDB Streams.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use aws_sdk_dynamodbstreams::types::{AttributeValue, Record as Change};

use crate::world::{World, item, n, s};

/// The kind of a change, and the attribute `n` before and after it.
type Summary<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

fn summaries(changes: &[Change]) -> Vec<Summary<'_>> {
    fn number(image: &Option<HashMap<String, AttributeValue>>) -> Option<&str> {
        Some(image.as_ref()?["n"].as_n().unwrap())
    }
    fn summary(change: &Change) -> Summary<'_> {
        let data = change.dynamodb.as_ref().unwrap();
        let kind = change.event_name.as_ref().unwrap().as_str();
        (kind, number(&data.old_image), number(&data.new_image))
    }
    changes.iter().map(summary).collect()
}

pub async fn every_write_appears_once_in_order(world: &World) {
    let table = world.table().await;
    for number in 1..=3 {
        world.put(&table, item("1", [("n", n(number))])).await;
    }
    let update = world.dynamodb.update_item().table_name(&table).key("id", s("1"));
    let update = update.update_expression("SET n = n + :1").expression_attribute_values(":1", n(1));
    update.send().await.unwrap();
    world.dynamodb.delete_item().table_name(&table).key("id", s("1")).send().await.unwrap();
    let expected = [
        ("INSERT", None, Some("1")),
        ("MODIFY", Some("1"), Some("2")),
        ("MODIFY", Some("2"), Some("3")),
        ("MODIFY", Some("3"), Some("4")),
        ("REMOVE", Some("4"), None),
    ];
    assert_eq!(summaries(&world.changes(&table, expected.len()).await), expected);
}

pub async fn a_statements_write_appears(world: &World) {
    let table = world.table().await;
    for statement in [
        format!("INSERT INTO \"{table}\" VALUE {{'id': '1', 'n': 1}}"),
        format!("UPDATE \"{table}\" SET \"n\"=2 WHERE \"id\"='1'"),
    ] {
        world.dynamodb.execute_statement().statement(statement).send().await.unwrap();
    }
    world.put(&table, item("1", [("n", n(3))])).await;
    let expected =
        [("INSERT", None, Some("1")), ("MODIFY", Some("1"), Some("2")), ("MODIFY", Some("2"), Some("3"))];
    assert_eq!(summaries(&world.changes(&table, expected.len()).await), expected);
}

pub async fn a_transactions_writes_appear(world: &World) {
    let table = world.table().await;
    let put = |id: &str| {
        let put = Put::builder().table_name(&table).set_item(Some(item(id, [("n", n(1))])));
        TransactWriteItem::builder().put(put.build().unwrap()).build()
    };
    let transact = world.dynamodb.transact_write_items().transact_items(put("1")).transact_items(put("2"));
    transact.send().await.unwrap();
    assert_eq!(summaries(&world.changes(&table, 2).await), [("INSERT", None, Some("1")); 2]);
}

pub async fn a_put_that_changes_nothing_does_not_appear(world: &World) {
    let table = world.table().await;
    for number in [1, 1, 2] {
        world.put(&table, item("1", [("n", n(number))])).await;
    }
    let expected = [("INSERT", None, Some("1")), ("MODIFY", Some("1"), Some("2"))];
    assert_eq!(summaries(&world.changes(&table, 2).await), expected);
}

pub async fn a_change_can_be_read_again(world: &World) {
    let table = world.table().await;
    for id in ["1", "2", "3"] {
        world.put(&table, item(id, [("n", n(1))])).await;
    }
    let first = world.changes(&table, 3).await;
    assert_eq!(first.len(), 3);
    assert_eq!(world.changes(&table, 3).await, first);
}
