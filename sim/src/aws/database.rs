//! dynoxide, called by DynamoDB's protocol.

use std::sync::Arc;

use dynoxide::storage_backend::Clock;
use dynoxide::{Database, DynoxideError};
use serde_json::{Value, json};

use crate::aws::time::Time;

/// A table of the simulated DynamoDB.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) name: String,
    /// The attributes of the key, one or two, and the type of each.
    pub(crate) key: Vec<(String, &'static str)>,
    pub(crate) stream: bool,
    /// The name of an index that projects only keys, and the attribute of its key.
    pub(crate) index: Option<(&'static str, &'static str)>,
}

impl Table {
    /// A table with this name and these attributes as its key, one or two; each is a text.
    pub fn new(name: &str, key: &[&str]) -> Table {
        let key = key.iter().map(|name| (name.to_string(), "S")).collect();
        Table { name: name.to_owned(), key, stream: false, index: None }
    }
}

struct Now(Time);

impl Clock for Now {
    fn now_unix_secs(&self) -> u64 {
        self.0.now_ms() / 1_000
    }

    fn now_unix_secs_f64(&self) -> f64 {
        self.0.now_ms() as f64 / 1_000.0
    }
}

/// An answer: a status of HTTP, and JSON.
pub type Answer = (u16, String);

/// A database with these tables, all empty.
pub fn database(time: Time, tables: &[Table]) -> Database {
    let database = Database::memory_with_clock(Arc::new(Now(time))).expect("a database in memory");
    for table in tables {
        let attribute =
            |(name, of_type): &(String, &str)| json!({ "AttributeName": name, "AttributeType": of_type });
        let key = |((name, _), kind): (&(String, _), _)| json!({ "AttributeName": name, "KeyType": kind });
        let mut request = json!({
            "TableName": table.name,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": table.key.iter().zip(["HASH", "RANGE"]).map(key).collect::<Vec<_>>(),
            "AttributeDefinitions": table.key.iter().map(attribute).collect::<Vec<_>>(),
        });
        if let Some((name, key)) = table.index {
            let keys = [json!({ "AttributeName": key, "KeyType": "HASH" })];
            request["AttributeDefinitions"]
                .as_array_mut()
                .expect("a list")
                .push(attribute(&(key.to_owned(), "S")));
            request["GlobalSecondaryIndexes"] = json!([
                { "IndexName": name, "KeySchema": keys, "Projection": { "ProjectionType": "KEYS_ONLY" } },
            ]);
        }
        if table.stream {
            request["StreamSpecification"] =
                json!({ "StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES" });
        }
        ask(&database, "CreateTable", &request);
    }
    database
}

/// Answers a request.
pub fn call(database: &Database, operation: &str, body: &[u8]) -> Answer {
    macro_rules! operations {
        ($($name:literal => $method:ident),* $(,)?) => {
            match operation {
                $($name => serde_json::from_slice(body)
                    .map_err(|error| DynoxideError::ValidationException(error.to_string()))
                    .and_then(|request| database.$method(request))
                    .map(|answer| serde_json::to_string(&answer).expect("JSON")),)*
                _ => Err(DynoxideError::ValidationException(format!("the simulated DynamoDB has no {operation}"))),
            }
        };
    }
    let result = operations! {
        "BatchExecuteStatement" => batch_execute_statement,
        "BatchGetItem" => batch_get_item,
        "BatchWriteItem" => batch_write_item,
        "CreateTable" => create_table,
        "DeleteItem" => delete_item,
        "DescribeStream" => describe_stream,
        "DescribeTable" => describe_table,
        "GetItem" => get_item,
        "GetShardIterator" => get_shard_iterator,
        "PutItem" => put_item,
        "Query" => query,
        "Scan" => scan,
        "TransactGetItems" => transact_get_items,
        "TransactWriteItems" => transact_write_items,
        "UpdateItem" => update_item,
    };
    match result {
        Ok(answer) => (200, answer),
        Err(error) => (error.status_code(), error.to_json()),
    }
}

/// The answer to a request that must succeed.
pub fn ask(database: &Database, operation: &str, request: &Value) -> Value {
    let (status, answer) = call(database, operation, request.to_string().as_bytes());
    assert_eq!(status, 200, "{operation}: {answer}");
    serde_json::from_str(&answer).expect("JSON")
}
