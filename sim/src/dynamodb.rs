//! DynamoDB: dynoxide, and what AWS does otherwise.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use dynoxide::storage_backend::Clock;
use dynoxide::{Database, DynoxideError};
use serde_json::{Value, json};

use crate::time::Time;

/// A table: its name, its key's attributes (one or two, each a text), and what it has beside its items.
#[derive(Clone)]
pub struct Table {
    pub name: String,
    pub key: Vec<String>,
    pub stream: bool,
    /// An index of keys alone: its name, and its key's attribute.
    pub index: Option<(&'static str, &'static str)>,
}

impl Table {
    /// Without a stream and an index.
    pub fn new(name: &str, key: &[&str]) -> Table {
        let key = key.iter().map(|it| it.to_string()).collect();
        Table { name: name.to_owned(), key, stream: false, index: None }
    }
}

/// The tables of a simulated AWS. One of them has a stream.
pub struct DynamoDb {
    time: Time,
    tables: Vec<Table>,
    database: Database,
    /// Where the stream has been read up to.
    iterator: Mutex<Option<String>>,
    /// Something was written since.
    is_changed: AtomicBool,
    /// When, and what, was written: what a replica catches up with.
    written: Mutex<Vec<(u64, String, Vec<u8>)>>,
    replica: Mutex<Option<Replica>>,
}

/// The tables as they were.
struct Replica {
    database: Database,
    /// How many of the writes it has.
    writes: usize,
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

/// What it answers: a status of HTTP, and JSON.
pub type Answer = (u16, String);

impl DynamoDb {
    /// None but these tables.
    pub fn new(time: Time, tables: Vec<Table>) -> DynamoDb {
        let database = database(time, &tables);
        let mut it = DynamoDb {
            time,
            tables,
            database,
            iterator: Mutex::default(),
            is_changed: AtomicBool::default(),
            written: Mutex::default(),
            replica: Mutex::default(),
        };
        it.iterator =
            Mutex::new(it.tables.iter().find(|table| table.stream).map(|table| it.stream(&table.name)));
        it
    }

    /// Answers a request, at once.
    pub fn call(&self, operation: &str, body: &[u8]) -> Answer {
        let answer = call(&self.database, operation, body);
        if answer.0 == 200 && !matches!(operation, "GetItem" | "Query" | "Scan" | "BatchGetItem") {
            self.is_changed.store(true, Ordering::Relaxed);
            let mut written = self.written.lock().expect("no panic holds it");
            written.push((self.time.now_ms(), operation.to_owned(), body.to_vec()));
        }
        answer
    }

    /// Answers a `BatchExecuteStatement` that refuses the statements at some places.
    pub fn call_in_part(&self, body: &[u8], refused: impl Fn(usize) -> bool, code: &str) -> Answer {
        let mut request: Value = serde_json::from_slice(body).expect("JSON");
        let statements = request["Statements"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let places = 0..statements.len();
        let (_, taken): (Vec<_>, Vec<_>) =
            statements.into_iter().enumerate().partition(|(at, _)| refused(*at));
        let mut answers = Vec::new();
        if !taken.is_empty() {
            request["Statements"] = taken.into_iter().map(|(_, statement)| statement).collect();
            let (status, answer) = self.call("BatchExecuteStatement", request.to_string().as_bytes());
            if status != 200 {
                return (status, answer);
            }
            let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
            answers = answer["Responses"].as_array_mut().map(std::mem::take).unwrap_or_default();
        }
        let mut answers = answers.into_iter();
        let refusal = json!({ "Error": { "Code": code, "Message": "not now" } });
        let answers = places.map(|at| if refused(at) { Some(refusal.clone()) } else { answers.next() });
        (200, json!({ "Responses": answers.collect::<Vec<_>>() }).to_string())
    }

    /// Answers a `BatchGetItem` that leaves the keys at some places.
    pub fn get_in_part(&self, body: &[u8], left: impl Fn(usize) -> bool) -> Answer {
        let mut request: Value = serde_json::from_slice(body).expect("JSON");
        let mut unprocessed = request["RequestItems"].clone();
        for (table, it) in request["RequestItems"].as_object_mut().into_iter().flatten() {
            let keys = it["Keys"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let (later, now): (Vec<_>, Vec<_>) = keys.into_iter().enumerate().partition(|(at, _)| left(*at));
            it["Keys"] = now.into_iter().map(|(_, key)| key).collect();
            unprocessed[table]["Keys"] = later.into_iter().map(|(_, key)| key).collect();
        }
        let has_keys = |it: &Value| it["Keys"].as_array().is_some_and(|keys| !keys.is_empty());
        let asked = request["RequestItems"].as_object_mut().expect("tables");
        asked.retain(|_, it| has_keys(it));
        let mut answer = json!({ "Responses": {} });
        if !asked.is_empty() {
            let (status, text) = self.call("BatchGetItem", request.to_string().as_bytes());
            if status != 200 {
                return (status, text);
            }
            answer = serde_json::from_str(&text).expect("JSON");
        }
        answer["UnprocessedKeys"] = unprocessed;
        (200, answer.to_string())
    }

    /// Answers a read as at an earlier time, or later: reads do not go back.
    pub fn call_before(&self, operation: &str, body: &[u8], at_ms: u64) -> Answer {
        let mut replica = self.replica.lock().expect("no panic holds it");
        let replica =
            replica.get_or_insert_with(|| Replica { database: database(self.time, &self.tables), writes: 0 });
        let written = self.written.lock().expect("no panic holds it");
        for (_, operation, body) in written[replica.writes..].iter().take_while(|write| write.0 <= at_ms) {
            call(&replica.database, operation, body);
            replica.writes += 1;
        }
        call(&replica.database, operation, body)
    }

    /// Every item of a table.
    pub fn items(&self, table: &str) -> Vec<Value> {
        let answer = ask(&self.database, "Scan", &json!({ "TableName": table }));
        answer["Items"].as_array().cloned().unwrap_or_default()
    }

    /// Puts an item, past every condition.
    pub fn put(&self, table: &str, item: &Value) {
        let request = json!({ "TableName": table, "Item": item });
        let (status, answer) = self.call("PutItem", request.to_string().as_bytes());
        assert_eq!(status, 200, "{table}: {answer}");
    }

    /// The beginning of a table's stream.
    fn stream(&self, table: &str) -> String {
        let ask = |operation, request| ask(&self.database, operation, &request);
        let table = ask("DescribeTable", json!({ "TableName": table }));
        let arn = &table["Table"]["LatestStreamArn"];
        let stream = ask("DescribeStream", json!({ "StreamArn": arn }));
        let shard = &stream["StreamDescription"]["Shards"][0]["ShardId"];
        let request = json!({ "StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
        text(&ask("GetShardIterator", request)["ShardIterator"])
    }

    /// The changes since it was asked last, as Lambda passes them on. A write that changes nothing is
    /// none, as on AWS.
    pub fn changes(&self) -> Vec<Value> {
        let mut iterator = self.iterator.lock().expect("no panic holds it");
        let Some(from) = iterator.as_mut().filter(|_| self.is_changed.swap(false, Ordering::Relaxed)) else {
            return Vec::new();
        };
        let request = serde_json::from_value(json!({ "ShardIterator": *from })).expect("a request");
        let answer = self.database.get_records(request).expect("the stream's records");
        *from = answer.next_shard_iterator.expect("the stream does not end");
        let changes = answer.records.into_iter().map(|it| serde_json::to_value(it).expect("JSON"));
        let changes = changes.filter(|it| it["dynamodb"]["NewImage"] != it["dynamodb"]["OldImage"]);
        let changes = changes.map(|mut change| {
            // dynoxide draws it.
            change["eventID"] = change["dynamodb"]["SequenceNumber"].clone();
            change
        });
        changes.collect()
    }
}

fn database(time: Time, tables: &[Table]) -> Database {
    let database = Database::memory_with_clock(Arc::new(Now(time))).expect("a database in memory");
    for table in tables {
        let attribute = |name: &String| json!({ "AttributeName": name, "AttributeType": "S" });
        let key = |(name, kind)| json!({ "AttributeName": name, "KeyType": kind });
        let mut request = json!({
            "TableName": table.name,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": table.key.iter().zip(["HASH", "RANGE"]).map(key).collect::<Vec<_>>(),
            "AttributeDefinitions": table.key.iter().map(attribute).collect::<Vec<_>>(),
        });
        if let Some((name, key)) = table.index {
            let keys = [json!({ "AttributeName": key, "KeyType": "HASH" })];
            request["AttributeDefinitions"].as_array_mut().expect("a list").push(attribute(&key.to_owned()));
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

fn call(database: &Database, operation: &str, body: &[u8]) -> Answer {
    let body = match operation {
        "BatchExecuteStatement" => &*terms_without_quotes(body),
        _ => body,
    };
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

fn ask(database: &Database, operation: &str, request: &Value) -> Value {
    let (status, answer) = call(database, operation, request.to_string().as_bytes());
    assert_eq!(status, 200, "{operation}: {answer}");
    serde_json::from_str(&answer).expect("JSON")
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

    #[test]
    fn a_read_that_lags_shows_what_was_and_never_goes_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let time = Time::begin();
            let table = Table::new("table", &["id"]);
            let dynamodb = DynamoDb::new(time, vec![table]);
            let begin_ms = time.now_ms();
            for n in ["1", "2"] {
                dynamodb.put("table", &json!({ "id": { "S": "a" }, "n": { "N": n } }));
                tokio::time::advance(std::time::Duration::from_secs(1)).await;
            }
            let get = json!({ "TableName": "table", "Key": { "id": { "S": "a" } } }).to_string();
            let n = |at_ms| {
                let (_, answer) = dynamodb.call_before("GetItem", get.as_bytes(), at_ms);
                serde_json::from_str::<Value>(&answer).unwrap()["Item"]["n"]["N"].clone()
            };
            assert_eq!(n(begin_ms), "1");
            assert_eq!(n(begin_ms + 1_000), "2");
            assert_eq!(n(begin_ms), "2");
        });
    }
}
