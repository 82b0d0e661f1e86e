//! Every source file of the library is in the code map of `ARCHITECTURE.md`.
//!
//! `src/record/due.rs` is `due.rs` in the section of `src/record/`. What is in a folder without a section is in that of
//! the rest of `src/`, with its folder.

use crate::tree::Tree;

const PAGE: &str = "ARCHITECTURE.md";
const REST: &str = "The rest of `src/`";
/// The parts of a path whose files the map leaves out.
const LEFT_OUT: [&str; 3] = ["mod.rs", "tests.rs", "tests"];

pub fn check(tree: &Tree) -> Vec<String> {
    let page = tree.files.get(PAGE).map_or("", String::as_str);
    let files = tree.files.keys().filter_map(|path| path.strip_prefix("src/"));
    let of_map =
        files.filter(|file| file.ends_with(".rs") && !file.split('/').any(|part| LEFT_OUT.contains(&part)));
    let missing = of_map.filter(|file| !is_named(page, file));
    missing.map(|file| format!("src/{file} is not in the code map\n  -> add a row to {PAGE}")).collect()
}

/// Whether the map names a file, whose path is that below `src/`.
fn is_named(page: &str, file: &str) -> bool {
    let of_folder = file
        .split_once('/')
        .and_then(|(folder, name)| Some((section(page, &format!("`src/{folder}/`"))?, name)));
    let (rows, name) = of_folder.unwrap_or_else(|| (section(page, REST).unwrap_or_default(), file));
    rows.contains(&format!("`{name}`"))
}

/// What is below the heading that begins so.
fn section<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let (_, below) = page.split_once(&format!("\n### {heading}"))?;
    below.split("\n#").next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "# Map\n\n### `src/a/`: a\n\n| `b.rs` | b |\n\n\
                       ### The rest of `src/`\n\n| `c.rs` | c. `c/d.rs`: d |\n";

    fn findings(file: &str) -> Vec<String> {
        check(&Tree::of(&[(PAGE, MAP), (file, "")]))
    }

    #[test]
    fn a_file_of_the_map_or_of_no_place_in_it_is_no_finding() {
        for right in [
            "src/a/b.rs",
            "src/c.rs",
            "src/c/d.rs",
            "src/a/mod.rs",
            "src/a/b/tests.rs",
            "src/a/b/tests/e.rs",
            "sim/src/e.rs",
            "src/a/e.json",
        ] {
            assert_eq!(findings(right), [""; 0], "{right}");
        }
    }

    #[test]
    fn a_file_that_its_section_does_not_name_is_found() {
        for wrong in ["src/a/c.rs", "src/a/b/b.rs", "src/b.rs", "src/c/b.rs"] {
            let found = findings(wrong);
            assert_eq!(found.len(), 1, "{wrong}");
            assert!(found[0].starts_with(&format!("{wrong} is not in the code map")), "{}", found[0]);
        }
    }
}
