//! Event filtering: which records the function gets.

mod matching;
mod pattern;

mod error;

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::record::StreamKind;

pub use error::FilterError;
use pattern::{Fields, Node};

/// The FilterCriteria of a mapping. A record passes if it matches at least one filter, or if there
/// are no filters.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    filters: Vec<Filter>,
}

#[derive(Debug, Clone)]
struct Filter {
    stream_kind: StreamKind,
    pattern: Fields,
    /// Whether the pattern has rules for the record's data.
    names_data: bool,
}

impl Filters {
    /// Parses the patterns of a mapping's FilterCriteria.
    ///
    /// # Errors
    ///
    /// Fails if AWS would reject the mapping.
    pub fn parse<P: AsRef<str>>(
        stream_kind: StreamKind,
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<Self, FilterError> {
        let filters = patterns.into_iter().map(|pattern| {
            let pattern = Fields::parse(pattern.as_ref())?;
            let name = data_property(stream_kind);
            let on_data = pattern.find(name);
            // A list of rules would match the data as a plain string, but AWS matches it as JSON.
            if on_data.iter().any(|node| matches!(node, Node::Rules(_))) {
                return Err(FilterError::NotAnObject(name.into()));
            }
            Ok(Filter { stream_kind, names_data: !on_data.is_empty(), pattern })
        });
        Ok(Self { filters: filters.collect::<Result<_, _>>()? })
    }

    /// Whether the function gets this record, given as the JSON in the event's `Records`.
    pub fn pass(&self, event: &Value) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| filter.matches(event))
    }
}

impl Filter {
    fn matches(&self, event: &Value) -> bool {
        match self.stream_kind {
            StreamKind::DynamoDb => self.pattern.match_object(Some(event)),
            StreamKind::Kinesis => {
                let (properties, data_is_json) = kinesis_properties(event);
                (data_is_json || !self.names_data) && self.pattern.match_object(Some(&properties))
            }
        }
    }
}

/// The property in which a filter pattern finds the record's data.
fn data_property(stream_kind: StreamKind) -> &'static str {
    match stream_kind {
        StreamKind::DynamoDb => "dynamodb",
        StreamKind::Kinesis => "data",
    }
}

/// What a pattern matches in a Kinesis record: its metadata and its decoded data. The flag says
/// whether the data is JSON.
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

    fn passes(stream_kind: StreamKind, patterns: &[Value], event: &Value) -> bool {
        let patterns = patterns.iter().map(Value::to_string);
        Filters::parse(stream_kind, patterns).unwrap().pass(event)
    }

    // "Control which events Lambda sends to your function",
    // https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    #[test]
    fn several_filters_are_alternatives_and_none_lets_all_pass() {
        let event = json!({"eventName": "INSERT"});
        let insert = json!({"eventName": ["INSERT"]});
        let remove = json!({"eventName": ["REMOVE"]});
        assert!(passes(StreamKind::DynamoDb, &[], &event));
        assert!(passes(StreamKind::DynamoDb, &[remove.clone(), insert.clone()], &event));
        assert!(!passes(StreamKind::DynamoDb, &[remove], &event));
    }

    // "Using event filtering with a DynamoDB event source",
    // https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-filtering.html
    // "DynamoDB Streams and Time to Live" shows filters on `eventName` and `userIdentity`,
    // https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
    #[test]
    fn a_dynamodb_record_is_matched_by_its_keys_images_and_event_name() {
        let event = json!({
            "eventName": "MODIFY",
            "dynamodb": {
                "Keys": {"id": {"S": "n-1"}},
                "NewImage": {"change": {"S": "dispatch"}, "open": {"N": "2"}},
            },
        });
        let dispatch = json!({"dynamodb": {"NewImage": {"change": {"S": ["dispatch"]}}}});
        let key = json!({"eventName": ["MODIFY"], "dynamodb": {"Keys": {"id": {"S": ["n-1"]}}}});
        let mark = json!({"dynamodb": {"NewImage": {"change": {"S": ["mark"]}}}});
        // DynamoDB's numbers are strings in the record, so numeric rules do not match them.
        let number = json!({"dynamodb": {"NewImage": {"open": {"N": [{"numeric": [">", 1]}]}}}});
        for (pattern, expected) in [(dispatch, true), (key, true), (mark, false), (number, false)] {
            assert_eq!(
                passes(StreamKind::DynamoDb, std::slice::from_ref(&pattern), &event),
                expected,
                "{pattern}"
            );
        }
    }

    // "Using event filtering with a Kinesis event source",
    // https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis-filtering.html
    #[test]
    fn kinesis_data_is_decoded_and_matched_beside_its_metadata() {
        let event = kinesis(br#"{"Location":"Los Angeles"}"#);
        let city = json!({"data": {"Location": ["Los Angeles"]}});
        let city_and_key = json!({"partitionKey": ["1"], "data": {"Location": ["Los Angeles"]}});
        let other_key = json!({"partitionKey": ["2"], "data": {"Location": ["Los Angeles"]}});
        assert!(passes(StreamKind::Kinesis, &[city], &event));
        assert!(passes(StreamKind::Kinesis, &[city_and_key], &event));
        assert!(!passes(StreamKind::Kinesis, &[other_key], &event));
    }

    // The same page, the table that sets the incoming data format against the filter pattern format.
    #[test]
    fn data_that_is_not_json_is_dropped_by_a_pattern_on_data_only() {
        let event = kinesis(b"\xff plain");
        let metadata = json!({"partitionKey": ["1"]});
        let absent = json!({"data": {"Location": [{"exists": false}]}});
        let either = json!({"$or": [{"partitionKey": ["1"]}, {"data": {"a": ["b"]}}]});
        assert!(passes(StreamKind::Kinesis, std::slice::from_ref(&metadata), &event));
        assert!(!passes(StreamKind::Kinesis, std::slice::from_ref(&absent), &event));
        assert!(!passes(StreamKind::Kinesis, &[either], &event));
        assert!(passes(StreamKind::Kinesis, &[absent, metadata], &event));
    }

    // The same table: AWS rejects such a pattern when the mapping is created.
    #[test]
    fn a_pattern_that_takes_data_for_plain_text_is_rejected() {
        let plain = [r#"{"data":["plain"]}"#];
        assert_eq!(
            Filters::parse(StreamKind::Kinesis, plain).unwrap_err(),
            FilterError::NotAnObject("data".into())
        );
    }
}
