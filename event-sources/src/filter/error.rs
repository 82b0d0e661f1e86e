//! Why a filter pattern is rejected.

/// A filter pattern with which AWS rejects a mapping. Correct the pattern in the template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The pattern is not JSON.
    #[error("the filter pattern is not valid JSON: {0}")]
    NotJson(String),
    /// The pattern, or the named part of it, must be an object of field names.
    #[error("in the filter pattern, {0:?} must be an object with at least one field")]
    NotAnObject(String),
    /// The rules of the named field must be a list.
    #[error("in the filter pattern, {0:?} must be a list with at least one rule")]
    NoRules(String),
    /// The named field has a rule with an operator or operands that Lambda does not document.
    #[error("in the filter pattern, {0:?} has a rule that Lambda does not document: {1}")]
    UnknownRule(String, String),
}
