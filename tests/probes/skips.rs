//! Reads the list of skips, `tests/skips.toml`.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::PROMISES;
use crate::world::root;

/// The local AWSs: the value of `HANDOVER_LOCAL`, and the title in the docs.
pub const LOCALS: [(&str, &str); 2] =
    [("ministack", "MiniStack 1.5.33"), ("localstack", "LocalStack 4.14.0")];

/// A probe that fails on a local AWS.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    pub test: String,
    pub on: String,
    /// What this local AWS does instead.
    pub behaviour: String,
    /// A part of the text of the probe's panic.
    pub fails_with: String,
    /// The test that covers the difference: `path: test`.
    pub covered_by: String,
    /// Tests through the deployed stack that need this behaviour and are not run there: `path: test`.
    #[serde(default)]
    pub not_run: Vec<String>,
}

impl Skip {
    pub fn is(&self, test: &str, on: &str) -> bool {
        self.test == test && self.on == on
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    skip: Vec<Skip>,
}

pub fn all() -> Vec<Skip> {
    let file: File = toml::from_str(include_str!("../skips.toml")).expect("tests/skips.toml");
    file.skip
}

#[test]
fn the_list_of_skips_is_sound() {
    let root = root();
    let mut seen = HashSet::new();
    for skip in all() {
        let known =
            PROMISES.iter().flat_map(|(_, promises)| *promises).any(|promise| promise.name == skip.test);
        assert!(known, "no such probe: {skip:?}");
        assert!(LOCALS.iter().any(|(local, _)| *local == skip.on), "no such local AWS: {skip:?}");
        assert!(skip.behaviour.trim().ends_with('.'), "the behaviour is not a sentence: {skip:?}");
        assert!(!skip.fails_with.is_empty(), "`fails_with` is empty: {skip:?}");
        for test in skip.not_run.iter().chain([&skip.covered_by]) {
            let (path, test) = test.split_once(": ").expect("`path: test`");
            let text =
                fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{error}: {skip:?}"));
            assert!(text.contains(&format!("fn {test}(")), "no such test: {skip:?}");
        }
        for test in &skip.not_run {
            let (path, _) = test.split_once(": ").expect("`path: test`");
            let text = fs::read_to_string(root.join(path)).unwrap();
            assert!(
                text.contains(&format!("is_not_run(\"{test}\")")),
                "the test does not call `is_not_run`: {test}"
            );
        }
        assert!(seen.insert((skip.test.clone(), skip.on.clone())), "listed twice: {skip:?}");
    }
}

/// A test is excluded only by the list.
#[test]
fn no_test_is_ignored() {
    fn check(path: &Path) {
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| check(&entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            assert!(
                !text.contains(concat!("#[", "ignore")) && !text.contains(concat!("ignore", ")]")),
                "{} ignores a test",
                path.display()
            );
        }
    }
    for folder in ["tests", "src", "cli", "functions", "examples", "event-sources"] {
        check(&root().join(folder));
    }
}
