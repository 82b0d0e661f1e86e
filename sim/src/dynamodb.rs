//! DynamoDB: dynoxide, and what AWS does otherwise.

use std::sync::Arc;

use dynoxide::storage_backend::Clock;
use dynoxide::{Database, DynoxideError};
use serde_json::{Value, json};

use crate::time::Time;

/// The tables of a simulated AWS.
#[derive(Clone)]
pub struct DynamoDb(Database);

struct Now(Time);

impl Clock for Now {
    fn now_unix_secs(&self) -> u64 {
        self.0.now_ms() / 1_000
    }

    fn now_unix_secs_f64(&self) -> f64 {
        self.0.now_ms() as f64 / 1_000.0
    }
}

/// What it answers: a status of HTTP, and JSON.
pub type Answer = (u16, String);

impl DynamoDb {
    /// None but these tables: name, key, sort key, and whether it has a stream.
    pub fn new(time: Time, tables: &[(&str, &str, Option<&str>, bool)]) -> DynamoDb {
        let it = DynamoDb(Database::memory_with_clock(Arc::new(Now(time))).expect("a database in memory"));
        for (name, key, sort, stream) in tables {
            let keys = [Some(*key), *sort].into_iter().flatten();
            let schema = keys.clone().zip(["HASH", "RANGE"]);
            let request = json!({
                "TableName": name,
                "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": schema.map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind})).collect::<Vec<_>>(),
                "AttributeDefinitions": keys.map(|name| json!({"AttributeName": name, "AttributeType": "S"})).collect::<Vec<_>>(),
                "StreamSpecification": { "StreamEnabled": stream, "StreamViewType": "NEW_AND_OLD_IMAGES" },
            });
            let mut request = request;
            if !stream {
                request.as_object_mut().expect("an object").remove("StreamSpecification");
            }
            let (status, answer) = it.call("CreateTable", request.to_string().as_bytes());
            assert_eq!(status, 200, "{answer}");
        }
        it
    }

    /// Answers a request of DynamoDB's or DynamoDB Streams' protocol, at once.
    pub fn call(&self, operation: &str, body: &[u8]) -> Answer {
        let body = match operation {
            "BatchExecuteStatement" => &*terms_without_quotes(body),
            _ => body,
        };
        macro_rules! operations {
            ($($name:literal => $method:ident),* $(,)?) => {
                match operation {
                    $($name => serde_json::from_slice(body)
                        .map_err(|error| DynoxideError::ValidationException(error.to_string()))
                        .and_then(|request| self.0.$method(request))
                        .map(|answer| serde_json::to_string(&answer).expect("JSON")),)*
                    _ => panic!("the simulated DynamoDB has no {operation}"),
                }
            };
        }
        let result = operations! {
            "BatchExecuteStatement" => batch_execute_statement,
            "CreateTable" => create_table,
            "DescribeStream" => describe_stream,
            "DescribeTable" => describe_table,
            "GetItem" => get_item,
            "GetRecords" => get_records,
            "GetShardIterator" => get_shard_iterator,
            "PutItem" => put_item,
            "Scan" => scan,
            "TransactWriteItems" => transact_write_items,
            "UpdateItem" => update_item,
        };
        match result {
            Ok(answer) => (200, answer),
            Err(error) => (error.status_code(), error.to_json()),
        }
    }

    /// Every item of a table.
    pub fn items(&self, table: &str) -> Vec<Value> {
        let answer = self.ask("Scan", &json!({ "TableName": table }));
        answer["Items"].as_array().cloned().unwrap_or_default()
    }

    /// Puts an item, past every condition.
    pub fn put(&self, table: &str, item: Value) {
        self.ask("PutItem", &json!({ "TableName": table, "Item": item }));
    }

    /// An iterator at the beginning of a table's stream.
    pub fn stream(&self, table: &str) -> String {
        let table = self.ask("DescribeTable", &json!({ "TableName": table }));
        let arn = &table["Table"]["LatestStreamArn"];
        let stream = self.ask("DescribeStream", &json!({ "StreamArn": arn }));
        let shard = &stream["StreamDescription"]["Shards"][0]["ShardId"];
        let request = json!({ "StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
        text(&self.ask("GetShardIterator", &request)["ShardIterator"])
    }

    /// The changes that follow, as Lambda passes them on, and where to go on. A write that changes
    /// nothing is none, as on AWS.
    pub fn changes(&self, iterator: &str) -> (Vec<Value>, String) {
        let mut answer = self.ask("GetRecords", &json!({ "ShardIterator": iterator }));
        let changes: Vec<Value> = answer["Records"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let changes =
            changes.into_iter().filter(|it| it["dynamodb"]["NewImage"] != it["dynamodb"]["OldImage"]);
        let changes = changes.map(|mut change| {
            // dynoxide draws it.
            change["eventID"] = change["dynamodb"]["SequenceNumber"].clone();
            change
        });
        (changes.collect(), text(&answer["NextShardIterator"]))
    }

    fn ask(&self, operation: &str, request: &Value) -> Value {
        let (status, answer) = self.call(operation, request.to_string().as_bytes());
        assert_eq!(status, 200, "{operation}: {answer}");
        serde_json::from_str(&answer).expect("JSON")
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// dynoxide takes a name on the right of SET only without quotes: `"open"="open"-1`.
fn terms_without_quotes(body: &[u8]) -> Vec<u8> {
    let mut request: Value = serde_json::from_slice(body).expect("JSON");
    for statement in request["Statements"].as_array_mut().into_iter().flatten() {
        let text = statement["Statement"].as_str().expect("a statement");
        let mut parts = text.split("=\"");
        let mut unquoted = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            match part.split_once('"') {
                Some((name, rest)) if rest.starts_with(['+', '-']) => unquoted += &format!("={name}{rest}"),
                _ => unquoted += &format!("=\"{part}"),
            }
        }
        statement["Statement"] = unquoted.into();
    }
    request.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_lose_their_quotes_and_nothing_else_does() {
        let statement = r#"UPDATE "t" SET "a"."b"=? SET "open"="open"-1 SET "version"="version"+1 WHERE "id"=? AND "x">1"#;
        let body = json!({ "Statements": [{ "Statement": statement }] }).to_string();
        let request: Value = serde_json::from_slice(&terms_without_quotes(body.as_bytes())).unwrap();
        assert_eq!(
            request["Statements"][0]["Statement"],
            r#"UPDATE "t" SET "a"."b"=? SET "open"=open-1 SET "version"=version+1 WHERE "id"=? AND "x">1"#
        );
    }
}
