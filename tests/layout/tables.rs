//! Every row of a table in a document is one line: when it is wrapped, the rest of it is a row of its own.

use crate::links::prose;
use crate::tree::Tree;

pub fn check(tree: &Tree) -> Vec<String> {
    let documents = tree.files.iter().filter(|(path, _)| path.ends_with(".md"));
    let rows = documents.flat_map(|(path, text)| wrapped_rows(text).map(move |line| (path, line)));
    rows.map(|(path, line)| format!("{path}:{line} is a row without its end\n  -> write it on one line"))
        .collect()
}

/// The lines that begin a row and do not end one.
fn wrapped_rows(text: &str) -> impl Iterator<Item = usize> {
    let rows = prose(text).filter(|(_, line)| line.trim_start().starts_with('|'));
    rows.filter(|(_, row)| row.trim().len() < 2 || !row.trim_end().ends_with('|')).map(|(line, _)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_wrapped_is_found() {
        let text = "| a | b |\n|---|---|\n  | 1 | two\nthree |\n```\n| no row\n```\n";
        assert_eq!(wrapped_rows(text).collect::<Vec<_>>(), [3]);
    }
}
