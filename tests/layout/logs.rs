//! A log's fields are plain values under documented names. What Rust's `Debug` writes changes with the code, and no
//! query of an operator can rely on it.

use crate::source::{Token, group, split, without_tests};
use crate::tree::Tree;

/// The macros of `tracing` that log.
const MACROS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];
/// The document that names every field of what runs on AWS.
const PAGE: &str = "docs/runbooks.md";
/// The document that names every metric. A metric is an event whose fields begin with a capital letter.
const METRICS_PAGE: &str = "infra/README.md";

pub fn check(tree: &Tree) -> Vec<String> {
    let text_of = |page: &str| tree.files.get(page).map_or("", String::as_str);
    let (page, metrics) = (text_of(PAGE), text_of(METRICS_PAGE));
    let mut findings = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| logs(path)) {
        for call in calls(&without_tests(&split(text).0)) {
            let (line, last) = (call[0].line, call[call.len() - 1].line);
            let lines = text.lines().skip(line - 1).take(last + 1 - line);
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

fn logs(path: &str) -> bool {
    path.ends_with(".rs")
        && ["src/", "functions/", "event-sources/src/"].iter().any(|part| path.starts_with(part))
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
    fn a_field_without_a_place_in_the_document_is_found() {
        assert_eq!(findings(r#"fn f() { tracing::warn!(id, reason, why = 1, "what") }"#), 2);
    }
}
