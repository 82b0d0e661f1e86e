//! Every shell block of a document runs as printed in a test, or says why none does.

use crate::tree::Tree;

/// What follows `sh` on a block that no test runs, and what it means.
const NOT_RUN: [(&str, &str); 6] = [
    ("aws", "needs an AWS account"),
    ("long", "builds or measures for minutes"),
    ("engine", "needs a container engine"),
    ("fill-in", "has names to fill in"),
    ("harness", "needs what another program serves"),
    ("packages", "installs what is published"),
];
/// The test that runs the other blocks, and names the documents that it takes them from.
const TEST: &str = "tests/stack/documents.rs";
/// What runs those of one more document.
const TUTORIAL: (&str, &str) = (".ci/tutorial", "docs/tutorial.md");

pub fn check(tree: &Tree) -> Vec<String> {
    let test = tree.files.get(TEST).map_or("", String::as_str);
    let mut findings = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| path.ends_with(".md")) {
        let is_tutorial = path == TUTORIAL.1 && tree.files.contains_key(TUTORIAL.0);
        let is_run = is_tutorial || test.contains(&format!("\"{path}\""));
        for Block { line, info, body } in blocks(text) {
            if let Some(problem) = problem(info, &body, is_run) {
                findings.push(format!("{path}:{line} {problem}"));
            }
        }
    }
    findings
}

fn problem(info: &str, body: &[&str], is_run: bool) -> Option<String> {
    let marks = NOT_RUN.map(|(mark, meaning)| format!("`sh {mark}` {meaning}")).join(", ");
    match info.split_once(' ').unwrap_or((info, "")) {
        ("", _) => {
            Some("has a block that does not say what it is\n  -> write `text`, `sh` or a language".into())
        }
        ("bash" | "shell" | "console", _) => Some("has a shell block\n  -> write `sh`".into()),
        ("sh", "") if is_run => None,
        ("sh", "") => Some(format!(
            "has a block that no test runs\n  -> name the document in {TEST}, or mark it: {marks}"
        )),
        ("sh", mark) if NOT_RUN.iter().any(|(known, _)| *known == mark) => None,
        ("sh", _) => Some(format!("has a block with an unknown mark\n  -> {marks}")),
        _ if body.iter().any(|line| line.trim_start().starts_with("$ ")) => {
            Some("shows commands behind a prompt\n  -> give them a block of their own: `sh`".into())
        }
        _ => None,
    }
}

struct Block<'a> {
    line: usize,
    info: &'a str,
    body: Vec<&'a str>,
}

/// The fenced blocks of a document.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut lines = text.lines().enumerate();
    let mut blocks = Vec::new();
    while let Some((at, line)) = lines.next() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            let body = lines.by_ref().map(|(_, line)| line);
            let body = body.take_while(|line| !line.trim_start().starts_with("```")).collect();
            blocks.push(Block { line: at + 1, info: info.trim(), body });
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let files = [("run.md", text), ("other.md", text), (TEST, "[\"run.md\"]")];
        check(&Tree::of(&files))
    }

    #[test]
    fn a_block_that_runs_or_says_why_not_is_no_finding() {
        for text in [
            "```sh aws\nmake deploy\n```",
            "  ```sh fill-in\n  aws X\n  ```",
            "```text\nmake\n```",
            "```rust\n```",
        ] {
            assert_eq!(findings(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_block_that_no_test_runs_is_found_with_its_line() {
        let findings = findings("a\n\n```sh\nmake run\n```\n");
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].starts_with("other.md:3 has a block that no test runs"), "{}", findings[0]);
    }

    #[test]
    fn a_block_under_another_name_is_found() {
        for text in ["```\nmake\n```", "```bash\nmake\n```", "```text\n$ make\n```", "```sh later\nmake\n```"]
        {
            assert_eq!(findings(text).len(), 2, "{text}");
        }
    }
}
