//! A conditional update of one item, and its two spellings: an expression of DynamoDB
//! (alone or in a transaction) and a statement of PartiQL (many in a batch).

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update as UpdateAction,
};

use crate::fault::Fault;
use crate::record::Item;

/// A path to an attribute: `["destinations", "refund", "state"]`.
pub type Path = Vec<String>;

/// What is to hold, and what is then to change, all or nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// What is to hold, all of it.
    pub conditions: Vec<Condition>,
    /// What is set.
    pub sets: Vec<(Path, Set)>,
    /// What is removed.
    pub removes: Vec<Path>,
}

/// What is to hold of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The attribute has this value.
    Is(Path, AttributeValue),
    /// The attribute is a number above this one.
    Above(Path, i64),
    /// There is no such attribute.
    Absent(Path),
}

/// What an attribute is set to.
#[derive(Clone, Debug, PartialEq)]
pub enum Set {
    /// To this value.
    To(AttributeValue),
    /// To its value now and this much more.
    Plus(i64),
}

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The key of a record.
pub(crate) fn key(id: &str) -> Item {
    HashMap::from([("id".to_owned(), text(id))])
}

/// An update as expressions, for `UpdateItem` and `TransactWriteItems`.
#[derive(Debug, Default)]
struct Expression {
    condition: String,
    update: String,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Expression {
    fn of(update: &Update) -> Expression {
        let mut it = Expression::default();
        let conditions = update.conditions.iter().map(|condition| match condition {
            Condition::Is(path, value) => format!("{} = {}", it.path(path), it.value(value.clone())),
            Condition::Above(path, least) => format!("{} > {}", it.path(path), it.value(number(least))),
            Condition::Absent(path) => format!("attribute_not_exists({})", it.path(path)),
        });
        let condition = conditions.collect::<Vec<_>>().join(" AND ");
        let sets = update.sets.iter().map(|(path, set)| match (it.path(path), set) {
            (path, Set::To(value)) => format!("{path} = {}", it.value(value.clone())),
            (path, Set::Plus(more)) => format!("{path} = {path} + {}", it.value(number(more))),
        });
        let mut text = format!("SET {}", sets.collect::<Vec<_>>().join(", "));
        if !update.removes.is_empty() {
            let removes: Vec<_> = update.removes.iter().map(|path| it.path(path)).collect();
            text = format!("{text} REMOVE {}", removes.join(", "));
        }
        (it.condition, it.update) = (condition, text);
        it
    }

    /// Every name goes through a placeholder: several are reserved words.
    fn path(&mut self, path: &Path) -> String {
        let names = path.iter().map(|name| {
            let placeholder = format!("#{name}");
            self.names.insert(placeholder.clone(), name.clone());
            placeholder
        });
        names.collect::<Vec<_>>().join(".")
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }
}

/// One `UpdateItem`: nothing, or the item on which its condition failed, which is empty where there is
/// none.
pub(crate) async fn send(
    client: &Client,
    table: &str,
    key: Item,
    update: &Update,
) -> Result<Option<Item>, Fault> {
    let it = Expression::of(update);
    let call = client.update_item().table_name(table).set_key(Some(key));
    let call = call
        .condition_expression(it.condition)
        .update_expression(it.update)
        .set_expression_attribute_names(Some(it.names))
        .set_expression_attribute_values(Some(it.values))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let Err(error) = call.send().await else { return Ok(None) };
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
            Ok(Some(failed.item.clone().unwrap_or_default()))
        }
        _ => Err(Fault::of("UpdateItem", &error)),
    }
}

/// An update as an action of a transaction.
pub(crate) fn action(table: &str, key: Item, update: &Update) -> TransactWriteItem {
    let it = Expression::of(update);
    let update = UpdateAction::builder()
        .table_name(table)
        .set_key(Some(key))
        .condition_expression(it.condition)
        .update_expression(it.update)
        .set_expression_attribute_names(Some(it.names))
        .set_expression_attribute_values(Some(it.values))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .expect("table, key and expression are set");
    TransactWriteItem::builder().update(update).build()
}

/// An update as a PartiQL statement and its parameters, for `BatchExecuteStatement`. What
/// stands in `WHERE` beside the key is its condition.
pub(crate) fn statement(table: &str, id: &str, update: &Update) -> (String, Vec<AttributeValue>) {
    let mut parameters = Vec::new();
    let mut sets = String::new();
    for (path, set) in &update.sets {
        let path = quoted(path);
        match set {
            Set::To(value) => {
                parameters.push(value.clone());
                sets += &format!(" SET {path}=?");
            }
            Set::Plus(more) => sets += &format!(" SET {path}={path}{more:+}"),
        }
    }
    let removes: String = update.removes.iter().map(|path| format!(" REMOVE {}", quoted(path))).collect();
    parameters.push(text(id));
    let mut conditions = String::new();
    for condition in &update.conditions {
        match condition {
            Condition::Is(path, value) => {
                parameters.push(value.clone());
                conditions += &format!(" AND {}=?", quoted(path));
            }
            Condition::Above(path, least) => conditions += &format!(" AND {}>{least}", quoted(path)),
            Condition::Absent(path) => conditions += &format!(" AND {} IS MISSING", quoted(path)),
        }
    }
    (format!("UPDATE \"{table}\"{sets}{removes} WHERE \"id\"=?{conditions}"), parameters)
}

fn quoted(path: &Path) -> String {
    path.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What DynamoDB makes of an update: the changed item, or none where a condition fails.
    pub(crate) fn applied(update: &Update, item: &Item) -> Option<Item> {
        let holds = |condition: &Condition| match condition {
            Condition::Is(path, value) => find(item, path) == Some(value),
            Condition::Above(path, least) => find(item, path).is_some_and(|held| integer(held) > *least),
            Condition::Absent(path) => find(item, path).is_none(),
        };
        let mut changed = update.conditions.iter().all(holds).then(|| item.clone())?;
        for (path, set) in &update.sets {
            let value = match set {
                Set::To(value) => value.clone(),
                Set::Plus(more) => number(integer(find(item, path).expect("a number to add to")) + more),
            };
            let (name, parents) = path.split_last().unwrap();
            parent(&mut changed, parents).insert(name.clone(), value);
        }
        for path in &update.removes {
            let (name, parents) = path.split_last().unwrap();
            parent(&mut changed, parents).remove(name);
        }
        Some(changed)
    }

    fn find<'a>(item: &'a Item, path: &[String]) -> Option<&'a AttributeValue> {
        match path {
            [name] => item.get(name),
            [name, rest @ ..] => find(item.get(name)?.as_m().ok()?, rest),
            [] => None,
        }
    }

    fn parent<'a>(item: &'a mut Item, path: &[String]) -> &'a mut Item {
        path.iter().fold(item, |item, name| match item.get_mut(name) {
            Some(AttributeValue::M(inner)) => inner,
            _ => panic!("a path may only be set in a map that is there: {name}"),
        })
    }

    fn integer(value: &AttributeValue) -> i64 {
        value.as_n().unwrap().parse().unwrap()
    }

    fn path(path: &[&str]) -> Path {
        path.iter().map(|name| name.to_string()).collect()
    }

    fn update() -> Update {
        Update {
            conditions: vec![
                Condition::Is(path(&["d", "refund", "state"]), text("pending")),
                Condition::Above(path(&["open"]), 1),
            ],
            sets: vec![
                (path(&["d", "refund", "state"]), Set::To(text("done"))),
                (path(&["open"]), Set::Plus(-1)),
                (path(&["version"]), Set::Plus(1)),
            ],
            removes: vec![path(&["expires_at"])],
        }
    }

    #[test]
    fn as_an_expression() {
        let it = Expression::of(&update());
        assert_eq!(it.condition, "#d.#refund.#state = :0 AND #open > :1");
        assert_eq!(
            it.update,
            "SET #d.#refund.#state = :2, #open = #open + :3, #version = #version + :4 REMOVE #expires_at"
        );
        assert_eq!((it.names["#state"].as_str(), &it.values[":3"]), ("state", &number(-1)));
    }

    #[test]
    fn as_a_statement() {
        let (statement, parameters) = statement("t", "1", &update());
        assert_eq!(
            statement,
            r#"UPDATE "t" SET "d"."refund"."state"=? SET "open"="open"-1 SET "version"="version"+1 REMOVE "expires_at" WHERE "id"=? AND "d"."refund"."state"=? AND "open">1"#
        );
        assert_eq!(parameters, [text("done"), text("1"), text("pending")]);
    }
}
