//! A later release that runs beside this one, as far as this one can notice: it writes attributes and values that
//! this one does not know.
//!
//! In half of the runs, half of the invocations are of that release. What they send is changed on its way, so that
//! every reader of the library meets it, whoever wrote it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use crate::aws::Aws;
use crate::aws::invocation::{INVOCATION, Invocation};
use crate::faults::rng::{Purpose, happens, of_name};
use crate::names::NOTIFICATIONS;

/// An attribute of the later release: of a record, of a delivery and of a dispatch.
const ATTRIBUTE: &str = "priority";
/// Values of `change` in this release, and what the later one writes instead.
const CHANGES: [(&str, &str); 2] = [("attempt", "attempted"), ("mark", "marked")];

/// For how long instances of the earlier release run beside the later ones, in milliseconds.
const DEPLOYED_WITHIN_MS: u64 = 8_000;

impl Aws {
    /// Whether another release runs beside this one.
    pub(crate) fn has_later_release(&self) -> bool {
        self.of_release_happens(&[0])
    }

    /// Whether the invocation that asks has the routes of the earlier release: in half of the runs with two releases,
    /// at first.
    pub(crate) fn has_earlier_routes(&self) -> bool {
        let invocation = INVOCATION.try_with(|invocation| of_name(&invocation.name)).unwrap_or_default();
        self.time().elapsed_ms() < DEPLOYED_WITHIN_MS
            && self.has_later_release()
            && self.of_release_happens(&[2])
            && self.of_release_happens(&[3, invocation])
    }

    fn of_release_happens(&self, what: &[u64]) -> bool {
        happens(500, self.seed(), &[&[Purpose::Release as u64], what].concat())
    }

    /// The body of a call as the release of its caller sends it.
    pub(crate) fn of_release(&self, caller: &Invocation, operation: &str, body: Vec<u8>) -> Vec<u8> {
        if !self.has_later_release() || !self.of_release_happens(&[1, of_name(&caller.name)]) {
            return body;
        }
        let Ok(mut request) = serde_json::from_slice::<Value>(&body) else { return body };
        match operation {
            "PutItem" if request["TableName"] == NOTIFICATIONS => add_to_record(&mut request["Item"]),
            "UpdateItem" => change_values(&mut request),
            "BatchExecuteStatement" => each(&mut request["Statements"], change_statement),
            "TransactWriteItems" => {
                each(&mut request["TransactItems"], change_action);
                // The same actions of this release are another transaction.
                let token = request["ClientRequestToken"].as_str().map(|token| format!("l{}", &token[1..]));
                request["ClientRequestToken"] = json!(token);
            }
            "PutRecords" => each(&mut request["Records"], |record| {
                let data =
                    BASE64_STANDARD.decode(record["Data"].as_str().unwrap_or_default()).unwrap_or_default();
                record["Data"] = json!(BASE64_STANDARD.encode(later_dispatch(&data)));
            }),
            "SendMessage" => change_body(&mut request),
            "SendMessageBatch" => each(&mut request["Entries"], change_body),
            _ => (),
        }
        request.to_string().into_bytes()
    }
}

fn change_body(message: &mut Value) {
    let text = message["MessageBody"].as_str().unwrap_or_default();
    message["MessageBody"] = json!(String::from_utf8_lossy(&later_dispatch(text.as_bytes())));
}

fn each(list: &mut Value, change: impl Fn(&mut Value)) {
    list.as_array_mut().into_iter().flatten().for_each(change);
}

fn members<'a>(of: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    of.get_mut(name)?.as_object_mut()
}

fn add_to_record(item: &mut Value) {
    let high = json!({ "S": "high" });
    item[ATTRIBUTE] = high.clone();
    let deliveries = item.get_mut("destinations").and_then(|all| members(all, "M"));
    deliveries.into_iter().flatten().for_each(|(_, delivery)| delivery["M"][ATTRIBUTE] = high.clone());
}

fn change_values(update: &mut Value) {
    for (_, value) in members(update, "ExpressionAttributeValues").into_iter().flatten() {
        if let Some((_, later)) = CHANGES.iter().find(|(known, _)| value["S"] == *known) {
            value["S"] = json!(later);
        }
    }
}

fn change_statement(statement: &mut Value) {
    let text = statement["Statement"].as_str().unwrap_or_default();
    let changed = CHANGES.iter().fold(text.to_owned(), |text, (known, later)| {
        text.replace(&format!("\"change\"='{known}'"), &format!("\"change\"='{later}'"))
    });
    statement["Statement"] = json!(changed);
}

fn change_action(action: &mut Value) {
    if action["Put"]["TableName"] == NOTIFICATIONS {
        add_to_record(&mut action["Put"]["Item"]);
    }
    if action["Update"]["TableName"] == NOTIFICATIONS {
        change_values(&mut action["Update"]);
    }
}

/// A dispatch with one more attribute, and everything else byte for byte; other bytes as they are.
fn later_dispatch(bytes: &[u8]) -> Vec<u8> {
    let dispatch: Option<Value> = serde_json::from_slice(bytes).ok();
    let has = |name| dispatch.as_ref().is_some_and(|dispatch| dispatch.get(name).is_some());
    match has("dispatch") && has("acceptedtime") {
        true => [format!("{{\"{ATTRIBUTE}\":\"high\",").as_bytes(), &bytes[1..]].concat(),
        false => bytes.to_vec(),
    }
}
