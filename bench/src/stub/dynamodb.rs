//! DynamoDB's conditional writes in memory: single, in a batch of statements and in a transaction. Counts the
//! units that AWS would bill, and checks the order in which notifications are completed.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, from_slice, json};

use crate::stub::expression::{Attribute, Condition, Item, Placeholders, Statement, Update};

/// Bytes of an item that one write unit covers.
const WRITE_UNIT_BYTES: usize = 1024;
/// Bytes of an item that one read unit covers in a consistent read.
const READ_UNIT_BYTES: usize = 4096;
/// The table of records.
pub const NOTIFICATIONS: &str = "bench-notifications";
/// The tables, the attributes of their keys, and the key attribute of their index.
const TABLES: [(&str, &[&str], Option<&str>); 5] = [
    (NOTIFICATIONS, &["id", "source"], Some("bucket")),
    // No destination is paused, and none applies in sequence.
    ("bench-positions", &["key"], None),
    ("idempotency", &["id"], None),
    ("accounts", &["account"], None),
    ("entries", &["account", "refund"], None),
];

/// The tables and the figures about their use.
#[derive(Default)]
pub struct DynamoDb {
    tables: HashMap<&'static str, HashMap<String, Item>>,
    pub units: Units,
    pub order: Order,
}

/// The units that AWS bills.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Units {
    /// Write units of items.
    pub writes: f64,
    /// Write units of index entries.
    pub index_writes: f64,
    pub reads: f64,
}

/// The order in which the notifications of a key are completed.
#[derive(Default)]
pub struct Order {
    /// The key of each notification, and its number within the key.
    expected: HashMap<String, (String, u64)>,
    /// The highest number of each key that is completed.
    last: HashMap<String, u64>,
    /// The number of notifications that were completed after a later one of their key.
    pub violations: u64,
}

impl Order {
    /// The notification whose item has the key `item` is the one with this number of its `key`.
    pub fn expect(&mut self, item: &str, key: &str, number: u64) {
        self.expected.insert(item.to_owned(), (key.to_owned(), number));
    }

    fn completed(&mut self, item: &str) {
        let Some((key, number)) = self.expected.get(item) else { return };
        let last = self.last.entry(key.clone()).or_default();
        self.violations += u64::from(*number < *last);
        *last = (*last).max(*number);
    }
}

/// A call for one item.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Call {
    table_name: String,
    item: Item,
    key: Item,
    condition_expression: Option<String>,
    update_expression: Option<String>,
    expression_attribute_names: Option<HashMap<String, String>>,
    expression_attribute_values: Option<Item>,
    return_values_on_condition_check_failure: String,
    consistent_read: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Transaction {
    transact_items: Vec<Action>,
}

#[derive(Deserialize)]
enum Action {
    Put(Call),
    Update(Call),
    Delete(Call),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Batch {
    statements: Vec<Request>,
}

/// A statement of PartiQL.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    statement: String,
    #[serde(default)]
    parameters: Vec<Attribute>,
    #[serde(default)]
    return_values_on_condition_check_failure: String,
}

/// Why a call was refused.
pub enum Refused {
    /// The condition does not hold. This is the item, if there is one.
    Condition(Option<Item>),
    /// The transaction was cancelled for these reasons.
    Cancelled(Vec<Value>),
}

/// A planned write.
struct Write {
    table: &'static str,
    key: String,
    /// The item after the write; `None` if it is deleted.
    after: Option<Item>,
    /// The current item, if the condition does not hold.
    refused: Option<Item>,
    holds: bool,
    units: f64,
}

impl DynamoDb {
    pub fn put(&mut self, table: &str, item: Item) -> Result<()> {
        let (name, keys, _) = table_of(table)?;
        let key = key_of(keys, &item)?;
        self.tables.entry(name).or_default().insert(key, item);
        Ok(())
    }

    pub fn item(&self, table: &str, key: &str) -> Option<&Item> {
        self.tables.get(table)?.get(key)
    }

    /// Answers a call. The outer error means that the stub does not know the call.
    pub fn call(&mut self, operation: &str, body: &[u8]) -> Result<Result<Value, Refused>> {
        Ok(match operation {
            "PutItem" => self.single(Action::Put(from_slice(body)?))?,
            "UpdateItem" => self.single(Action::Update(from_slice(body)?))?,
            "DeleteItem" => self.single(Action::Delete(from_slice(body)?))?,
            "GetItem" => {
                let call: Call = from_slice(body)?;
                let (table, keys, _) = table_of(&call.table_name)?;
                let item = self.item(table, &key_of(keys, &call.key)?).cloned();
                let size = item.as_ref().map_or(1, size);
                self.units.reads +=
                    units(size, READ_UNIT_BYTES) * if call.consistent_read { 1.0 } else { 0.5 };
                Ok(item.map_or(json!({}), |item| json!({ "Item": item })))
            }
            "BatchExecuteStatement" => {
                let batch: Batch = from_slice(body)?;
                let answers = batch.statements.iter().map(|request| self.statement(request));
                Ok(json!({ "Responses": answers.collect::<Result<Vec<_>>>()? }))
            }
            "TransactWriteItems" => self.transact(&from_slice::<Transaction>(body)?.transact_items)?,
            other => bail!("the stub does not know {other}"),
        })
    }

    fn single(&mut self, action: Action) -> Result<Result<Value, Refused>> {
        let write = self.write(&action)?;
        self.units.writes += write.units;
        if write.holds {
            self.commit(write);
            return Ok(Ok(json!({})));
        }
        let (Action::Put(call) | Action::Update(call) | Action::Delete(call)) = &action;
        let is_wanted = call.return_values_on_condition_check_failure == "ALL_OLD";
        Ok(Err(Refused::Condition(write.refused.filter(|_| is_wanted))))
    }

    fn statement(&mut self, request: &Request) -> Result<Value> {
        let statement = Statement::parse(&request.statement, &request.parameters)?;
        let (table, keys, _) = table_of(statement.table)?;
        let wanted = keys.iter().map(|name| {
            let value = statement.condition.wanted(name).with_context(|| format!("no key {name}"))?;
            Ok(((*name).to_owned(), value.clone()))
        });
        let key = wanted.collect::<Result<Item>>()?;
        let write =
            self.planned(table, keys, &key, &statement.condition, |item| statement.update.apply(item))?;
        self.units.writes += write.units;
        if !write.holds {
            let error =
                json!({ "Code": "ConditionalCheckFailed", "Message": "The conditional request failed" });
            let mut answer = json!({ "TableName": table, "Error": error });
            let wants = request.return_values_on_condition_check_failure.as_str();
            if let (Some(item), "ALL_OLD") = (write.refused, wants) {
                answer["Error"]["Item"] = json!(item);
            }
            return Ok(answer);
        }
        self.commit(write);
        Ok(json!({ "TableName": table }))
    }

    fn transact(&mut self, actions: &[Action]) -> Result<Result<Value, Refused>> {
        let writes: Vec<_> = actions.iter().map(|action| self.write(action)).collect::<Result<_>>()?;
        self.units.writes += 2.0 * writes.iter().map(|write| write.units).sum::<f64>();
        if writes.iter().all(|write| write.holds) {
            writes.into_iter().for_each(|write| self.commit(write));
            return Ok(Ok(json!({})));
        }
        let reasons = writes.into_iter().map(|write| match write.holds {
            true => json!({ "Code": "None" }),
            false => json!({ "Code": "ConditionalCheckFailed", "Item": write.refused }),
        });
        Ok(Err(Refused::Cancelled(reasons.collect())))
    }

    /// Plans a write, whether or not its condition holds.
    fn write(&self, action: &Action) -> Result<Write> {
        let (Action::Put(call) | Action::Update(call) | Action::Delete(call)) = action;
        let (table, keys, _) = table_of(&call.table_name)?;
        let placeholders = Placeholders {
            names: call.expression_attribute_names.as_ref(),
            values: call.expression_attribute_values.as_ref(),
            parameters: &[],
        };
        let condition = match &call.condition_expression {
            Some(text) => Condition::parse(text, &placeholders)?,
            None => Condition::Always,
        };
        match action {
            Action::Put(Call { item, .. }) => self.planned(table, keys, item, &condition, |stored| {
                stored.clone_from(item);
                Ok(())
            }),
            Action::Update(Call { key, update_expression, .. }) => {
                let text = update_expression.as_ref().context("no UpdateExpression")?;
                let update = Update::parse(text, &placeholders)?;
                self.planned(table, keys, key, &condition, |stored| update.apply(stored))
            }
            Action::Delete(Call { key, .. }) => {
                let mut write = self.planned(table, keys, key, &condition, |_| Ok(()))?;
                write.after = None;
                Ok(write)
            }
        }
    }

    fn planned(
        &self,
        table: &'static str,
        keys: &[&str],
        key: &Item,
        condition: &Condition,
        change: impl FnOnce(&mut Item) -> Result<()>,
    ) -> Result<Write> {
        let name = key_of(keys, key)?;
        let before = self.item(table, &name);
        let holds = condition.holds(before.unwrap_or(&Item::new()))?;
        let mut after = None;
        if holds {
            let mut item = before.unwrap_or(key).clone();
            change(&mut item)?;
            after = Some(item);
        }
        let bytes = before.map_or(1, size).max(after.as_ref().map_or(1, size));
        let refused = before.filter(|_| !holds).cloned();
        Ok(Write { table, key: name, after, refused, holds, units: units(bytes, WRITE_UNIT_BYTES) })
    }

    fn commit(&mut self, write: Write) {
        let Write { table, key, after, .. } = write;
        let (_, _, index) = table_of(table).expect("the write has a known table");
        let entry = |item: &Option<Item>| index.and_then(|name| item.as_ref()?.get(name).cloned());
        let is_completed = |item: &Option<Item>| {
            let status = item.as_ref().and_then(|item| item.get("status"));
            matches!(status, Some(Attribute::S(status)) if status != "INIT")
        };
        let (new, completes) = (entry(&after), table == NOTIFICATIONS && is_completed(&after));
        let items = self.tables.entry(table).or_default();
        let before = match after {
            Some(after) => items.insert(key.clone(), after),
            None => items.remove(&key),
        };
        // A moved entry is one delete and one put. An entry is smaller than one unit.
        let old = entry(&before);
        if old != new {
            self.units.index_writes += f64::from(u8::from(old.is_some()) + u8::from(new.is_some()));
        }
        if completes && !is_completed(&before) {
            self.order.completed(&key);
        }
    }
}

fn table_of(name: &str) -> Result<(&'static str, &'static [&'static str], Option<&'static str>)> {
    let table = TABLES.iter().find(|(table, _, _)| *table == name);
    table.copied().with_context(|| format!("the stub has no table {name}"))
}

fn key_of(keys: &[&str], item: &Item) -> Result<String> {
    let parts = keys.iter().map(|name| {
        let Some(Attribute::S(value)) = item.get(*name) else { bail!("no key {name}") };
        Ok(value.as_str())
    });
    Ok(joined(parts.collect::<Result<Vec<_>>>()?))
}

/// The key of an item, from the values of its attributes.
pub fn joined<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    parts.into_iter().collect::<Vec<_>>().join("\u{0}")
}

fn units(bytes: usize, of: usize) -> f64 {
    bytes.max(1).div_ceil(of) as f64
}

/// The size of an item in bytes as AWS counts it: names and values, and an overhead for maps and lists.
pub fn size(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + size_of(value)).sum()
}

fn size_of(value: &Attribute) -> usize {
    match value {
        Attribute::N(digits) => digits.len() / 2 + 1,
        Attribute::S(text) | Attribute::B(text) => text.len(),
        Attribute::M(map) => 3 + map.len() + size(map),
        Attribute::L(list) => 3 + list.len() + list.iter().map(size_of).sum::<usize>(),
        Attribute::Bool(_) | Attribute::Null(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Item {
        let item = json!({ "id": { "S": id }, "source": { "S": "s" }, "status": { "S": "INIT" }, "bucket": { "S": "b" }, "x": { "S": "y".repeat(1100) } });
        serde_json::from_value(item).unwrap()
    }

    fn call(db: &mut DynamoDb, operation: &str, request: Value) -> Result<Value, Refused> {
        db.call(operation, request.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_conditional_put_is_made_once_and_billed_twice() {
        let mut db = DynamoDb::default();
        let put = json!({ "TableName": NOTIFICATIONS, "Item": record("1"), "ConditionExpression": "attribute_not_exists(id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD" });
        assert!(call(&mut db, "PutItem", put.clone()).is_ok());
        let again = call(&mut db, "PutItem", put);
        assert!(matches!(again, Err(Refused::Condition(Some(item))) if item == record("1")));
        assert_eq!(db.units, Units { writes: 4.0, index_writes: 1.0, reads: 0.0 });
    }

    #[test]
    fn a_transaction_is_all_or_nothing_and_costs_twice() {
        let mut db = DynamoDb::default();
        let put = |id: &str| {
            json!({ "Put": { "TableName": "accounts", "Item": { "account": { "S": id } },
            "ConditionExpression": "attribute_not_exists(account)" } })
        };
        assert!(
            call(&mut db, "TransactWriteItems", json!({ "TransactItems": [put("a"), put("b")] })).is_ok()
        );
        let refused = call(&mut db, "TransactWriteItems", json!({ "TransactItems": [put("c"), put("a")] }));
        let Err(Refused::Cancelled(reasons)) = refused else { panic!("the transaction is not cancelled") };
        assert_eq!(
            (&reasons[0]["Code"], &reasons[1]["Code"]),
            (&json!("None"), &json!("ConditionalCheckFailed"))
        );
        assert!(db.item("accounts", "c").is_none());
        assert_eq!(db.units.writes, 8.0);
    }

    #[test]
    fn statements_are_independent_and_the_order_of_completions_is_checked() {
        let mut db = DynamoDb::default();
        for (at, id) in ["1", "2", "3"].into_iter().enumerate() {
            db.put(NOTIFICATIONS, record(id)).unwrap();
            db.order.expect(&joined([id, "s"]), "k", at as u64);
        }
        let done = |id: &str| {
            json!({ "Statement": r#"UPDATE "bench-notifications" SET "status"='DONE' WHERE "id"=? AND "source"=? AND "status"='INIT'"#,
            "Parameters": [{ "S": id }, { "S": "s" }], "ReturnValuesOnConditionCheckFailure": "ALL_OLD" })
        };
        let request = json!({ "Statements": [done("1"), done("3"), done("1"), done("2")] });
        let Ok(answer) = call(&mut db, "BatchExecuteStatement", request) else {
            panic!("the batch is refused")
        };
        assert_eq!(answer["Responses"][2]["Error"]["Item"]["status"], json!({ "S": "DONE" }));
        assert!(answer["Responses"][3]["Error"].is_null());
        assert_eq!((db.order.violations, db.units.writes), (1, 8.0));
    }
}
