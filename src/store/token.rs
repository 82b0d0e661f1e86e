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
    use super::*;
    use aws_sdk_dynamodb::types::Put;

    #[test]
    fn the_token_is_a_hash_of_the_whole_request() {
        let put = |table: &str, names: [&str; 3]| {
            let item = names.iter().map(|name| (name.to_string(), AttributeValue::S("x".into())));
            let put = Put::builder().table_name(table).set_item(Some(item.collect())).build().unwrap();
            TransactWriteItem::builder().put(put).build()
        };
        let once = token(&[put("t", ["a", "b", "c"])]);
        assert_eq!(once.len(), 36);
        assert_eq!(once, token(&[put("t", ["c", "b", "a"])]));
        assert_ne!(once, token(&[put("u", ["a", "b", "c"])]));
        assert_ne!(once, token(&[put("t", ["a", "b", "d"])]));
        assert_ne!(once, token(&[put("t", ["a", "b", "c"]), put("t", ["a", "b", "c"])]));
    }
}
