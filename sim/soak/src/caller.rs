//! A service that asks what became of its notifications.

use std::collections::BTreeMap;

use handover::dynamodb::types::{AttributeValue, Put};
use handover::record::Outcome;
use handover::{Destination, Effect, Failure, Notification, Write};
use handover_sim::item::{destinations, key, number, state, text};
use handover_sim::{Stack, Table};
use serde_json::{Value, json};

/// The type of the outcomes that it asks for, its route, and its destination.
pub const ENDED: &str = "caller.ended";
const CALLER: &str = "caller";
/// What it knows of each notification: the last outcome.
const KNOWN: &str = "known";

pub fn table() -> Table {
    Table::new(KNOWN, &["notification"])
}

pub fn route() -> Value {
    json!({ "kind": "event", "destinations": [CALLER], "sources": ["handover"] })
}

pub fn serve(stack: &Stack) {
    stack.serve(CALLER, Caller);
}

struct Caller;

impl Destination for Caller {
    type Data = Outcome;

    async fn apply(&self, outcome: &Notification<Outcome>) -> Result<Effect, Failure> {
        let Outcome { id, source, status, version, .. } = &outcome.data;
        let put = Put::builder()
            .table_name(KNOWN)
            .item("notification", AttributeValue::S(format!("{id} of {source}")))
            .item("status", AttributeValue::S(status.as_str().into()))
            .item("version", AttributeValue::N(version.to_string()))
            // One of an earlier end may come later.
            .condition_expression("attribute_not_exists(version) OR version < :version")
            .expression_attribute_values(":version", AttributeValue::N(version.to_string()));
        Ok(Effect::new().write(Write::from(put.build()?).or_else(Effect::new())))
    }
}

/// G11: at rest the caller knows how each notification ended whose outcome it asked for, unless that outcome is dead.
pub fn violations(stack: &Stack) -> Vec<String> {
    let records = stack.records();
    let known = stack.items(KNOWN);
    let known: BTreeMap<&str, &Value> = known.iter().map(|item| (text(item, "notification"), item)).collect();
    let is_told = |id: &str| {
        let outcome = records.iter().find(|record| text(record, "id") == id);
        outcome
            .is_some_and(|outcome| destinations(outcome).values().all(|delivery| state(delivery) == "done"))
    };
    let asked = records.iter().filter(|record| is_told(text(record, "outcome_id")));
    let wrong = asked.filter(|record| {
        let known = known.get(key(record).to_string().as_str());
        // A change that is no end raises the version.
        !known.is_some_and(|known| {
            (text(known, "status") == text(record, "status") || text(record, "status") == "INIT")
                && number(known, "version") <= number(record, "version")
        })
    });
    wrong.map(|record| format!("G11: the caller does not know how {} ended", key(record))).collect()
}
