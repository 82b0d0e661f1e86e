//! Matching a record against a filter pattern.

use serde_json::Value;

use super::pattern::{Comparison, Fields, Node, Rule};

impl Fields {
    /// Whether an object of the record matches. `None` if the record has no such object.
    pub fn match_object(&self, object: Option<&Value>) -> bool {
        let field = |name: &str| object.and_then(|object| object.get(name));
        let all = self.all.iter().all(|(name, node)| node.matches(field(name)));
        all && (self.any.is_empty() || self.any.iter().any(|fields| fields.match_object(object)))
    }
}

impl Node {
    fn matches(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Object(fields), Some(Value::Array(elements))) => {
                elements.iter().any(|element| fields.match_object(Some(element)))
            }
            (Self::Object(fields), value) => fields.match_object(value),
            (Self::Rules(rules), value) => {
                let leaves = leaves(value);
                rules.iter().any(|rule| rule.matches(&leaves))
            }
        }
    }
}

/// The values that rules apply to. Rules apply to leaves only: an object counts as absent, and a
/// list as each of its elements.
fn leaves(value: Option<&Value>) -> Vec<&Value> {
    match value {
        None | Some(Value::Object(_)) => Vec::new(),
        Some(Value::Array(elements)) => elements.iter().flat_map(|e| leaves(Some(e))).collect(),
        Some(scalar) => vec![scalar],
    }
}

impl Rule {
    fn matches(&self, leaves: &[&Value]) -> bool {
        match self {
            Self::Exists(expected) => leaves.is_empty() != *expected,
            _ => leaves.iter().any(|leaf| self.matches_leaf(leaf)),
        }
    }

    fn matches_leaf(&self, leaf: &Value) -> bool {
        let text = |matches: &dyn Fn(&str) -> bool| leaf.as_str().is_some_and(matches);
        match self {
            // Equals compares numbers as they are written, so 300 is not 300.0.
            Self::Equals(expected) => leaf == expected,
            Self::EqualsIgnoreCase(expected) => text(&|leaf| leaf.to_lowercase() == expected.to_lowercase()),
            Self::Prefix(prefix) => text(&|leaf| leaf.starts_with(prefix)),
            Self::Suffix(suffix) => text(&|leaf| leaf.ends_with(suffix)),
            Self::AnythingBut(values) => !values.contains(leaf),
            Self::Numeric(comparisons) => leaf.as_f64().is_some_and(|number| {
                comparisons.iter().all(|(comparison, limit)| comparison.holds(number, *limit))
            }),
            Self::Exists(expected) => *expected,
        }
    }
}

impl Comparison {
    fn holds(self, number: f64, limit: f64) -> bool {
        match self {
            Self::Equal => number == limit,
            Self::Less => number < limit,
            Self::LessOrEqual => number <= limit,
            Self::Greater => number > limit,
            Self::GreaterOrEqual => number >= limit,
        }
    }
}

#[cfg(test)]
mod tests {
    // "Control which events Lambda sends to your function", section "Filter rule syntax",
    // https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html, and "Comparison operators for use in
    // event patterns in Amazon EventBridge",
    // https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html

    use super::*;
    use serde_json::json;

    /// Checks one pattern against records that match and records that do not.
    fn check<const M: usize, const N: usize>(pattern: Value, matching: [Value; M], not_matching: [Value; N]) {
        let fields = Fields::parse(&pattern.to_string()).unwrap();
        for event in matching {
            assert!(fields.match_object(Some(&event)), "{pattern} {event}");
        }
        for event in not_matching {
            assert!(!fields.match_object(Some(&event)), "{pattern} {event}");
        }
    }

    #[test]
    fn equals_one_of_a_list_character_by_character() {
        check(
            json!({"Payment": ["Credit", "Debit"]}),
            [json!({"Payment": "Credit"}), json!({"Payment": "Debit"})],
            [json!({"Payment": "credit"}), json!({"Payment": "Cash"}), json!({})],
        );
        check(
            json!({"Price": [300]}),
            [json!({"Price": 300})],
            [json!({"Price": 300.0}), json!({"Price": "300"})],
        );
        check(
            json!({"Paid": [true]}),
            [json!({"Paid": true})],
            [json!({"Paid": "true"}), json!({"Paid": false})],
        );
    }

    #[test]
    fn null_and_empty_are_not_absent() {
        check(json!({"UserID": [null]}), [json!({"UserID": null})], [json!({}), json!({"UserID": ""})]);
        check(json!({"LastName": [""]}), [json!({"LastName": ""})], [json!({}), json!({"LastName": null})]);
    }

    #[test]
    fn several_fields_must_all_match() {
        check(
            json!({"Location": ["New York"], "Day": ["Monday"]}),
            [json!({"Location": "New York", "Day": "Monday", "more": 1})],
            [json!({"Location": "New York"}), json!({"Location": "New York", "Day": "Friday"})],
        );
    }

    #[test]
    fn or_needs_one_of_its_alternatives() {
        check(
            json!({"a": [1], "$or": [{"Location": ["New York"]}, {"Day": ["Monday"]}]}),
            [json!({"a": 1, "Day": "Monday"}), json!({"a": 1, "Location": "New York"})],
            [json!({"a": 1, "Day": "Friday"}), json!({"Day": "Monday"})],
        );
    }

    #[test]
    fn prefix_suffix_and_case() {
        check(
            json!({"Region": [{"prefix": "us-"}]}),
            [json!({"Region": "us-east-1"})],
            [json!({"Region": "eu-us-1"}), json!({"Region": 1}), json!({})],
        );
        check(
            json!({"File": [{"suffix": ".png"}]}),
            [json!({"File": "a.png"})],
            [json!({"File": "a.png.txt"})],
        );
        check(
            json!({"Name": [{"equals-ignore-case": "alice"}]}),
            [json!({"Name": "ALICE"})],
            [json!({"Name": "alice b"})],
        );
    }

    #[test]
    fn anything_but_needs_a_value() {
        check(
            json!({"Weather": [{"anything-but": ["Raining", 3]}]}),
            [json!({"Weather": "Sunny"}), json!({"Weather": 4})],
            [json!({"Weather": "Raining"}), json!({"Weather": 3}), json!({})],
        );
        check(
            json!({"Weather": [{"anything-but": "Raining"}]}),
            [json!({"Weather": "Sunny"})],
            [json!({"Weather": "Raining"})],
        );
    }

    #[test]
    fn numeric_equality_and_ranges() {
        check(
            json!({"Price": [{"numeric": ["=", 100]}]}),
            [json!({"Price": 100}), json!({"Price": 100.0})],
            [json!({"Price": 101}), json!({"Price": "100"})],
        );
        check(
            json!({"Price": [{"numeric": [">", 10, "<=", 20]}]}),
            [json!({"Price": 10.5}), json!({"Price": 20})],
            [json!({"Price": 10}), json!({"Price": 20.5})],
        );
        check(
            json!({"Price": [{"numeric": [">=", 10, "<", 20]}]}),
            [json!({"Price": 10})],
            [json!({"Price": 20})],
        );
    }

    // "Using event filtering with a DynamoDB event source", section "Using the Exists operator":
    // it applies to leaves, so an object counts as absent.
    // https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-filtering.html
    #[test]
    fn exists_looks_at_leaves() {
        check(
            json!({"Product": [{"exists": true}]}),
            [json!({"Product": "a"}), json!({"Product": null})],
            [json!({}), json!({"Product": {"Name": "a"}})],
        );
        check(
            json!({"NewImage": {"Product": {"S": [{"exists": false}]}}}),
            [json!({}), json!({"NewImage": {}}), json!({"NewImage": {"Product": {"N": "1"}}})],
            [json!({"NewImage": {"Product": {"S": "a"}}})],
        );
    }

    // "Matching on multiple values in an event field",
    // https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns-arrays.html
    #[test]
    fn of_a_list_one_element_must_match() {
        check(
            json!({"tags": ["a", "b"]}),
            [json!({"tags": ["b", "c"]})],
            [json!({"tags": ["c"]}), json!({"tags": []})],
        );
        check(
            json!({"lines": {"sku": ["a"]}}),
            [json!({"lines": [{"sku": "b"}, {"sku": "a"}]})],
            [json!({"lines": [{"sku": "b"}]})],
        );
    }
}
