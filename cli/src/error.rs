//! The errors that a script may want to tell apart. Each has a stable code, which is shown as `error[code]: text`.
//! A call to AWS that failed has the code of its fault.

use crate::output::say_error;

/// No stack is named, or not by a name that one can have.
pub const NO_STACK: &str = "no-stack";
/// No Region is named, or not by a name that one can have.
pub const NO_REGION: &str = "no-region";
/// The profile that is named does not exist, or cannot be read.
pub const NO_PROFILE: &str = "no-profile";
/// A variable that has to name an endpoint does not.
pub const NO_ENDPOINT: &str = "no-endpoint";

/// There is no stack of this name.
pub const UNKNOWN_STACK: &str = "unknown-stack";
/// There is no record of the notification, or no refused message with the id.
pub const UNKNOWN_NOTIFICATION: &str = "unknown-notification";
/// Several sources have used the id, and none is named.
pub const SEVERAL_SOURCES: &str = "several-sources";
/// The routes of the stack do not name the destination, or the notification does not go there.
pub const UNKNOWN_DESTINATION: &str = "unknown-destination";
/// The routes name the destination, and it has no queues.
pub const NOT_DEPLOYED: &str = "not-deployed";
/// The routes of the stack, or of the repository, cannot be read or used.
pub const NO_ROUTES: &str = "no-routes";

/// Nobody said yes, and nobody can be asked.
pub const NEEDS_YES: &str = "needs-yes";
/// A call to another system may still be running.
pub const CALL_RUNNING: &str = "call-running";
/// There is no call with an unknown outcome to settle.
pub const NO_UNKNOWN_CALL: &str = "no-unknown-call";
/// The record changed while the command looked at it.
pub const CHANGED: &str = "changed";

/// The current folder is not one that `handover new` wrote.
pub const NO_REPOSITORY: &str = "no-repository";
/// Something of this name is there already.
pub const EXISTS: &str = "exists";

#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct CodedError {
    code: &'static str,
    text: String,
}

/// An error with this code.
pub fn coded(code: &'static str, text: impl Into<String>) -> anyhow::Error {
    CodedError { code, text: text.into() }.into()
}

/// The code of an error, whatever context it was given.
pub fn code(error: &anyhow::Error) -> Option<&'static str> {
    error.downcast_ref::<CodedError>().map(|coded| coded.code)
}

/// Says an error, with its code if it has one.
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
    fn the_page_has_each_code() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/command-line.md");
        let page = std::fs::read_to_string(page).unwrap();
        let codes = include_str!("error.rs").lines().filter_map(|line| {
            let (_, code) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
            code.strip_suffix("\";")
        });
        let missing: Vec<_> = codes.filter(|code| !page.contains(&format!("\n| `{code}` | "))).collect();
        assert!(missing.is_empty(), "docs/command-line.md has no row of {missing:?}");
    }

    #[test]
    fn a_context_leaves_an_error_its_code() {
        let error = coded(NO_ROUTES, "no routes").context("inner").context("outer");
        assert_eq!((code(&error), format!("{error:#}")), (Some(NO_ROUTES), "outer: inner: no routes".into()));
        assert_eq!(code(&anyhow!("another").context("outer")), None);
    }
}
