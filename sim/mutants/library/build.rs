//! Copies the library's source tree into the build folder, with every mutant in it; a run enables one.

use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "mutations/mod.rs"]
mod mutations;
mod source;

/// What a mutated file asks whether its mutant is enabled with.
const IMPORT: &str = "use crate::mutation::is;";

fn main() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let library = repository.join("src");
    for input in [&library, Path::new("mutations"), Path::new("source.rs")] {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    let copy = out.join("library");
    // A file that was renamed since must not remain beside its successor.
    if copy.exists() {
        fs::remove_dir_all(&copy).expect("the build folder");
    }
    let mut files = Vec::new();
    list(&library, &library, &mut files);
    for (_, (mutant, edits)) in all_mutants() {
        for (file, _, _) in *edits {
            assert!(
                files.iter().any(|known| name(known) == *file),
                "mutant `{mutant}`: src/{file} does not exist"
            );
        }
    }
    for file in files {
        let text = fs::read_to_string(library.join(&file)).expect("source in UTF-8");
        // What it includes stays where it is.
        let text = text.replace("include_str!(\"..", &format!("include_str!(\"{}", repository.display()));
        let target = copy.join(&file);
        fs::create_dir_all(target.parent().expect("a folder")).expect("the build folder");
        fs::write(target, with_mutants(&name(&file), &text)).expect("the build folder");
    }
}

fn all_mutants() -> impl Iterator<Item = (&'static str, &'static mutations::Mutant)> {
    mutations::MUTANTS.into_iter().flat_map(|(of, mutants)| mutants.iter().map(move |mutant| (of, mutant)))
}

/// The files below a folder, relative to `root`.
fn list(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the library") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            list(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path.strip_prefix(root).expect("a path below the root").to_owned());
        }
    }
}

/// A file's path as mutants name it: with `/` on every system.
fn name(file: &Path) -> String {
    let parts: Vec<_> = file.iter().map(|part| part.to_str().expect("UTF-8")).collect();
    parts.join("/")
}

/// The file's text with each edit of each mutant.
fn with_mutants(name: &str, text: &str) -> String {
    let mut text = source::without_tests(text);
    let mut is_mutated = false;
    for (_, (mutant, edits)) in all_mutants() {
        for (_, find, replace) in edits.iter().filter(|(file, _, _)| *file == name) {
            let times = text.matches(find).count();
            assert_eq!(times, 1, "mutant `{mutant}`: src/{name} has its text {times} times: {find}");
            text = text.replace(find, replace);
            is_mutated = true;
        }
    }
    let (head, body) = source::split_head(&text);
    // `include!` takes no inner attributes, and the crate's root is included.
    let head = if name == "lib.rs" { "" } else { head };
    let import = if is_mutated { IMPORT } else { "" };
    format!("{head}{import}\n{body}")
}
