//! What a seed's producer sends.

use std::time::Duration;

use handover::NotificationKey;
use handover_sim::{PRODUCER, SentMessage};
use serde_json::{Value, json};

/// Notifications of a run at most: many small runs find more than few large ones.
const NOTIFICATIONS_MAX: u64 = 5;

/// The source of most messages. Another shop uses some of its ids for messages of its own.
const SHOP: &str = "shop";

/// Characters that SQS does not take; DynamoDB and Kinesis do.
const ODD: &str = "\u{fffe} \u{ffff}";

/// A message of the producer.
pub enum Message {
    Upstream(SentMessage),
    /// A refund that the producer commits with a write of its own.
    Outbox(Sale),
}

/// A sale that a producer commits with its refund.
pub struct Sale {
    pub id: String,
    pub refund: Value,
    /// How far the producer's clock is behind.
    pub behind: Duration,
}

/// The messages of a run.
pub fn messages(draw: &dyn Fn(u64, u64, u64) -> u64) -> Vec<Message> {
    let (mut messages, mut of_others) = (Vec::new(), Vec::new());
    // In a sixth of the runs subjects are not ASCII, and the first id is not, which has to be.
    let letters = if draw(6, 33, 0) == 0 { "é\u{1d11e}" } else { "" };
    // Mostly one or two.
    let count = 1 + draw(NOTIFICATIONS_MAX, 0, 0).min(draw(NOTIFICATIONS_MAX, 0, 1));
    for at in 0..count {
        let amount = 1 + draw(100, 1, at);
        // Account 1 is opened late, account 2 never; `much` is not an amount.
        let refund = match draw(6, 2, at) {
            0 => json!({ "account": "account-1", "amount": amount }),
            1 => json!({ "account": "account-2", "amount": amount }),
            2 => json!({ "account": "account-0", "amount": "much" }),
            _ => json!({ "account": "account-0", "amount": amount }),
        };
        let (name, data) = match draw(8, 3, at) {
            0..2 => ("refund", refund),
            2..4 => {
                // Some notes are taken late. One that is rejected cannot be: it is an event.
                let say = ["hello", "hello", "late", "refuse"][draw(4, 2, at) as usize];
                ("note", json!({ "say": say, "amount": amount }))
            }
            4..6 => {
                let item = ["book", "book", "unicorn"][draw(3, 2, at) as usize];
                let luck = match draw(32, 20, at) {
                    0 => "kill long",
                    1..4 => "kill",
                    _ => ["good", "good", "panic", "hang"][draw(4, 10, at) as usize],
                };
                ("order", json!({ "item": item, "luck": luck }))
            }
            _ => {
                let minutes = if draw(6, 18, at) == 0 { 40 + draw(30, 19, at) } else { 0 };
                let behind = Duration::from_secs(60 * minutes);
                messages.push(Message::Outbox(Sale { id: format!("sale-{at}"), refund, behind }));
                continue;
            }
        };
        let is_odd = draw(5, 16, at) == 0;
        let mut data = data;
        if is_odd {
            data["memo"] = format!("{ODD} \\uffff é\u{1d11e}").into();
        }
        let malformed = draw(10, 4, at) == 0;
        // In a few the attributes have them, too, and a neighbour has the same key.
        let partitionkey = (draw(12, 21, at) == 0).then(|| format!("{ODD} {at}"));
        let partitionkey = partitionkey.as_deref();
        let letters_of_id = if at == 0 { letters } else { "" };
        let malformed = malformed || !letters_of_id.is_empty();
        let subject = (!letters.is_empty()).then(|| format!("{name}{letters}"));
        let message = |source: &str, data: Value, malformed| {
            let id = format!("{name}{letters_of_id}-{at}");
            message(&id, name, source, data, (subject.as_deref(), partitionkey), malformed)
        };
        if partitionkey.is_some() {
            let (id, note) = (format!("neighbour-{at}"), json!({ "say": "hello" }));
            of_others.push(self::message(&id, "note", SHOP, note, (None, partitionkey), false));
        }
        messages.push(message(SHOP, data.clone(), malformed));
        if draw(4, 14, at) == 0 {
            let other = json!({ "account": "account-0", "amount": 102, "item": "book", "luck": "good" });
            of_others.push(message("market", other, !letters_of_id.is_empty()));
        }
        if draw(3, 5, at) == 0 {
            // The producer is not sure, and repeats it; or sends something else under the same id.
            let other = json!({ "account": "account-0", "amount": 101, "item": "book", "luck": "good" });
            messages.push(message(SHOP, if draw(2, 6, at) == 0 { data } else { other }, malformed));
        }
    }
    messages.extend(of_others);
    messages
}

/// What somebody else puts into the stream in a few of the runs.
pub fn foreign_bytes(draw: &dyn Fn(u64, u64, u64) -> u64) -> &'static [&'static [u8]] {
    match draw(12, 17, 0) {
        // Nothing, and U+FFFF.
        0 => &[b"", b"\xef\xbf\xbf"],
        _ => &[],
    }
}

fn message(
    id: &str,
    name: &str,
    source: &str,
    data: Value,
    (subject, partitionkey): (Option<&str>, Option<&str>),
    malformed: bool,
) -> Message {
    let (r#type, kind) = match name {
        "refund" => ("refund.requested", "command"),
        "order" => ("order.placed", "command"),
        _ => ("account.noted", "event"),
    };
    let mut event = json!({
        "specversion": "1.0", "id": id, "type": r#type, "kind": kind, "source": source, "data": data,
    });
    if let Some(partitionkey) = partitionkey {
        event["partitionkey"] = partitionkey.into();
    }
    if let Some(subject) = subject.or(partitionkey) {
        event["subject"] = subject.into();
    }
    // As a producer has to write what SQS does not take.
    let mut message = event.to_string().replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
    if malformed && id.is_ascii() {
        message = message.replace("specversion", "version");
    }
    let feasible = match name {
        "refund" => data["account"] == "account-0" && data["amount"].is_u64(),
        "note" => data["say"] != "late" && data["say"] != "refuse",
        // Its handler calls AWS, and that may fail.
        _ => false,
    };
    let key = NotificationKey::new(id, source);
    Message::Upstream(SentMessage { key, data, message, sender: PRODUCER, malformed, feasible })
}
