//! Every path that a document, a manifest or a comment names exists.
//!
//! What is taken for a path: a name with a `/` that begins with a folder at the root of the repository or
//! ends as a file of a known type, and a name without `/` that ends in `.rs` or `.md`. It may be relative to
//! any folder above the file that names it. A name alone may be that of any file, and `record/due.rs` the
//! end of any path, unless it begins with a folder at the root. `*` stands for a part of a name, and `{a,b}`
//! for either. The targets of a document's links are left to `links.rs`.

use crate::source::{Comment, split};
use crate::tree::{Tree, folder, join};

/// Files that are named are checked when they end so.
const TYPES: [&str; 11] =
    [".rs", ".md", ".toml", ".yaml", ".yml", ".json", ".jsonl", ".py", ".sh", ".mjs", ".svg"];

/// The types of files that are checked where only their name is given.
const TYPES_BY_NAME: [&str; 2] = [".rs", ".md"];

/// Folders that a build or an installation makes.
const GENERATED: [&str; 4] = ["target", ".local", ".aws-sam", "node_modules"];

/// Names that look like a path of ours, and are something else.
const ELSEWHERE: [&str; 1] = ["docs.rs"];

pub fn check(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in &tree.files {
        for passage in passages(path, text) {
            for (line, named) in named(&passage) {
                if is_ours(tree, &named) && !found(tree, path, &named) {
                    findings.push(format!(
                        "{path}:{line} names `{named}`, which does not exist\n  \
                         -> name the file it is now in, or leave it out"
                    ));
                }
            }
        }
    }
    findings
}

/// What of a file is read: all of a document, the comments of a source, nothing of anything else.
fn passages(path: &str, text: &str) -> Vec<Comment> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    // The tests of this package name files that are not there, and the tutorial those of the repository that it writes.
    if path.starts_with("tests/layout/") || path == "docs/tutorial.md" {
        return Vec::new();
    }
    match extension {
        "md" => vec![Comment { text: without_links(text), line: 1 }],
        "rs" => split(text).1,
        // All of it: its values name the tests that cover a promise.
        "toml" if name == "skips.toml" => vec![Comment { text: text.to_owned(), line: 1 }],
        "toml" | "yaml" | "yml" | "py" | "sh" | "txt" => after_hashes(text),
        "" if name == "Makefile" || text.starts_with("#!") => after_hashes(text),
        _ => Vec::new(),
    }
}

/// The text without the targets of its links.
fn without_links(text: &str) -> String {
    let mut parts = text.split("](");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("] ");
        kept.push_str(part.split_once(')').map_or("", |(_, after)| after));
    }
    kept
}

fn after_hashes(text: &str) -> Vec<Comment> {
    let comment = |(at, line): (usize, &str)| {
        let begin = if line.starts_with('#') { 0 } else { line.find(" #")? };
        Some(Comment { text: line[begin..].to_owned(), line: at + 1 })
    };
    text.lines().enumerate().filter_map(comment).collect()
}

/// The names in a text that may be paths, each with its line.
fn named(passage: &Comment) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (at, line) in passage.text.lines().enumerate() {
        // The letters of paths, and those that make a name no path of ours: a URL, a variable, a type.
        let ends = |letter: char| !(letter.is_alphanumeric() || "_./-*{},:$<>@%~+…&?=\\".contains(letter));
        for word in line.split(ends) {
            for word in alternatives(word) {
                let word = word.trim_end_matches(['.', ',', ':', '?']);
                let word = without_line(word);
                let plain = |letter: char| letter.is_ascii_alphanumeric() || "_./-*".contains(letter);
                if word.chars().all(plain) {
                    let word = word.strip_prefix("./").unwrap_or(word);
                    named.push((passage.line + at, word.trim_end_matches('/').to_owned()));
                }
            }
        }
    }
    named
}

/// Leaves out the number of a line: `src/lib.rs:12`.
fn without_line(word: &str) -> &str {
    let numbered = word.split_once(':').filter(|(_, line)| line.chars().all(|digit| digit.is_ascii_digit()));
    numbered.map_or(word, |(path, _)| path)
}

/// The names that `a/{b,c}/d` stands for. Without braces, a comma ends a name.
fn alternatives(word: &str) -> Vec<String> {
    let parts = word.split_once('{').and_then(|(before, rest)| {
        let (choice, after) = rest.split_once('}')?;
        Some((before, choice, after))
    });
    match parts {
        None => word.split(',').map(str::to_owned).collect(),
        Some((before, choice, after)) => {
            choice.split(',').flat_map(|chosen| alternatives(&format!("{before}{chosen}{after}"))).collect()
        }
    }
}

/// Whether a name is meant to be a path of this repository.
fn is_ours(tree: &Tree, named: &str) -> bool {
    let is_a = |types: &[&str]| types.iter().any(|end| named.ends_with(end) && !named.starts_with('.'));
    let placeholder = |part: &str| part.len() > 1 && part.chars().all(|letter| letter.is_ascii_uppercase());
    if ELSEWHERE.contains(&named) || named.starts_with(['/', '*']) {
        return false;
    }
    let Some((first, rest)) = named.split_once('/') else { return is_a(&TYPES_BY_NAME) };
    !GENERATED.contains(&first)
        && !rest.split('/').any(placeholder)
        && (tree.folders.contains(first) || is_a(&TYPES) || (first == ".." && !rest.is_empty()))
}

/// Whether a name is that of something in a folder above the file, or, without `/`, of any file.
fn found(tree: &Tree, by: &str, named: &str) -> bool {
    let mut above = Some(folder(by));
    while let Some(base) = above {
        if join(base, named).is_some_and(|path| matches_any(tree, &path)) {
            return true;
        }
        above = (!base.is_empty()).then(|| folder(base));
    }
    let from_root = named.split_once('/').is_some_and(|(first, _)| tree.folders.contains(first));
    let end = format!("/{named}");
    !from_root && tree.files.keys().any(|path| path.ends_with(&end))
}

fn matches_any(tree: &Tree, pattern: &str) -> bool {
    if !pattern.contains('*') {
        return tree.exists(pattern);
    }
    let parts: Vec<_> = pattern.split('/').collect();
    tree.files.keys().chain(&tree.folders).any(|path| {
        let path: Vec<_> = path.split('/').collect();
        path.len() == parts.len() && path.iter().zip(&parts).all(|(name, pattern)| matches(name, pattern))
    })
}

/// Whether a name is `pattern`, of which one `*` stands for anything.
fn matches(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((begin, end)) => {
            name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of findings of a small repository with one more file.
    fn findings(path: &str, text: &str) -> Vec<String> {
        let files = [
            ("src/store/ledger.rs", ""),
            ("src/store/call.rs", ""),
            ("docs/design.md", ""),
            ("sim/src/aws.rs", ""),
            ("Cargo.toml", ""),
            (path, text),
        ];
        check(&Tree::of(&files))
    }

    #[test]
    fn a_path_that_does_not_exist_is_found_with_its_line() {
        let wrong = [
            ("README.md", "Text.\nSee `src/ledger.rs`."),
            ("docs/page.md", "a\n| [`src/ledger.rs`](x) | text |"),
            ("src/lib.rs", "fn f() {}\n/// As src/ledger.rs does."),
            ("src/lib.rs", "\n//! See `src/ledger.rs:12`, and `call.rs`."),
            ("Cargo.toml", "[package]\n# The clients are in src/ledger.rs."),
            ("tests/skips.toml", "\ncovered_by = \"src/ledger.rs: a_test\""),
            ("Makefile", "a:\n\tb # as src/ledger.rs"),
        ];
        for (path, text) in wrong {
            let findings = findings(path, text);
            assert_eq!(findings.len(), 1, "{path}: {text}: {findings:?}");
            assert!(findings[0].starts_with(&format!("{path}:2 names `src/ledger.rs`, ")), "{}", findings[0]);
        }
    }

    #[test]
    fn other_forms_of_a_missing_path_are_found() {
        let wrong = [
            "`ledger2.rs`",
            "src/{store,stage}/call.rs",
            "sim/world",
            "`src/other/`",
            "`other/call.rs`",
            "src/x*/call.rs",
            "[a](x) other/a.toml",
            "GONE.md",
        ];
        for text in wrong {
            assert_eq!(findings("docs/page.md", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn what_exists_or_is_no_path_of_ours_is_no_finding() {
        let right = [
            "`src/store/ledger.rs:12`, `call.rs`, src/store/ and docs/design.md.",
            "src/store/{ledger,call}.rs",
            "src/*/ledger.rs, `src/store/l*`",
            "[design](gone.md) and [`call.rs`](../gone.rs#x), `store/call.rs`",
            "`design.md`",
            "https://example.com/src/other.rs",
            "target/debug/other.rs and .local/env",
            "$HOME/src/other.rs",
            "docs.rs, and/or, application/json, 5/6",
            "src/NAME/main.rs",
            "src/….rs",
            "`*.rs`",
            "handover::src/x",
        ];
        for text in right {
            assert_eq!(findings("docs/page.md", text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(findings("sim/README.md", "`src/aws.rs`, below this folder"), Vec::<String>::new());
        assert_eq!(findings("src/lib.rs", "let path = \"src/other.rs\";"), Vec::<String>::new());
    }
}
