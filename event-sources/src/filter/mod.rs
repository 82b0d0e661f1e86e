//! Event filtering: which records the function gets to see.

mod matching;
mod pattern;

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::event::Source;
use pattern::{Fields, Node};

/// A mapping's FilterCriteria. Without a filter, every record passes; else a record passes
/// that matches one of them.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    filters: Vec<Filter>,
}

#[derive(Debug, Clone)]
struct Filter {
    source: Source,
    pattern: Fields,
    /// Whether the pattern says anything of the data property.
    names_data: bool,
}

/// A pattern that AWS would refuse when the mapping is created. Mend the template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The pattern is not JSON.
    #[error("a filter pattern is not JSON: {0}")]
    NotJson(String),
    /// The pattern, or a part of it, is not an object of names with rules.
    #[error("in a filter pattern, {0:?} must be an object that is not empty")]
    NotAnObject(String),
    /// A field's rules are not a list.
    #[error("in a filter pattern, {0:?} must hold a list of rules that is not empty")]
    NoRules(String),
    /// A rule uses an operator that Lambda does not document, or with other operands.
    #[error("in a filter pattern, {0:?} holds a rule that Lambda does not document: {1}")]
    UnknownRule(String, String),
}

impl Filters {
    /// Reads the patterns of a mapping's FilterCriteria.
    ///
    /// # Errors
    ///
    /// Where AWS would not create the mapping.
    pub fn parse<P: AsRef<str>>(
        source: Source,
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<Self, FilterError> {
        let filters = patterns.into_iter().map(|pattern| {
            let pattern = Fields::parse(pattern.as_ref())?;
            let name = source.data_property();
            let on_data = pattern.find(name);
            // Data must be matched as JSON; a list of rules would match it as a plain string.
            if on_data.iter().any(|node| matches!(node, Node::Rules(_))) {
                return Err(FilterError::NotAnObject(name.into()));
            }
            Ok(Filter { source, names_data: !on_data.is_empty(), pattern })
        });
        Ok(Self { filters: filters.collect::<Result<_, _>>()? })
    }

    /// Whether the function gets to see this record of the invocation's payload.
    pub fn pass(&self, event: &Value) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| filter.matches(event))
    }
}

impl Filter {
    fn matches(&self, event: &Value) -> bool {
        match self.source {
            Source::DynamoDb => self.pattern.match_object(Some(event)),
            Source::Kinesis => {
                let (properties, data_is_json) = kinesis_properties(event);
                (data_is_json || !self.names_data) && self.pattern.match_object(Some(&properties))
            }
        }
    }
}

/// What a pattern on a Kinesis record sees: the record's metadata, and its data decoded.
fn kinesis_properties(event: &Value) -> (Cow<'_, Value>, bool) {
    let properties = &event["kinesis"];
    let data = properties["data"]
        .as_str()
        .and_then(|data| BASE64_STANDARD.decode(data).ok())
        .and_then(|data| serde_json::from_slice(&data).ok());
    match data {
        None => (Cow::Borrowed(properties), false),
        Some(data) => {
            let mut properties = properties.clone();
            properties["data"] = data;
            (Cow::Owned(properties), true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinesis(data: &[u8]) -> Value {
        json!({
            "kinesis": {"partitionKey": "1", "data": BASE64_STANDARD.encode(data)},
            "eventSource": "aws:kinesis",
        })
    }

    fn passes(source: Source, patterns: &[Value], event: &Value) -> bool {
        let patterns = patterns.iter().map(Value::to_string);
        Filters::parse(source, patterns).unwrap().pass(event)
    }

    // "Control which events Lambda sends to your function",
    // https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    #[test]
    fn several_filters_are_alternatives_and_none_lets_all_pass() {
        let event = json!({"eventName": "INSERT"});
        let insert = json!({"eventName": ["INSERT"]});
        let remove = json!({"eventName": ["REMOVE"]});
        assert!(passes(Source::DynamoDb, &[], &event));
        assert!(passes(Source::DynamoDb, &[remove.clone(), insert.clone()], &event));
        assert!(!passes(Source::DynamoDb, &[remove], &event));
    }

    // "Using event filtering with a DynamoDB event source",
    // https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-filtering.html
    // That `eventName` and `userIdentity` can be filtered on is shown in "DynamoDB Streams and
    // Time to Live",
    // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
    #[test]
    fn a_dynamodb_record_is_matched_by_its_keys_images_and_event_name() {
        let event = json!({
            "eventName": "MODIFY",
            "dynamodb": {
                "Keys": {"id": {"S": "n-1"}},
                "NewImage": {"change": {"S": "offer"}, "open": {"N": "2"}},
            },
        });
        let offer = json!({"dynamodb": {"NewImage": {"change": {"S": ["offer"]}}}});
        let key = json!({"eventName": ["MODIFY"], "dynamodb": {"Keys": {"id": {"S": ["n-1"]}}}});
        let mark = json!({"dynamodb": {"NewImage": {"change": {"S": ["mark"]}}}});
        // A number of DynamoDB is a string in the record: numeric rules do not match it.
        let number = json!({"dynamodb": {"NewImage": {"open": {"N": [{"numeric": [">", 1]}]}}}});
        for (pattern, expected) in [(offer, true), (key, true), (mark, false), (number, false)] {
            assert_eq!(
                passes(Source::DynamoDb, std::slice::from_ref(&pattern), &event),
                expected,
                "{pattern}"
            );
        }
    }

    // "Using event filtering with a Kinesis event source",
    // https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis-filtering.html
    #[test]
    fn kinesis_data_is_decoded_and_its_metadata_stands_beside_it() {
        let event = kinesis(br#"{"Location":"Los Angeles"}"#);
        let city = json!({"data": {"Location": ["Los Angeles"]}});
        let city_and_key = json!({"partitionKey": ["1"], "data": {"Location": ["Los Angeles"]}});
        let other_key = json!({"partitionKey": ["2"], "data": {"Location": ["Los Angeles"]}});
        assert!(passes(Source::Kinesis, &[city], &event));
        assert!(passes(Source::Kinesis, &[city_and_key], &event));
        assert!(!passes(Source::Kinesis, &[other_key], &event));
    }

    // The same page, the table of incoming data format against filter pattern format.
    #[test]
    fn data_that_is_not_json_is_dropped_by_a_pattern_on_data_only() {
        let event = kinesis(b"\xff plain");
        let metadata = json!({"partitionKey": ["1"]});
        let absent = json!({"data": {"Location": [{"exists": false}]}});
        let either = json!({"$or": [{"partitionKey": ["1"]}, {"data": {"a": ["b"]}}]});
        assert!(passes(Source::Kinesis, std::slice::from_ref(&metadata), &event));
        assert!(!passes(Source::Kinesis, std::slice::from_ref(&absent), &event));
        assert!(!passes(Source::Kinesis, &[either], &event));
        assert!(passes(Source::Kinesis, &[absent, metadata], &event));
    }

    // The same table: such a pattern is refused when the mapping is created.
    #[test]
    fn a_pattern_that_takes_data_for_plain_text_is_refused() {
        let plain = [r#"{"data":["plain"]}"#];
        assert_eq!(
            Filters::parse(Source::Kinesis, plain).unwrap_err(),
            FilterError::NotAnObject("data".into())
        );
    }
}
