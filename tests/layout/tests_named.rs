//! Every test that a document names beside its file is in that file.
//!
//! In a document that is "`file.rs`: `name`, `other_name`", after one file or several; a name that ends with
//! `…` means every test of that beginning. In `tests/skips.toml` it is `covered_by = "file.rs: name"`.

use crate::tree::Tree;

pub fn check(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, text) in &tree.files {
        for (at, line) in text.lines().enumerate() {
            for (file, name) in named(path, line) {
                if !has_test(tree, &file, &name) {
                    findings.push(format!(
                        "{path}:{} names the test `{name}` of `{file}`, which is not there\n  \
                         -> name the test as it is now, and the file it is in",
                        at + 1
                    ));
                }
            }
        }
    }
    findings
}

/// The pairs of file and test in a line.
fn named(path: &str, line: &str) -> Vec<(String, String)> {
    if path.ends_with("skips.toml") {
        let covered = line.strip_prefix("covered_by = \"").and_then(|value| value.strip_suffix('"'));
        let pair = covered.and_then(|value| value.split_once(": "));
        return pair.map(|(file, name)| (file.to_owned(), name.to_owned())).into_iter().collect();
    }
    if !path.ends_with(".md") {
        return Vec::new();
    }
    let mut pairs = Vec::new();
    for part in line.split([';', '|']) {
        let Some((files, names)) = part.split_once("`: `") else { continue };
        let (files, names) = (format!("{files}`"), format!("`{names}"));
        let files: Vec<&str> = quoted(&files).filter(|file| file.ends_with(".rs")).collect();
        for name in quoted(&names).filter(|name| name.contains('_')) {
            pairs.extend(files.iter().map(|file| (file.to_string(), name.to_owned())));
        }
    }
    pairs
}

/// What stands between back quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn has_test(tree: &Tree, file: &str, name: &str) -> bool {
    let function = match name.strip_suffix('…') {
        Some(beginning) => format!("fn {beginning}"),
        None => format!("fn {name}("),
    };
    tree.files.iter().any(|(path, text)| path == file && text.contains(&function))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(document: &str) -> Vec<String> {
        check(&Tree::of(&[
            ("A.md", document),
            ("tests/a.rs", "fn g1_one() {}"),
            ("tests/b.rs", "fn g1_two() {}"),
        ]))
    }

    #[test]
    fn a_test_that_is_there_is_no_finding() {
        assert_eq!(findings("| `tests/a.rs` and `tests/b.rs`: `g1_…`; `tests/b.rs`: `g1_two` |"), [""; 0]);
    }

    #[test]
    fn a_test_that_is_not_there_is_found_with_its_line() {
        let found = findings("\n| `tests/a.rs`: `g1_one`, `g1_two` |");
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("A.md:2 names the test `g1_two` of `tests/a.rs`"), "{}", found[0]);
        let skips =
            Tree::of(&[("tests/skips.toml", "covered_by = \"tests/a.rs: g1_two\""), ("tests/a.rs", "")]);
        assert_eq!(check(&skips).len(), 1);
    }
}
