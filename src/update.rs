//! A conditional update of one item, and its two spellings: an expression of DynamoDB
//! (alone or in a transaction) and a statement of PartiQL (many in a batch).

use std::collections::HashMap;
use std::fmt::Write;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update as UpdateAction,
};

use crate::fault::Fault;
use crate::record::Item;

/// About as long as a mark is in either spelling.
const TEXT_BYTES: usize = 640;
/// Room for the names, and for the values, of a mark.
const PLACEHOLDERS: usize = 24;

/// A path to an attribute: `destinations.refund.state`. No name in it has a dot.
pub type Path = String;

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
    /// There is no such attribute, or it has this value.
    AbsentOr(Path, AttributeValue),
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
        let mut it = Expression {
            names: HashMap::with_capacity(PLACEHOLDERS),
            values: HashMap::with_capacity(PLACEHOLDERS),
            ..Expression::default()
        };
        let mut text = String::with_capacity(TEXT_BYTES);
        for (at, condition) in update.conditions.iter().enumerate() {
            text += if at > 0 { " AND " } else { "" };
            match condition {
                Condition::Is(path, value) => {
                    it.path(&mut text, path);
                    text += " = ";
                    it.value(&mut text, value.clone());
                }
                Condition::Above(path, least) => {
                    it.path(&mut text, path);
                    text += " > ";
                    it.value(&mut text, number(least));
                }
                Condition::Absent(path) => {
                    text += "attribute_not_exists(";
                    it.path(&mut text, path);
                    text += ")";
                }
                Condition::AbsentOr(path, value) => {
                    text += "(attribute_not_exists(";
                    it.path(&mut text, path);
                    text += ") OR ";
                    it.path(&mut text, path);
                    text += " = ";
                    it.value(&mut text, value.clone());
                    text += ")";
                }
            }
        }
        it.condition = text;
        let mut text = String::with_capacity(TEXT_BYTES);
        for (at, (path, set)) in update.sets.iter().enumerate() {
            text += if at > 0 { ", " } else { "SET " };
            it.path(&mut text, path);
            text += " = ";
            match set {
                Set::To(value) => it.value(&mut text, value.clone()),
                Set::Plus(more) => {
                    it.path(&mut text, path);
                    text += " + ";
                    it.value(&mut text, number(more));
                }
            }
        }
        for (at, path) in update.removes.iter().enumerate() {
            text += if at > 0 { ", " } else { " REMOVE " };
            it.path(&mut text, path);
        }
        it.update = text;
        it
    }

    /// Every name goes through a placeholder: several are reserved words.
    fn path(&mut self, to: &mut String, path: &str) {
        for (at, name) in path.split('.').enumerate() {
            let begin = to.len() + usize::from(at > 0);
            to.extend([if at > 0 { ".#" } else { "#" }, name]);
            if !self.names.contains_key(&to[begin..]) {
                self.names.insert(to[begin..].to_owned(), name.to_owned());
            }
        }
    }

    fn value(&mut self, to: &mut String, value: AttributeValue) {
        let placeholder = format!(":{}", self.values.len());
        *to += &placeholder;
        self.values.insert(placeholder, value);
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
/// stands in `WHERE` beside the key is its condition. Numbers, and words of letters alone, stand in the
/// statement, which makes the call a third shorter; all else is a parameter.
pub(crate) fn statement(table: &str, id: &str, update: &Update) -> (String, Vec<AttributeValue>) {
    let mut parameters = Vec::new();
    let mut it = String::with_capacity(TEXT_BYTES);
    it.extend(["UPDATE \"", table, "\""]);
    for (path, set) in &update.sets {
        it += " SET ";
        quote(&mut it, path);
        it += "=";
        match set {
            Set::To(value) => literal(&mut it, value, &mut parameters),
            Set::Plus(more) => {
                quote(&mut it, path);
                write!(it, "{more:+}").expect("writing to a string cannot fail");
            }
        }
    }
    for path in &update.removes {
        it += " REMOVE ";
        quote(&mut it, path);
    }
    parameters.push(text(id));
    it += " WHERE \"id\"=?";
    for condition in &update.conditions {
        it += " AND ";
        match condition {
            Condition::Is(path, value) => {
                quote(&mut it, path);
                it += "=";
                literal(&mut it, value, &mut parameters);
            }
            Condition::Above(path, least) => {
                quote(&mut it, path);
                write!(it, ">{least}").expect("writing to a string cannot fail");
            }
            Condition::Absent(path) => {
                quote(&mut it, path);
                it += " IS MISSING";
            }
            Condition::AbsentOr(path, value) => {
                it += "(";
                quote(&mut it, path);
                it += " IS MISSING OR ";
                quote(&mut it, path);
                it += "=";
                literal(&mut it, value, &mut parameters);
                it += ")";
            }
        }
    }
    (it, parameters)
}

fn literal(to: &mut String, value: &AttributeValue, parameters: &mut Vec<AttributeValue>) {
    match value {
        AttributeValue::N(number) => *to += number,
        AttributeValue::S(word) if is_word(word) => {
            to.extend(["'", word, "'"]);
        }
        other => {
            parameters.push(other.clone());
            *to += "?";
        }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn quote(to: &mut String, path: &str) {
    for (at, name) in path.split('.').enumerate() {
        to.extend([if at > 0 { ".\"" } else { "\"" }, name, "\""]);
    }
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
            Condition::AbsentOr(path, value) => find(item, path).is_none_or(|held| held == value),
        };
        let mut changed = update.conditions.iter().all(holds).then(|| item.clone())?;
        for (path, set) in &update.sets {
            let value = match set {
                Set::To(value) => value.clone(),
                Set::Plus(more) => number(integer(find(item, path).expect("a number to add to")) + more),
            };
            let (parent, name) = parent(&mut changed, path);
            parent.insert(name.to_owned(), value);
        }
        for path in &update.removes {
            let (parent, name) = parent(&mut changed, path);
            parent.remove(name);
        }
        Some(changed)
    }

    fn find<'a>(item: &'a Item, path: &str) -> Option<&'a AttributeValue> {
        match path.split_once('.') {
            Some((name, rest)) => find(item.get(name)?.as_m().ok()?, rest),
            None => item.get(path),
        }
    }

    /// The map that an attribute is in, and its name there.
    fn parent<'a, 'p>(item: &'a mut Item, path: &'p str) -> (&'a mut Item, &'p str) {
        let Some((parents, name)) = path.rsplit_once('.') else { return (item, path) };
        let parent = parents.split('.').fold(item, |item, name| match item.get_mut(name) {
            Some(AttributeValue::M(inner)) => inner,
            _ => panic!("a path may only be set in a map that is there: {name}"),
        });
        (parent, name)
    }

    fn integer(value: &AttributeValue) -> i64 {
        value.as_n().unwrap().parse().unwrap()
    }

    fn update() -> Update {
        Update {
            conditions: vec![
                Condition::Is("d.refund.state".into(), text("pending")),
                Condition::Above("open".into(), 1),
                Condition::AbsentOr("dead".into(), number(0)),
            ],
            sets: vec![
                ("d.refund.state".into(), Set::To(text("done"))),
                ("open".into(), Set::Plus(-1)),
                ("version".into(), Set::Plus(1)),
            ],
            removes: vec!["expires_at".into()],
        }
    }

    #[test]
    fn as_an_expression() {
        let it = Expression::of(&update());
        assert_eq!(
            it.condition,
            "#d.#refund.#state = :0 AND #open > :1 AND (attribute_not_exists(#dead) OR #dead = :2)"
        );
        assert_eq!(
            it.update,
            "SET #d.#refund.#state = :3, #open = #open + :4, #version = #version + :5 REMOVE #expires_at"
        );
        assert_eq!((it.names["#state"].as_str(), &it.values[":4"]), ("state", &number(-1)));
    }

    #[test]
    fn as_a_statement() {
        let (statement, parameters) = statement("t", "1", &update());
        assert_eq!(
            statement,
            r#"UPDATE "t" SET "d"."refund"."state"='done' SET "open"="open"-1 SET "version"="version"+1 REMOVE "expires_at" WHERE "id"=? AND "d"."refund"."state"='pending' AND "open">1 AND ("dead" IS MISSING OR "dead"=0)"#
        );
        assert_eq!(parameters, [text("1")]);
        for others in [r#"it's' OR "id"<>'"#, "out of stock", ""] {
            let update = Update { sets: vec![("reason".into(), Set::To(text(others)))], ..Update::default() };
            let (statement, parameters) = super::statement("t", "1", &update);
            assert_eq!(statement, r#"UPDATE "t" SET "reason"=? WHERE "id"=?"#);
            assert_eq!(parameters, [text(others), text("1")]);
        }
    }
}
