//! The `ClientRequestToken` of a transaction.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem};
use sha2::{Digest, Sha256};

use crate::notification::hex;
use crate::record::Item;

/// A hash of the whole request: the same for the SDK's own retries of it, and different for any other
/// request. Exactly-once does not rest on it.
pub(crate) fn token(actions: &[TransactWriteItem]) -> String {
    let mut content = Content(Vec::with_capacity(2 * 1024));
    for action in actions {
        content.action(action);
    }
    hex(&Sha256::digest(&content.0)[..18])
}

/// The content of a request: each part with its length, and maps in the order of their keys.
struct Content(Vec<u8>);

impl Content {
    fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn length(&mut self, length: usize) {
        self.0.extend_from_slice(&(length as u64).to_be_bytes());
    }

    fn text(&mut self, text: Option<&str>) {
        self.bytes(text.unwrap_or_default().as_bytes());
    }

    fn action(&mut self, action: &TransactWriteItem) {
        if let Some(put) = action.put() {
            self.write("put", put.table_name(), put.condition_expression(), None);
            self.maps(&put.item, put.expression_attribute_names(), put.expression_attribute_values());
        }
        if let Some(update) = action.update() {
            let expressions = (update.condition_expression(), Some(update.update_expression()));
            self.write("update", update.table_name(), expressions.0, expressions.1);
            self.maps(&update.key, update.expression_attribute_names(), update.expression_attribute_values());
        }
        if let Some(delete) = action.delete() {
            self.write("delete", delete.table_name(), delete.condition_expression(), None);
            self.maps(&delete.key, delete.expression_attribute_names(), delete.expression_attribute_values());
        }
        if let Some(check) = action.condition_check() {
            self.write("check", check.table_name(), Some(check.condition_expression()), None);
            self.maps(&check.key, check.expression_attribute_names(), check.expression_attribute_values());
        }
    }

    fn write(&mut self, kind: &str, table: &str, condition: Option<&str>, update: Option<&str>) {
        [Some(kind), Some(table), condition, update].into_iter().for_each(|text| self.text(text));
    }

    fn maps(&mut self, item: &Item, names: Option<&HashMap<String, String>>, values: Option<&Item>) {
        self.item(item);
        let mut names: Vec<_> = names.into_iter().flatten().collect();
        names.sort();
        self.length(names.len());
        names.into_iter().for_each(|(name, path)| {
            self.text(Some(name));
            self.text(Some(path));
        });
        values.into_iter().for_each(|values| self.item(values));
    }

    fn item(&mut self, item: &Item) {
        let mut entries: Vec<_> = item.iter().collect();
        entries.sort_by_key(|(name, _)| *name);
        self.length(entries.len());
        for (name, value) in entries {
            self.text(Some(name));
            self.value(value);
        }
    }

    fn value(&mut self, value: &AttributeValue) {
        match value {
            AttributeValue::M(map) => {
                self.text(Some("M"));
                self.item(map);
            }
            AttributeValue::L(list) => {
                self.text(Some("L"));
                self.length(list.len());
                list.iter().for_each(|value| self.value(value));
            }
            AttributeValue::S(text) => {
                self.text(Some("S"));
                self.text(Some(text));
            }
            AttributeValue::N(number) => {
                self.text(Some("N"));
                self.text(Some(number));
            }
            // The other types have no maps, so that their debug form is unique.
            plain => self.text(Some(&format!("{plain:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use aws_sdk_dynamodb::types::Put;

    fn put(table: &str, condition: &str, item: Item) -> TransactWriteItem {
        let put = Put::builder().table_name(table).condition_expression(condition).set_item(Some(item));
        TransactWriteItem::builder().put(put.build().unwrap()).build()
    }

    fn text(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    fn map<const N: usize>(entries: [(&str, AttributeValue); N]) -> Item {
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn the_token_is_a_hash_of_the_whole_request() {
        let item = || map([("a", text("x")), ("b", text("y"))]);
        let once = token(&[put("t", "c", item())]);
        assert_eq!(once.len(), 36);
        assert_eq!(once, token(&[put("t", "c", item())]));
        assert_ne!(once, token(&[put("u", "c", item())]));
        assert_ne!(once, token(&[put("t", "d", item())]));
        assert_ne!(once, token(&[put("tc", "", item())]));
        assert_ne!(once, token(&[put("t", "c", map([("a", text("x"))]))]));
        assert_ne!(once, token(&[put("t", "c", map([("a", text("x")), ("c", text("y"))]))]));
        assert_ne!(once, token(&[put("t", "c", item()), put("t", "c", item())]));
    }

    #[test]
    fn every_value_has_a_token_of_its_own_whatever_the_order_of_its_map() {
        let list = |values: &[AttributeValue]| AttributeValue::L(values.to_vec());
        let (x, y) = (text("x"), text("y"));
        let values = [
            x.clone(),
            y.clone(),
            AttributeValue::N("1".to_owned()),
            text("1"),
            AttributeValue::Bool(true),
            list(&[]),
            list(&[list(&[x.clone(), y.clone()])]),
            list(&[list(std::slice::from_ref(&x)), y.clone()]),
            list(&[list(&[]), x.clone(), y.clone()]),
            AttributeValue::M(map([])),
            AttributeValue::M(map([("a", x.clone())])),
            AttributeValue::M(map([("a", y)])),
        ];
        let tokens: HashSet<_> =
            values.iter().map(|value| token(&[put("t", "", map([("v", value.clone())]))])).collect();
        assert_eq!(tokens.len(), values.len());
        let names = || (0..20).map(|number| (number.to_string(), x.clone()));
        let one = AttributeValue::M(names().collect());
        let other = AttributeValue::M(names().rev().collect());
        assert_eq!(token(&[put("t", "", map([("v", one)]))]), token(&[put("t", "", map([("v", other)]))]));
    }
}
