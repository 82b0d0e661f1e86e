//! A filter pattern, parsed and checked.

use serde_json::{Map, Value};

use super::error::FilterError;

/// The fields of an object. All must match, and at least one alternative if there are any.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fields {
    pub all: Vec<(String, Node)>,
    /// The alternatives of `$or`.
    pub any: Vec<Fields>,
}

/// What the pattern requires of one field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Object(Fields),
    /// At least one must match.
    Rules(Vec<Rule>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    /// AWS's Equals, Empty and Null.
    Equals(Value),
    EqualsIgnoreCase(String),
    Prefix(String),
    Suffix(String),
    AnythingBut(Vec<Value>),
    Numeric(Vec<(Comparison, f64)>),
    Exists(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const OR: &str = "$or";

impl Fields {
    pub fn parse(pattern: &str) -> Result<Self, FilterError> {
        let value = serde_json::from_str(pattern).map_err(|e| FilterError::NotJson(e.to_string()))?;
        Self::from_value("the pattern", &value)
    }

    /// Every node for a field of the outermost object, in all alternatives.
    pub fn find(&self, name: &str) -> Vec<&Node> {
        let here = self.all.iter().filter(|(field, _)| field == name);
        let alternatives = self.any.iter().flat_map(|fields| fields.find(name));
        here.map(|(_, node)| node).chain(alternatives).collect()
    }

    fn from_value(name: &str, value: &Value) -> Result<Self, FilterError> {
        match value.as_object() {
            Some(object) if !object.is_empty() => Self::from_object(object),
            _ => Err(FilterError::NotAnObject(name.into())),
        }
    }

    fn from_object(object: &Map<String, Value>) -> Result<Self, FilterError> {
        let mut fields = Self { all: Vec::new(), any: Vec::new() };
        for (name, value) in object {
            if name == OR {
                fields.any = list(name, value)?
                    .iter()
                    .map(|alternative| Self::from_value(name, alternative))
                    .collect::<Result<_, _>>()?;
            } else {
                fields.all.push((name.clone(), Node::parse(name, value)?));
            }
        }
        Ok(fields)
    }
}

impl Node {
    fn parse(name: &str, value: &Value) -> Result<Self, FilterError> {
        if value.is_object() {
            return Fields::from_value(name, value).map(Self::Object);
        }
        let rules = list(name, value)?.iter().map(|rule| {
            Rule::parse(rule).ok_or_else(|| FilterError::UnknownRule(name.into(), rule.to_string()))
        });
        Ok(Self::Rules(rules.collect::<Result<_, _>>()?))
    }
}

impl Rule {
    fn parse(rule: &Value) -> Option<Self> {
        let object = match rule {
            Value::Array(_) => return None,
            Value::Object(object) if object.len() == 1 => object,
            Value::Object(_) => return None,
            scalar => return Some(Self::Equals(scalar.clone())),
        };
        let (operator, operand) = object.iter().next()?;
        let text = || operand.as_str().map(str::to_owned);
        match operator.as_str() {
            "equals-ignore-case" => text().map(Self::EqualsIgnoreCase),
            "prefix" => text().map(Self::Prefix),
            "suffix" => text().map(Self::Suffix),
            "exists" => operand.as_bool().map(Self::Exists),
            "anything-but" => anything_but(operand).map(Self::AnythingBut),
            "numeric" => numeric(operand).map(Self::Numeric),
            _ => None,
        }
    }
}

fn list<'a>(name: &str, value: &'a Value) -> Result<&'a Vec<Value>, FilterError> {
    match value.as_array() {
        Some(list) if !list.is_empty() => Ok(list),
        _ => Err(FilterError::NoRules(name.into())),
    }
}

fn anything_but(operand: &Value) -> Option<Vec<Value>> {
    let values = match operand {
        Value::Array(values) if !values.is_empty() => values.clone(),
        value => vec![value.clone()],
    };
    let plain = |value: &Value| value.is_string() || value.is_number();
    values.iter().all(plain).then_some(values)
}

fn numeric(operand: &Value) -> Option<Vec<(Comparison, f64)>> {
    let operand = operand.as_array()?;
    if !matches!(operand.len(), 2 | 4) {
        return None;
    }
    let comparisons = operand.chunks_exact(2).map(|pair| {
        let comparison = match pair[0].as_str()? {
            "=" => Comparison::Equal,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return None,
        };
        Some((comparison, pair[1].as_f64()?))
    });
    comparisons.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // "Control which events Lambda sends to your function", section "Filter rule syntax", lists the
    // operators. Any other is rejected, because ignoring it could drop records.
    // https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    #[test]
    fn a_pattern_that_cannot_be_understood_is_rejected() {
        for (pattern, error) in [
            ("{", "not valid JSON"),
            ("[]", "must be an object"),
            ("{}", "must be an object"),
            (r#"{"a":{}}"#, "\"a\" must be an object"),
            (r#"{"a":"b"}"#, "\"a\" must be a list"),
            (r#"{"a":[]}"#, "\"a\" must be a list"),
            (r#"{"$or":[]}"#, "\"$or\" must be a list"),
            (r#"{"$or":["a"]}"#, "\"$or\" must be an object"),
            (r#"{"a":[["b"]]}"#, "does not document"),
            (r#"{"a":[{"wildcard":"*"}]}"#, "does not document"),
            (r#"{"a":[{"prefix":1}]}"#, "does not document"),
            (r#"{"a":[{"numeric":[">"]}]}"#, "does not document"),
            (r#"{"a":[{"numeric":["!",1]}]}"#, "does not document"),
            (r#"{"a":[{"anything-but":[]}]}"#, "does not document"),
        ] {
            let error_text = Fields::parse(pattern).unwrap_err().to_string();
            assert!(error_text.contains(error), "{pattern}: {error_text}");
        }
    }
}
