//! DynamoDB: dynoxide, and what AWS does in addition.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use dynoxide::Database;
use serde_json::{Value, json};

pub use crate::aws::database::{Answer, Table};
use crate::aws::database::{ask, call, database};
use crate::aws::time::Time;

/// The tables of a simulated AWS. One of them has a stream.
pub struct DynamoDb {
    time: Time,
    tables: Vec<Table>,
    database: Database,
    /// The position up to which the stream was read.
    iterator: Mutex<Option<String>>,
    /// Something was written since.
    is_changed: AtomicBool,
    /// The time, operation and body of each write, for the replica.
    written: Mutex<Vec<(u64, String, Vec<u8>)>>,
    replica: Mutex<Option<Replica>>,
    /// The same for an index, which lags behind by itself.
    index_replica: Mutex<Option<Replica>>,
}

/// The tables as they were at an earlier time.
struct Replica {
    database: Database,
    /// How many of the writes it has applied.
    writes: usize,
}

impl DynamoDb {
    /// With exactly these tables.
    pub fn new(time: Time, tables: Vec<Table>) -> DynamoDb {
        let database = database(time, &tables);
        let streamed = tables.iter().find(|table| table.stream);
        let iterator = streamed.map(|table| beginning_of_stream(&database, &table.name));
        DynamoDb {
            time,
            tables,
            database,
            iterator: Mutex::new(iterator),
            is_changed: AtomicBool::default(),
            written: Mutex::default(),
            replica: Mutex::default(),
            index_replica: Mutex::default(),
        }
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

    /// Answers a `BatchExecuteStatement` that refuses the statements at some indices.
    pub fn call_in_part(&self, body: &[u8], refused: impl Fn(usize) -> bool, code: &str) -> Answer {
        let mut request: Value = serde_json::from_slice(body).expect("JSON");
        let statements = request["Statements"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let indices = 0..statements.len();
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
        let answers = indices.map(|at| if refused(at) { Some(refusal.clone()) } else { answers.next() });
        (200, json!({ "Responses": answers.collect::<Vec<_>>() }).to_string())
    }

    /// Answers a `BatchGetItem` that does not process the keys at some indices.
    pub fn get_in_part(&self, body: &[u8], left: impl Fn(usize) -> bool) -> Answer {
        let mut request: Value = serde_json::from_slice(body).expect("JSON");
        let mut unprocessed = request["RequestItems"].clone();
        for (table, get) in request["RequestItems"].as_object_mut().into_iter().flatten() {
            let keys = get["Keys"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let (later, now): (Vec<_>, Vec<_>) = keys.into_iter().enumerate().partition(|(at, _)| left(*at));
            get["Keys"] = now.into_iter().map(|(_, key)| key).collect();
            unprocessed[table]["Keys"] = later.into_iter().map(|(_, key)| key).collect();
        }
        let has_keys = |get: &Value| get["Keys"].as_array().is_some_and(|keys| !keys.is_empty());
        let asked = request["RequestItems"].as_object_mut().expect("tables");
        asked.retain(|_, get| has_keys(get));
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

    /// Answers a read as of an earlier time, or of a later one that a read has already shown.
    pub fn call_before(&self, operation: &str, body: &[u8], at_ms: u64) -> Answer {
        let replica = if operation == "Query" { &self.index_replica } else { &self.replica };
        let mut replica = replica.lock().expect("no panic holds it");
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
        let (mut items, mut request) = (Vec::new(), json!({ "TableName": table }));
        loop {
            let mut page = ask(&self.database, "Scan", &request);
            items.extend(page["Items"].as_array_mut().into_iter().flat_map(std::mem::take));
            match page.get_mut("LastEvaluatedKey") {
                Some(last) => request["ExclusiveStartKey"] = last.take(),
                None => return items,
            }
        }
    }

    /// Puts an item without a condition.
    pub fn put(&self, table: &str, item: &Value) {
        let request = json!({ "TableName": table, "Item": item });
        let (status, answer) = self.call("PutItem", request.to_string().as_bytes());
        assert_eq!(status, 200, "{table}: {answer}");
    }

    /// Deletes the items of a table whose time to live is over.
    pub fn delete_expired(&self, table: &str) {
        let key = &self.tables.iter().find(|known| known.name == table).expect("a table").key;
        let now_s = self.time.now_ms() / 1_000;
        let expires_at =
            |item: &Value| item["expires_at"]["N"].as_str().and_then(|at| at.parse::<u64>().ok());
        let items = self.items(table);
        for item in items.iter().filter(|item| expires_at(item).is_some_and(|at| at <= now_s)) {
            let key: Value = key.iter().map(|(name, _)| (name.clone(), item[name].clone())).collect();
            let request = json!({ "TableName": table, "Key": key });
            self.call("DeleteItem", request.to_string().as_bytes());
        }
    }

    /// The changes since the last call, as Lambda passes them on. A write that changes nothing has none, as
    /// on AWS.
    pub fn changes(&self) -> Vec<Value> {
        let mut iterator = self.iterator.lock().expect("no panic holds it");
        let Some(from) = iterator.as_mut().filter(|_| self.is_changed.swap(false, Ordering::Relaxed)) else {
            return Vec::new();
        };
        let request = serde_json::from_value(json!({ "ShardIterator": *from })).expect("a request");
        let answer = self.database.get_records(request).expect("the stream's records");
        *from = answer.next_shard_iterator.expect("the stream does not end");
        let changes = answer.records.into_iter().map(|change| serde_json::to_value(change).expect("JSON"));
        let changes =
            changes.filter(|change| change["dynamodb"]["NewImage"] != change["dynamodb"]["OldImage"]);
        let changes = changes.map(|mut change| {
            // dynoxide's is random.
            change["eventID"] = change["dynamodb"]["SequenceNumber"].clone();
            change
        });
        changes.collect()
    }
}

/// An iterator at the beginning of a table's stream.
fn beginning_of_stream(database: &Database, table: &str) -> String {
    let table = ask(database, "DescribeTable", &json!({ "TableName": table }));
    let arn = &table["Table"]["LatestStreamArn"];
    let stream = ask(database, "DescribeStream", &json!({ "StreamArn": arn }));
    let shard = &stream["StreamDescription"]["Shards"][0]["ShardId"];
    let request = json!({ "StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
    let iterator = ask(database, "GetShardIterator", &request);
    iterator["ShardIterator"].as_str().expect("a text").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
