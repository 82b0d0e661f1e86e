//! Why a program cannot start, or a function stops.

use std::fmt;

use aws_sdk_dynamodb::error::ErrorMetadata;

/// Any error.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a function cannot start, or why it stopped. `main` returns it, and Rust prints that by `Debug`: so `Debug` is its
/// text, too.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An environment variable is missing. Set it in the function's template.
    #[error("the environment variable {0} is missing; set it in the function's template")]
    Missing(&'static str),
    /// An environment variable has a value that cannot be used.
    #[error("the environment variable {name} {problem}")]
    Invalid {
        /// The variable.
        name: String,
        /// What is wrong with its value, and what it has to be.
        problem: String,
    },
    /// A destination cannot be run as it is.
    #[error("the destination `{name}` {problem}")]
    Destination {
        /// Its name.
        name: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Lambda's runtime interface failed.
    #[error("the Lambda runtime stopped")]
    Runtime(#[source] BoxError),
}

impl fmt::Debug for Error {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str(&with_causes(self))
    }
}

impl Error {
    pub(crate) fn invalid(name: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::Invalid { name: name.into(), problem: problem.into() }
    }
}

/// An error with all its causes, as one text. An `SdkError` alone says only "service error".
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain: Vec<_> = std::iter::successors(Some(error), |error| error.source()).collect();
    let redacted: Vec<_> = chain.iter().filter_map(|error| redacted(*error)).collect();
    let mut texts: Vec<String> = Vec::new();
    for error in chain {
        // An error may quote its cause.
        let text =
            redacted.iter().fold(error.to_string(), |text, (quoting, plain)| text.replace(quoting, plain));
        // Many errors repeat the text of their cause.
        if !text.is_empty() && texts.last().is_none_or(|last| !last.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}

/// The text of an error that may quote data, and a text without it. Data may be a secret. An error that hides
/// such a cause from its `source`, as `#[error(transparent)]` does, is not seen.
fn redacted(error: &(dyn std::error::Error + 'static)) -> Option<(String, String)> {
    let plain = if let Some(json) = error.downcast_ref::<serde_json::Error>() {
        format!("JSON of another form (line {}, column {})", json.line(), json.column())
    } else if error.is::<serde_dynamo::Error>() {
        "an item of another form".to_owned()
    } else if let Some(answer) = error.downcast_ref::<ErrorMetadata>() {
        match (answer.code().unwrap_or("no code"), answer.message()) {
            // This message names the missing permission. Other messages of AWS may quote values.
            (code, Some(message)) if code.starts_with("AccessDenied") => format!("{code}: {message}"),
            (code, _) => code.to_owned(),
        }
    } else {
        return None;
    };
    Some((error.to_string(), plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("reading: {0}")]
    struct Wrapped(#[source] serde_json::Error);

    fn layers(texts: &[&'static str]) -> Layer {
        let inner = |source, text: &&'static str| Some(Box::new(Layer { text, source }));
        *texts.iter().rev().fold(None, inner).unwrap()
    }

    #[test]
    fn all_causes_are_joined_and_a_repeated_text_is_not() {
        assert_eq!(with_causes(&layers(&["service error", "no such table"])), "service error: no such table");
        assert_eq!(with_causes(&layers(&["a: b", "b", "c"])), "a: b: c");
    }

    #[test]
    fn an_error_about_data_does_not_quote_it() {
        let error = serde_json::from_str::<u32>("\"4111 1111\"").unwrap_err();
        assert_eq!(with_causes(&error), "JSON of another form (line 1, column 11)");
        let error = serde_dynamo::from_item::<_, u32>(std::collections::HashMap::from([(
            "card".to_owned(),
            aws_sdk_dynamodb::types::AttributeValue::S("4111 1111".into()),
        )]))
        .unwrap_err();
        assert!(!with_causes(&error).contains("4111"));
        let wrapped = Wrapped(serde_json::from_str::<u32>("\"4111 1111\"").unwrap_err());
        assert_eq!(with_causes(&wrapped), "reading: JSON of another form (line 1, column 11)");
        let answer = ErrorMetadata::builder().code("ValidationException").message("Value '4111'").build();
        assert_eq!(with_causes(&answer), "ValidationException");
    }
}
