//! A function that its records script. For the probes of AWS (`tests/probes`) only.
//!
//! A record is the body of an SQS message, the data of a Kinesis record, or the attribute `do` of a DynamoDB
//! item. It is JSON:
//!
//! - `journal`: the URL of the queue to which each invocation is reported
//! - `n`: the number of the record
//! - `fail`: how many times the record is reported as failed
//! - `error`: how many times it makes the whole invocation fail
//! - `sleep`: how long it takes, in milliseconds
//!
//! Invoked with `{"purge": QUEUE_URL}`, it makes a call that its role does not allow. To a request to its URL it
//! answers with the event that came of the request. Without records it does nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use aws_sdk_sqs::error::ProvideErrorMetadata;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

struct Scripted {
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    /// The table that counts how many times each record was seen, by any process.
    counts: String,
}

impl Scripted {
    async fn handle(&self, event: &Value) -> Result<Value, Error> {
        if let Some(url) = event["purge"].as_str() {
            let purged = self.sqs.purge_queue().queue_url(url).send().await;
            return Ok(json!({ "error": purged.err().map(|error| error.code().map(str::to_owned)) }));
        }
        if event["requestContext"]["http"].is_object() {
            let headers = json!({ "content-type": "application/json" });
            return Ok(json!({ "statusCode": 200, "headers": headers, "body": event.to_string() }));
        }
        let began = now();
        let (mut seen, mut failed, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        let (mut error, mut journal) = (false, String::new());
        for record in event["Records"].as_array().ok_or("no records")? {
            let (id, text) = read(record)?;
            let script: Value = serde_json::from_str(&text)?;
            journal = script["journal"].as_str().ok_or("no journal")?.to_owned();
            let times = self.count(&format!("{journal} {}", script["n"])).await?;
            seen.push(json!({ "n": script["n"], "text": text }));
            if times <= script["fail"].as_u64().unwrap_or(0) {
                failed.push(script["n"].clone());
                failures.push(json!({ "itemIdentifier": id }));
            }
            error |= times <= script["error"].as_u64().unwrap_or(0);
            tokio::time::sleep(Duration::from_millis(script["sleep"].as_u64().unwrap_or(0))).await;
        }
        if seen.is_empty() {
            return Ok(Value::Null);
        }
        let entry = json!({ "seen": seen, "failed": failed, "error": error, "began": began, "ended": now() });
        self.sqs.send_message().queue_url(journal).message_body(entry.to_string()).send().await?;
        if error {
            return Err("its records say so".into());
        }
        // The last one first: the order of failures must not matter, the lowest counts.
        failures.reverse();
        Ok(json!({ "batchItemFailures": failures }))
    }

    /// Counts that this record was seen. Returns the count.
    async fn count(&self, id: &str) -> Result<u64, Error> {
        let update = self.dynamodb.update_item().table_name(&self.counts).update_expression("ADD seen :one");
        let update = update.key("id", AttributeValue::S(id.to_owned()));
        let update = update.expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
        let output = update.return_values(ReturnValue::UpdatedNew).send().await?;
        let seen = output.attributes().and_then(|item| item.get("seen")?.as_n().ok());
        Ok(seen.ok_or("no count")?.parse()?)
    }
}

/// The identifier of a record, and its text.
fn read(record: &Value) -> Result<(&str, String), Error> {
    let (id, text) = if record["body"].is_string() {
        (&record["messageId"], record["body"].as_str().map(str::to_owned))
    } else if let Some(data) = record["kinesis"]["data"].as_str() {
        let data = String::from_utf8(BASE64_STANDARD.decode(data)?)?;
        (&record["kinesis"]["sequenceNumber"], Some(data))
    } else {
        let text = &record["dynamodb"]["NewImage"]["do"]["S"];
        (&record["dynamodb"]["SequenceNumber"], text.as_str().map(str::to_owned))
    };
    Ok((id.as_str().ok_or("no identifier")?, text.ok_or("no text")?))
}

/// The time in milliseconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let aws = handover::aws::config()?.load().await;
    let scripted = &Scripted {
        dynamodb: aws_sdk_dynamodb::Client::new(&aws),
        sqs: aws_sdk_sqs::Client::new(&aws),
        counts: std::env::var("COUNTS_TABLE")?,
    };
    run(service_fn(async |event: LambdaEvent<Value>| scripted.handle(&event.payload).await)).await
}
