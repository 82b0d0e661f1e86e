//! A log's fields are plain values under documented names. What Rust's `Debug` writes changes with the code, and no
//! query of an operator can rely on it. And no log shows what a sender or a provider wrote.

use crate::source::{Token, group, split, without_tests};
use crate::tree::Tree;

/// The macros of `tracing` that log.
const MACROS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];
/// The document that names every field of what runs on AWS.
const PAGE: &str = "docs/runbooks.md";
/// The document that names every metric. A metric is an event whose fields begin with a capital letter.
const METRICS_PAGE: &str = "infra/README.md";

/// Where a message, a record or an answer has what somebody wrote.
const CONTENT: [&str; 17] = [
    "answer",
    "body",
    "bytes",
    "data",
    "dataschema",
    "dispatch",
    "extensions",
    "item",
    "notification",
    "partitionkey",
    "payload",
    "result",
    "sequence_key",
    "subject",
    "text",
    "traceparent",
    "tracestate",
];
/// Reads settings, which its error may quote.
const SETTINGS: &str = "src/notification/routes.rs";

pub fn check(tree: &Tree) -> Vec<String> {
    let text_of = |page: &str| tree.files.get(page).map_or("", String::as_str);
    let (page, metrics) = (text_of(PAGE), text_of(METRICS_PAGE));
    let mut findings = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| logs(path)) {
        let tokens = without_tests(&split(text).0);
        let is_ours = path != SETTINGS && !path.starts_with("event-sources/");
        if let Some(line) = quoted(&tokens).filter(|_| is_ours) {
            findings.push(format!(
                "{path}:{line} makes a text of what serde says\n  -> it quotes values: say what is wrong without them, as `with_causes` does"
            ));
        }
        for call in calls(&tokens) {
            let (line, last) = (call[0].line, call[call.len() - 1].line);
            let lines = text.lines().skip(line - 1).take(last + 1 - line);
            if fields(call).into_iter().any(shows_content) || lines.clone().any(has_content) {
                findings.push(format!(
                    "{path}:{line} logs what somebody wrote\n  -> log `id` and `source`, by which it is found"
                ));
            }
            let is_debug = |field: &[Token]| field.iter().any(|token| token.text == "?");
            if fields(call).into_iter().any(|field| is_debug(&field[..field.len().min(3)]))
                || lines.into_iter().any(|line| line.contains("?}"))
            {
                findings.push(format!(
                    "{path}:{line} logs what `Debug` writes\n  -> log plain values, or a text by `%` or `as_str`"
                ));
            }
            for name in fields(call).into_iter().filter_map(name) {
                let (is_named, page) = match name.starts_with(|first: char| first.is_ascii_uppercase()) {
                    true => (metrics.contains(&format!("`{name}`")), METRICS_PAGE),
                    false => (page.contains(&format!("| `{name}` |")), PAGE),
                };
                if !path.starts_with("event-sources/") && name != "target" && !is_named {
                    findings.push(format!(
                        "{path}:{line} logs the field `{name}`\n  -> take a name from {page}, or add it there"
                    ));
                }
            }
        }
    }
    findings
}

/// Whether a field is content, or is taken from it.
fn shows_content(field: &[Token]) -> bool {
    let is_content = |(at, token): (usize, &Token)| match token.text.as_str() {
        // What a record keeps of it; other reasons are our own.
        "reason" => at > 0 && field[at - 1].text == ".",
        word => CONTENT.contains(&word) && field.get(at + 1).is_none_or(|next| next.text != "="),
    };
    let is_count = field.windows(2).any(|two| two[0].text == "." && two[1].text == "len");
    field.iter().enumerate().any(is_content) && !is_count
}

/// Whether a line has a text into which content is formatted.
fn has_content(line: &str) -> bool {
    let names = line.split('{').skip(1).map(|rest| rest.split(['}', ':']).next().unwrap_or_default());
    names.into_iter().any(|name| CONTENT.contains(&name))
}

/// The line where serde reads something, and its error becomes a text in the same statement.
fn quoted(tokens: &[Token]) -> Option<usize> {
    let reads = |at: &usize| {
        let [from, sign, read] = &tokens[*at..at + 3] else { return false };
        ["serde_json", "serde_dynamo"].contains(&from.text.as_str())
            && sign.text == "::"
            && read.text.starts_with("from_")
    };
    let quotes = |at: &usize| {
        let mut statement = tokens[*at..].iter().take_while(|token| ![";", "}"].contains(&&*token.text));
        statement.any(|token| token.text == "to_string")
    };
    let found = (0..tokens.len().saturating_sub(2)).filter(reads).find(quotes);
    found.map(|at| tokens[at].line)
}

fn logs(path: &str) -> bool {
    path.ends_with(".rs")
        && ["src/", "functions/", "external-http/src/", "event-sources/src/"]
            .iter()
            .any(|part| path.starts_with(part))
}

/// What is between the brackets of each call.
fn calls(tokens: &[Token]) -> Vec<&[Token]> {
    let begins = |at: usize| {
        let [name, sign, bracket] = &tokens[at..at + 3] else { return false };
        MACROS.contains(&name.text.as_str()) && sign.text == "!" && bracket.text == "("
    };
    let starts = (0..tokens.len().saturating_sub(2)).filter(|at| begins(*at));
    starts
        .map(|at| &tokens[at + 3..at + 1 + group(&tokens[at + 2..])])
        .filter(|call| !call.is_empty())
        .collect()
}

/// The parts between the commas of a call.
fn fields(call: &[Token]) -> Vec<&[Token]> {
    let (mut fields, mut begun, mut at) = (Vec::new(), 0, 0);
    while at < call.len() {
        match call[at].text.as_str() {
            "(" | "[" | "{" => at += group(&call[at..]),
            "," => {
                fields.push(&call[begun..at]);
                at += 1;
                begun = at;
            }
            _ => at += 1,
        }
    }
    fields.push(&call[begun..]);
    fields.into_iter().filter(|field| !field.is_empty()).collect()
}

/// The name of a field; a message has none.
fn name(field: &[Token]) -> Option<&str> {
    let first = field.iter().find(|token| !["%", "?"].contains(&token.text.as_str()))?;
    (first.text != "\"").then_some(first.text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(code: &str) -> usize {
        let files = [("src/a.rs", code), (PAGE, "| `id` | its id |\n| `error` | what went wrong |")];
        check(&Tree::of(&files)).len()
    }

    #[test]
    fn plain_fields_with_documented_names_are_no_finding() {
        for right in [
            r#"fn f() { tracing::warn!(id, %error, "what") }"#,
            r#"fn f() { info!(id = work.id()?, error = format!("{error:#}"), "what"); let a = b(id)?; }"#,
            "fn f() { warn!(\"what: {id}\");\n format!(\"{a:?}\") }",
            r#"#[cfg(test)] mod tests { fn f() { warn!(?other, "what") } }"#,
            r#"fn f() { say_error!(other) }"#,
        ] {
            assert_eq!(findings(right), 0, "{right}");
        }
    }

    #[test]
    fn what_debug_writes_is_found() {
        for wrong in [
            r#"fn f() { tracing::warn!(?id, "what") }"#,
            "fn f() { error!(\n id = ?work.id(),\n \"what\"\n) }",
            r#"fn f() { info!(id, "what {error:?}") }"#,
            r#"fn f() { info!(id = format!("{:#?}", error), "what") }"#,
        ] {
            assert_eq!(findings(wrong), 1, "{wrong}");
        }
    }

    #[test]
    fn what_somebody_wrote_is_found() {
        for wrong in [
            r#"fn f() { warn!(id, error = record.subject, "what") }"#,
            r#"fn f() { warn!(id, error = %work.dispatch.notification.data, "what") }"#,
            r#"fn f() { warn!(id, error = delivery.reason.as_deref(), "what") }"#,
            r#"fn f() { warn!(id, error = body(message), "what") }"#,
            "fn f() { warn!(\n id,\n \"what: {payload}\"\n) }",
            r#"fn f() { let a = serde_dynamo::from_item(item).map_err(|error| A(error.to_string()))?; }"#,
        ] {
            assert_eq!(findings(wrong), 1, "{wrong}");
        }
        for right in [
            r#"fn f() { warn!(id, error = reason, "what of the data") }"#,
            r#"fn f() { warn!(id = dispatch.len(), "what") }"#,
            r#"fn f() { let a = serde_json::from_str(text).map_err(quiet)?; a.to_string(); }"#,
        ] {
            assert_eq!(findings(right), 0, "{right}");
        }
    }

    #[test]
    fn a_field_without_a_place_in_the_document_is_found() {
        assert_eq!(findings(r#"fn f() { tracing::warn!(id, reason, why = 1, "what") }"#), 2);
    }
}
