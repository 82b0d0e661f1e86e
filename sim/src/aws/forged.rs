//! Copies that somebody else wrote: with the id of a notification, and other content.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// What the amounts of forged copies are more than those of the messages.
const MORE: u64 = 1_000;

/// Puts forged copies in place of those that a call sends to the stream or to a retry queue.
pub fn forge(request: &mut Value) {
    for record in request["Records"].as_array_mut().into_iter().flatten() {
        let data = BASE64_STANDARD.decode(record["Data"].as_str().unwrap_or_default()).unwrap_or_default();
        record["Data"] = json!(BASE64_STANDARD.encode(forged(&data)));
    }
    if let Some(body) = request["MessageBody"].as_str() {
        request["MessageBody"] = json!(String::from_utf8_lossy(&forged(body.as_bytes())));
    }
}

/// The dispatch with another amount, item and number, with another order, or with another first cause; other bytes as they
/// are.
fn forged(bytes: &[u8]) -> Vec<u8> {
    let Ok(mut dispatch) = serde_json::from_slice::<Value>(bytes) else { return bytes.to_vec() };
    if bytes.len().is_multiple_of(3) {
        dispatch["correlationid"] = json!("forged");
        return dispatch.to_string().into_bytes();
    }
    if bytes.len().is_multiple_of(2) {
        dispatch["dispatch"] = json!(MORE);
        dispatch.as_object_mut().map(|attributes| attributes.remove("sequenced"));
        return dispatch.to_string().into_bytes();
    }
    if bytes.len().is_multiple_of(5) && !dispatch["sequence"].is_null() {
        dispatch["sequenced"] = dispatch["destinations"].clone();
        return dispatch.to_string().into_bytes();
    }
    if let Some(amount) = dispatch["data"]["amount"].as_u64() {
        dispatch["data"]["amount"] = json!(amount + MORE);
    }
    if dispatch["data"]["item"].is_string() {
        dispatch["data"]["item"] = json!("book of somebody else");
    }
    if let Some(sequence) = dispatch["sequence"].as_u64() {
        dispatch["sequence"] = json!(sequence + 1);
    }
    dispatch.to_string().into_bytes()
}
