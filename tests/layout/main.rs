//! The layout of the repository: imports point downwards, and every path that is named exists.
//!
//! Needs no AWS. Run it alone with `cargo test --workspace --test layout`.

mod code_map;
mod features;
mod graph;
mod imports;
mod links;
mod logs;
mod modules;
mod paths;
mod shell;
mod source;
mod tables;
mod template;
mod tests_named;
mod tree;

use imports::{Layers, Package};
use tree::Tree;

/// The order of the library's parts, from top to bottom. A part may import the parts on lower lines,
/// and none on its own line. A part is a folder of `src/` or a file beside them; `lib` is `src/lib.rs`.
const LAYERS: Layers = &[
    &["lib"],
    &["run"],
    &["lambda"],
    &["client", "http"],
    &["pipeline"],
    &["destination"],
    &["store"],
    &["record"],
    &["aws", "notification"],
    &["metrics"],
    &["clock", "code", "error", "templates"],
];

/// The source folders whose files and folders must not import each other in a circle.
const PACKAGES: [Package; 6] = [
    Package { folder: "src", layers: Some(LAYERS) },
    Package { folder: "cli/src", layers: None },
    Package { folder: "sim/src", layers: None },
    Package { folder: "sim/soak/src", layers: None },
    Package { folder: "event-sources/src", layers: None },
    Package { folder: "external-http/src", layers: None },
];

/// The repository as it is on disk.
fn repository() -> Tree {
    Tree::read(env!("CARGO_MANIFEST_DIR").as_ref())
}

/// Fails with every finding, one a paragraph.
#[track_caller]
fn none(findings: Vec<String>) {
    assert!(findings.is_empty(), "{} finding(s)\n\n{}\n", findings.len(), findings.join("\n\n"));
}

#[test]
fn imports_point_downwards_and_in_no_circle() {
    let tree = repository();
    none(PACKAGES.iter().flat_map(|package| imports::check(&tree, package)).collect());
}

#[test]
fn an_export_has_the_feature_of_its_module() {
    none(features::check(&repository()));
}

#[test]
fn every_path_that_is_named_exists() {
    none(paths::check(&repository()));
}

#[test]
fn every_test_that_is_named_exists() {
    none(tests_named::check(&repository()));
}

#[test]
fn every_source_file_is_in_the_code_map() {
    none(code_map::check(&repository()));
}

#[test]
fn every_shell_block_runs_in_a_test_or_says_why_not() {
    none(shell::check(&repository()));
}

#[test]
fn a_log_has_plain_fields_with_documented_names() {
    none(logs::check(&repository()));
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    none(links::check(&repository()));
}

#[test]
fn every_row_of_a_table_is_one_line() {
    none(tables::check(&repository()));
}

#[test]
fn the_template_agrees_with_itself_and_with_the_runbooks() {
    none(template::check(&repository()));
}
