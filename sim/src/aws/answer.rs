//! What a call does at the moment it takes effect, with its fault.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::aws::Aws;
use crate::aws::dynamodb::Answer;
use crate::aws::forged::forge;
use crate::aws::provider::{self, PROVIDER};
use crate::faults::fault::Fault;
use crate::faults::rng::{Purpose, happens};
use crate::faults::site::Call;
use crate::names::{NOTIFICATIONS, POSITIONS};

/// How old a state a read that is not consistent returns at most, in milliseconds.
const LAG_MS_MAX: u64 = 2_000;
/// The same of an index, in some of its reads: no more than reconcile allows for.
const INDEX_LAG_MS_MAX: u64 = 5 * 60_000;
/// Items of a page of an index at most, so that a few records are several pages.
const PAGE_MAX: u64 = 2;

impl Aws {
    /// Answers a call, at one moment.
    pub fn answer(&self, call: &Call, body: &[u8], fault: Option<Fault>) -> Answer {
        let (seed, now_ms) = (self.seed(), self.time().now_ms());
        if call.service == PROVIDER {
            return match fault {
                Some(Fault::Throttle) => provider::throttled(),
                _ => self.state().provider.answer(&call.operation, body, seed, now_ms),
            };
        }
        if fault == Some(Fault::Throttle) {
            return (400, json!({ "__type": "ThrottlingException", "message": "Rate exceeded" }).to_string());
        }
        if fault == Some(Fault::Denied) {
            let denied =
                json!({ "__type": "AccessDeniedException", "message": "the role lacks this action" });
            return (400, denied.to_string());
        }
        let is_left_out = |at: usize| {
            let purpose = [Purpose::Part as u64, call.invocation, call.nth, at as u64];
            fault == Some(Fault::Partial) && (at == 0 || happens(500, seed, &purpose))
        };
        if call.service.starts_with("DynamoDB") {
            let answer = self.answer_of_dynamodb(call, body, fault, is_left_out);
            self.streamed().notify_waiters();
            return answer;
        }
        let mut request: Value = serde_json::from_slice(body).expect("JSON");
        if fault == Some(Fault::Forged) {
            forge(&mut request);
        }
        let mut state = self.state();
        let answer = match call.service.as_str() {
            "Kinesis_20131202" => (200, state.kinesis.put_records(&request, now_ms, is_left_out).to_string()),
            "AmazonSQS" => state.queues.call(&call.operation, &request, now_ms, is_left_out),
            service => panic!("the simulated AWS has no {service}"),
        };
        let refused = std::mem::take(&mut state.queues.refused);
        // Who forges a copy does not escape what SQS does not take.
        state.violations.extend(refused.into_iter().filter(|_| fault != Some(Fault::Forged)));
        drop(state);
        self.streamed().notify_waiters();
        self.queued().notify_waiters();
        answer
    }

    fn answer_of_dynamodb(
        &self,
        call: &Call,
        body: &[u8],
        fault: Option<Fault>,
        is_left_out: impl Fn(usize) -> bool,
    ) -> Answer {
        let draw = |purpose, end| call.draw(self.seed(), purpose, end);
        let is_first = |at: usize| at == 0;
        let dynamodb = self.dynamodb();
        let body = &*in_small_pages(&call.operation, body);
        match (fault, call.operation.as_str()) {
            (Some(Fault::Conflict), "TransactWriteItems") => {
                cancelled(body, |actions| draw(Purpose::Part, actions), "TransactionConflict")
            }
            (Some(Fault::Conflict), "BatchExecuteStatement") => {
                dynamodb.call_in_part(body, is_first, "TransactionConflict")
            }
            (Some(Fault::Conflict), _) => exception("TransactionConflictException"),
            (Some(Fault::Mixed), _) => cancelled_by_several(body),
            (Some(Fault::Missing), "GetItem" | "BatchGetItem") => (200, "{}".to_owned()),
            (Some(Fault::Missing), "TransactWriteItems") => cancelled(body, |_| 0, "ConditionalCheckFailed"),
            (Some(Fault::Missing), "BatchExecuteStatement") => {
                dynamodb.call_in_part(body, is_first, "ConditionalCheckFailed")
            }
            (Some(Fault::Missing), _) => exception("ConditionalCheckFailedException"),
            (Some(Fault::Refused), _) => dynamodb.call_in_part(body, |_| true, "ValidationError"),
            (Some(Fault::Partial), "BatchGetItem") => dynamodb.get_in_part(body, is_left_out),
            (Some(Fault::Partial), _) => dynamodb.call_in_part(body, is_left_out, "ThrottlingError"),
            (Some(Fault::Stale), operation) => {
                let is_long = operation == "Query" && draw(Purpose::IndexLag, 2) == 0;
                let lag_ms = 1 + draw(Purpose::Lag, if is_long { INDEX_LAG_MS_MAX } else { LAG_MS_MAX });
                let at_ms = self.time().now_ms() - lag_ms.min(self.time().elapsed_ms());
                let older = dynamodb.call_before(operation, body, at_ms);
                if older != dynamodb.call(operation, body) {
                    self.state().history.coverage.hit(call.site.clone(), Fault::Stale);
                }
                older
            }
            (_, operation) => dynamodb.call(operation, body),
        }
    }
}

/// A query of an index as one of a small page: AWS may answer with fewer items than the limit.
fn in_small_pages<'a>(operation: &str, body: &'a [u8]) -> Cow<'a, [u8]> {
    if operation != "Query" {
        return Cow::Borrowed(body);
    }
    let mut request: Value = serde_json::from_slice(body).expect("JSON");
    if request.get("IndexName").is_none() {
        return Cow::Borrowed(body);
    }
    request["Limit"] = json!(PAGE_MAX);
    Cow::Owned(request.to_string().into_bytes())
}

/// A call of DynamoDB that was refused.
fn exception(name: &str) -> Answer {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{name}");
    (400, json!({ "__type": kind, "message": "refused" }).to_string())
}

/// A transaction that was cancelled because of one of its actions.
fn cancelled(body: &[u8], choose: impl FnOnce(u64) -> u64, code: &str) -> Answer {
    let request: Value = serde_json::from_slice(body).expect("JSON");
    let actions = request["TransactItems"].as_array().map_or(0, Vec::len);
    let chosen = choose(actions as u64) as usize;
    cancellation((0..actions).map(|at| if at == chosen { code } else { "None" }))
}

/// A cancelled transaction with the code of each of its actions.
fn cancellation<'a>(codes: impl Iterator<Item = &'a str>) -> Answer {
    let answer = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons",
        "CancellationReasons": codes.map(|code| json!({ "Code": code })).collect::<Vec<_>>(),
    });
    (400, answer.to_string())
}

/// A transaction that was cancelled because its mark conflicts, and because no condition of the effect's own writes
/// was met at that moment.
fn cancelled_by_several(body: &[u8]) -> Answer {
    let is_own = |action: &Value| {
        let write = action.as_object().into_iter().flatten().map(|(_, write)| write).next();
        let is_of_stack = |table: &Value| [NOTIFICATIONS, POSITIONS].iter().any(|name| table == name);
        write.is_some_and(|write| {
            !is_of_stack(&write["TableName"]) && write["ConditionExpression"].is_string()
        })
    };
    let reasons = |(at, action): (usize, &Value)| match at {
        0 => "TransactionConflict",
        _ if is_own(action) => "ConditionalCheckFailed",
        _ => "None",
    };
    let request: Value = serde_json::from_slice(body).expect("JSON");
    cancellation(request["TransactItems"].as_array().into_iter().flatten().enumerate().map(reasons))
}

/// The codes in an answer, for the history.
pub fn summary(answer: &str) -> String {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let kind = answer["__type"].as_str().and_then(|name| name.rsplit('#').next()).unwrap_or_default();
    let reasons = answer["CancellationReasons"].as_array().into_iter().flatten();
    let reasons = reasons.map(|reason| reason["Code"].as_str().unwrap_or_default());
    let statements = answer["Responses"].as_array().into_iter().flatten();
    let statements = statements.map(|statement| statement["Error"]["Code"].as_str().unwrap_or("ok"));
    let parts: Vec<&str> = std::iter::once(kind).chain(reasons).chain(statements).collect();
    parts.join(" ").trim().to_owned()
}
