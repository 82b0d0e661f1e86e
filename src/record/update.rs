//! A conditional update of one item, in two notations: a DynamoDB expression (for `UpdateItem` and
//! transactions) and a PartiQL statement (for batches).

use std::collections::HashMap;
use std::fmt::Write;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::attributes::{ID, SOURCE};
#[cfg(test)]
use super::record::Item;
use crate::notification::NotificationKey;

/// About the length of a mark in either notation, in bytes.
const TEXT_BYTES: usize = 640;
/// Room for the names, and for the values, of a mark.
const PLACEHOLDERS: usize = 24;

/// A path to an attribute: `destinations.refund.state`. No name in it has a dot.
pub(crate) type Path = String;

/// Conditions, and the changes that are made if all of them are true.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Update {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) sets: Vec<(Path, Set)>,
    pub(crate) removes: Vec<Path>,
}

/// A condition on one attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// The attribute has this value.
    Is(Path, AttributeValue),
    /// The attribute is a number above this one.
    Above(Path, i64),
    /// The attribute does not exist.
    Absent(Path),
    /// The attribute does not exist, or has this value.
    AbsentOr(Path, AttributeValue),
    /// The attribute does not exist, or is a number below this one.
    AbsentOrBelow(Path, u64),
}

/// The new value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Set {
    /// This value.
    To(AttributeValue),
    /// Its present value plus this number.
    Plus(i64),
}

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A time, as records keep it.
pub(crate) fn millis(time: Timestamp) -> AttributeValue {
    number(time.as_millisecond())
}

/// Whether a record keeps both times as the same.
pub(crate) fn is_same_millisecond(one: Timestamp, other: Timestamp) -> bool {
    one.as_millisecond() == other.as_millisecond()
}

/// An update as expressions, for `UpdateItem` and `TransactWriteItems`.
#[derive(Debug, Default)]
pub(crate) struct Expression {
    pub(crate) condition: String,
    pub(crate) update: String,
    pub(crate) names: HashMap<String, String>,
    pub(crate) values: HashMap<String, AttributeValue>,
}

impl Expression {
    pub(crate) fn new(update: &Update) -> Expression {
        let mut expression = Expression {
            names: HashMap::with_capacity(PLACEHOLDERS),
            values: HashMap::with_capacity(PLACEHOLDERS),
            ..Expression::default()
        };
        expression.condition = expression.conditions(&update.conditions);
        expression.update = expression.changes(update);
        expression
    }

    fn conditions(&mut self, conditions: &[Condition]) -> String {
        let mut text = String::with_capacity(TEXT_BYTES);
        for (at, condition) in conditions.iter().enumerate() {
            text += if at > 0 { " AND " } else { "" };
            match condition {
                Condition::Is(path, value) => {
                    self.path(&mut text, path);
                    text += " = ";
                    self.value(&mut text, value.clone());
                }
                Condition::Above(path, least) => {
                    self.path(&mut text, path);
                    text += " > ";
                    self.value(&mut text, number(least));
                }
                Condition::Absent(path) => {
                    text += "attribute_not_exists(";
                    self.path(&mut text, path);
                    text += ")";
                }
                Condition::AbsentOr(path, value) => {
                    text += "(attribute_not_exists(";
                    self.path(&mut text, path);
                    text += ") OR ";
                    self.path(&mut text, path);
                    text += " = ";
                    self.value(&mut text, value.clone());
                    text += ")";
                }
                Condition::AbsentOrBelow(path, most) => {
                    text += "(attribute_not_exists(";
                    self.path(&mut text, path);
                    text += ") OR ";
                    self.path(&mut text, path);
                    text += " < ";
                    self.value(&mut text, number(most));
                    text += ")";
                }
            }
        }
        text
    }

    fn changes(&mut self, update: &Update) -> String {
        let mut text = String::with_capacity(TEXT_BYTES);
        for (at, (path, set)) in update.sets.iter().enumerate() {
            text += if at > 0 { ", " } else { "SET " };
            self.path(&mut text, path);
            text += " = ";
            match set {
                Set::To(value) => self.value(&mut text, value.clone()),
                Set::Plus(more) => {
                    self.path(&mut text, path);
                    text += " + ";
                    self.value(&mut text, number(more));
                }
            }
        }
        for (at, path) in update.removes.iter().enumerate() {
            text += if at > 0 { ", " } else { " REMOVE " };
            self.path(&mut text, path);
        }
        text
    }

    /// Writes every name as a placeholder, since several are reserved words.
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

/// An update of a record as a PartiQL statement and its parameters, for `BatchExecuteStatement`. The terms of `WHERE`
/// beside the key are its condition. Numbers and words of letters are literals, which makes the call a third
/// shorter; every other value is a parameter. It has no sums: AWS documents none for PartiQL.
pub(crate) fn statement(
    table: &str,
    key: &NotificationKey,
    update: &Update,
) -> (String, Vec<AttributeValue>) {
    let mut parameters = Vec::new();
    let mut statement = String::with_capacity(TEXT_BYTES);
    statement.extend(["UPDATE \"", table, "\""]);
    for (path, set) in &update.sets {
        statement += " SET ";
        quote(&mut statement, path);
        statement += "=";
        match set {
            Set::To(value) => literal(&mut statement, value, &mut parameters),
            Set::Plus(_) => unreachable!("a statement has values in place of sums: see `Basis`"),
        }
    }
    for path in &update.removes {
        statement += " REMOVE ";
        quote(&mut statement, path);
    }
    parameters.extend([text(&key.id), text(&key.source)]);
    statement.extend([" WHERE \"", ID, "\"=? AND \"", SOURCE, "\"=?"]);
    for condition in &update.conditions {
        statement += " AND ";
        match condition {
            Condition::Is(path, value) => {
                quote(&mut statement, path);
                statement += "=";
                literal(&mut statement, value, &mut parameters);
            }
            Condition::Above(path, least) => {
                quote(&mut statement, path);
                write!(statement, ">{least}").expect("writing to a string cannot fail");
            }
            Condition::Absent(path) => {
                quote(&mut statement, path);
                statement += " IS MISSING";
            }
            Condition::AbsentOr(path, value) => {
                statement += "(";
                quote(&mut statement, path);
                statement += " IS MISSING OR ";
                quote(&mut statement, path);
                statement += "=";
                literal(&mut statement, value, &mut parameters);
                statement += ")";
            }
            Condition::AbsentOrBelow(path, most) => {
                statement += "(";
                quote(&mut statement, path);
                statement += " IS MISSING OR ";
                quote(&mut statement, path);
                write!(statement, "<{most})").expect("writing to a string cannot fail");
            }
        }
    }
    (statement, parameters)
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

    /// The item that DynamoDB makes of an update, or none where a condition fails.
    pub(crate) fn applied(update: &Update, item: &Item) -> Option<Item> {
        let holds = |condition: &Condition| match condition {
            Condition::Is(path, value) => find(item, path) == Some(value),
            Condition::Above(path, least) => find(item, path).is_some_and(|held| integer(held) > *least),
            Condition::Absent(path) => find(item, path).is_none(),
            Condition::AbsentOr(path, value) => find(item, path).is_none_or(|held| held == value),
            Condition::AbsentOrBelow(path, most) => {
                find(item, path).is_none_or(|held| integer(held) < *most as i64)
            }
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

    fn key() -> NotificationKey {
        NotificationKey::new("1", "s")
    }

    fn update() -> Update {
        Update {
            conditions: vec![
                Condition::Is("d.refund.state".into(), text("pending")),
                Condition::Above("open".into(), 1),
                Condition::Absent("d.refund.fault".into()),
                Condition::AbsentOr("dead".into(), number(0)),
                Condition::AbsentOrBelow("closed".into(), 2),
            ],
            sets: vec![
                ("d.refund.state".into(), Set::To(text("done"))),
                ("open".into(), Set::Plus(-1)),
                ("version".into(), Set::Plus(1)),
            ],
            removes: vec!["expires_at".into(), "d.refund.reason".into()],
        }
    }

    #[test]
    fn as_an_expression() {
        let expression = Expression::new(&update());
        assert_eq!(
            expression.condition,
            "#d.#refund.#state = :0 AND #open > :1 AND attribute_not_exists(#d.#refund.#fault) AND (attribute_not_exists(#dead) OR #dead = :2) AND (attribute_not_exists(#closed) OR #closed < :3)"
        );
        assert_eq!(
            expression.update,
            "SET #d.#refund.#state = :4, #open = #open + :5, #version = #version + :6 REMOVE #expires_at, #d.#refund.#reason"
        );
        let mut names: Vec<_> =
            expression.names.iter().map(|(placeholder, name)| (&placeholder[1..], &**name)).collect();
        names.sort();
        let of_paths =
            ["closed", "d", "dead", "expires_at", "fault", "open", "reason", "refund", "state", "version"];
        assert_eq!(names, of_paths.map(|name| (name, name)));
        assert!(expression.names.keys().all(|placeholder| placeholder.starts_with('#')));
        assert_eq!((expression.values.len(), &expression.values[":5"]), (7, &number(-1)));
    }

    #[test]
    fn as_a_statement() {
        let with_values = Update {
            sets: vec![("d.refund.state".into(), Set::To(text("done"))), ("open".into(), Set::To(number(1)))],
            ..update()
        };
        let (statement, parameters) = statement("t", &key(), &with_values);
        assert_eq!(
            statement,
            r#"UPDATE "t" SET "d"."refund"."state"='done' SET "open"=1 REMOVE "expires_at" REMOVE "d"."refund"."reason" WHERE "id"=? AND "source"=? AND "d"."refund"."state"='pending' AND "open">1 AND "d"."refund"."fault" IS MISSING AND ("dead" IS MISSING OR "dead"=0) AND ("closed" IS MISSING OR "closed"<2)"#
        );
        assert_eq!(parameters, [text("1"), text("s")]);
        for others in [r#"it's' OR "id"<>'"#, "out of stock", ""] {
            let update = Update { sets: vec![("reason".into(), Set::To(text(others)))], ..Update::default() };
            let (statement, parameters) = super::statement("t", &key(), &update);
            assert_eq!(statement, r#"UPDATE "t" SET "reason"=? WHERE "id"=? AND "source"=?"#);
            assert_eq!(parameters, [text(others), text("1"), text("s")]);
        }
    }
}
