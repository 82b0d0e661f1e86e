//! The errors that a script may want to tell apart. Each has a code, which is shown as `error[code]: text`.
//! A call to AWS that failed has the code of its fault.

use handover::Code;

use crate::output::say_error;

#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct CodedError {
    code: Code,
    text: String,
}

/// An error with this code.
pub fn coded(code: Code, text: impl Into<String>) -> anyhow::Error {
    CodedError { code, text: text.into() }.into()
}

/// The code of an error, whatever context it was given.
pub fn code(error: &anyhow::Error) -> Option<Code> {
    error.downcast_ref::<CodedError>().map(|coded| coded.code)
}

/// Says an error, with its code if it has one: `handover explain CODE` then says more.
pub fn say(error: &anyhow::Error) {
    match code(error) {
        Some(code) => say_error!("error[{code}]: {error:#}"),
        None => say_error!("error: {error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_context_leaves_an_error_its_code() {
        let error = coded(Code::NoRoutes, "no routes").context("inner").context("outer");
        assert_eq!(
            (code(&error), format!("{error:#}")),
            (Some(Code::NoRoutes), "outer: inner: no routes".into())
        );
        assert_eq!(code(&anyhow!("another").context("outer")), None);
    }
}
