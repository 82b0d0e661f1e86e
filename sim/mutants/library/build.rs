//! Copies the library, with every mutant in it, each asleep until a run wakes it.

use std::path::Path;
use std::{env, fs};

#[path = "mutations.rs"]
mod mutations;

fn main() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../src");
    println!("cargo::rerun-if-changed={}", library.display());
    println!("cargo::rerun-if-changed=mutations.rs");
    let out = env::var("OUT_DIR").expect("cargo sets it");
    for entry in fs::read_dir(&library).expect("the library") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        let text = fs::read_to_string(&path).expect("source");
        // The tests of a file stand at its end, and are the library's.
        let mut text = text.split("\n#[cfg(test)]\n").next().expect("a part").to_owned();
        let mut mutated = false;
        for (mutant, edits) in mutations::MUTANTS.into_iter().flat_map(|(_, mutants)| mutants) {
            for (_, find, replace) in edits.iter().filter(|(file, _, _)| *file == name) {
                assert_eq!(
                    text.matches(find).count(),
                    1,
                    "mutant `{mutant}`: not found once in {name}: {find}"
                );
                text = text.replace(find, replace);
                mutated = true;
            }
        }
        // Attributes of a crate or a module may not stand in what is included.
        let lines = text.lines().filter(|line| name != "lib.rs" || !line.starts_with("//!"));
        let mut lines: Vec<&str> = lines.collect();
        if mutated {
            let first = lines.iter().position(|line| line.starts_with("use ")).expect("an import");
            lines.insert(first, "use crate::mutation::is;");
        }
        fs::write(Path::new(&out).join(name), lines.join("\n")).expect("the build folder");
    }
}
