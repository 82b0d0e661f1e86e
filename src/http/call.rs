//! The calls of the interface, by method and path.

use super::problem::Problem;
use super::request::unescaped;
use crate::code::Code;

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Call {
    Accept,
    AcceptBatch,
    List,
    /// Of the notifications with this id, as the others.
    Read(String),
    Redrive(String),
    Close(String),
    /// The page of this code of an error.
    Explain(Code),
}

impl Call {
    /// The call that a method and a path name. An id may have any visible character, `/` among them; AWS may have taken its
    /// escapes away.
    pub(super) fn of(method: &str, path: &str) -> Result<Call, Problem> {
        let unknown =
            Problem::new(Code::UnknownPath, "there is nothing at this path; see docs/http.md for the calls");
        if let Some(code) = path.strip_prefix("/errors/") {
            let code = Code::ALL.iter().find(|known| known.as_str() == code).ok_or(unknown)?;
            return if method == "GET" { Ok(Call::Explain(*code)) } else { Err(Problem::method("GET")) };
        }
        let method = if method == "HEAD" { "GET" } else { method };
        let Some(rest) = path.strip_prefix("/notifications") else { return Err(unknown) };
        match (method, rest.strip_prefix('/')) {
            ("GET", None) if rest.is_empty() => Ok(Call::List),
            ("POST", None) if rest.is_empty() => Ok(Call::Accept),
            (_, None) if rest.is_empty() => Err(Problem::method("GET, HEAD, POST")),
            (_, None | Some("")) => Err(unknown),
            ("GET", Some(id)) => Ok(Call::Read(unescaped(id)?)),
            ("POST", Some("batch")) => Ok(Call::AcceptBatch),
            ("POST", Some(rest)) => match rest.rsplit_once('/') {
                Some((id, "redrive")) if !id.is_empty() => Ok(Call::Redrive(unescaped(id)?)),
                Some((id, "close")) if !id.is_empty() => Ok(Call::Close(unescaped(id)?)),
                _ => Err(Problem::method("GET, HEAD")),
            },
            (_, Some(rest)) if rest == "batch" || rest.ends_with("/redrive") || rest.ends_with("/close") => {
                Err(Problem::method("GET, HEAD, POST"))
            }
            (_, Some(_)) => Err(Problem::method("GET, HEAD")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_found_by_method_and_path_whatever_is_in_the_id() {
        let id = || "a/b?c".to_owned();
        for (method, path, call) in [
            ("POST", "/notifications", Call::Accept),
            ("POST", "/notifications/batch", Call::AcceptBatch),
            ("GET", "/notifications", Call::List),
            ("GET", "/notifications/a%2Fb%3Fc", Call::Read(id())),
            ("HEAD", "/notifications/a%2Fb%3Fc", Call::Read(id())),
            // As AWS may pass it.
            ("GET", "/notifications/a/b?c", Call::Read(id())),
            ("GET", "/notifications/batch", Call::Read("batch".into())),
            ("GET", "/notifications/a/redrive", Call::Read("a/redrive".into())),
            ("POST", "/notifications/a/b?c/redrive", Call::Redrive(id())),
            ("POST", "/notifications/a%2Fb%3Fc/close", Call::Close(id())),
            ("GET", "/errors/conflict", Call::Explain(Code::Conflict)),
        ] {
            assert_eq!(Call::of(method, path), Ok(call), "{method} {path}");
        }
    }

    #[test]
    fn what_is_no_call_is_told_so() {
        for path in ["/", "", "/notification", "/notificationsx", "/notifications/", "/errors/", "/errors/no"]
        {
            assert_eq!(Call::of("GET", path).unwrap_err().code(), Code::UnknownPath, "{path}");
        }
        for (method, path) in [
            ("PUT", "/notifications"),
            ("PATCH", "/notifications/a"),
            ("POST", "/notifications/a"),
            ("POST", "/notifications//redrive"),
            ("DELETE", "/notifications/batch"),
            ("POST", "/errors/conflict"),
        ] {
            assert_eq!(Call::of(method, path).unwrap_err().code(), Code::MethodNotAllowed, "{method} {path}");
        }
    }
}
