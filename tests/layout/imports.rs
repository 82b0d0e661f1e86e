//! Which file imports which, and whether that is allowed.
//!
//! An import is an arrow from the file that has it to the file that defines what is imported.

use std::collections::BTreeSet;

use crate::graph::knots;
use crate::modules::{File, Import, Modules, Target};
use crate::tree::Tree;

/// The parts of a source folder from top to bottom, the parts of one line side by side.
pub type Layers = &'static [&'static [&'static str]];

/// A source folder to check.
pub struct Package {
    pub folder: &'static str,
    /// Where it is given, each import from another part has to point downwards, and none may go through
    /// a re-export of the root or of a folder that the importing file is in.
    pub layers: Option<Layers>,
}

/// Checks one source folder; the findings name the lines and say what to do.
pub fn check(tree: &Tree, package: &Package) -> Vec<String> {
    let modules = Modules::read(tree, package.folder);
    if modules.files.is_empty() {
        return vec![format!("{}/ has no source: PACKAGES in tests/layout/main.rs names it", package.folder)];
    }
    let mut findings = Vec::new();
    let mut arrows = Vec::new();
    for (from, file) in modules.files.iter().enumerate() {
        findings.extend(file.path_attributes.iter().map(|line| {
            format!(
                "{}:{line} includes a source by `#[path]`\n  -> depend on the crate that it belongs to",
                file.path
            )
        }));
        for import in &file.imports {
            let Some(target) = modules.resolve(&import.path) else { continue };
            if package.layers.is_some() {
                findings.extend(roundabout(&modules, file, import, &target));
            }
            if target.file != from {
                arrows.push(Arrow { from, to: target.file, line: import.line, path: import.path.join("::") });
            }
        }
    }
    findings.extend(package.layers.into_iter().flat_map(|layers| upward(&modules, &arrows, layers)));
    findings.extend(circles(&modules, &arrows));
    findings
}

/// An import between two files, by their numbers.
struct Arrow {
    from: usize,
    to: usize,
    line: usize,
    path: String,
}

/// An import through a re-export of the root, or of a folder around the file, hides where it points.
fn roundabout(modules: &Modules, file: &File, import: &Import, target: &Target) -> Option<String> {
    let (at, name) = target.through.iter().find(|(at, _)| {
        let around = &modules.files[*at].module;
        file.module.starts_with(around) && file.module != *around
    })?;
    let definition = match &modules.files[target.file] {
        of if target.file == *at => format!("the package that {} has it from", of.path),
        of => format!("the module that defines it, {}", of.path),
    };
    Some(format!(
        "{}:{} imports `{name}` through {}, which only re-exports it\n  -> import it from {definition}",
        file.path, import.line, modules.files[*at].path
    ))
}

/// The part of a package that a file belongs to: its folder, or itself where it is in none.
fn part(file: &File) -> &str {
    file.module.first().map_or("lib", String::as_str)
}

fn upward(modules: &Modules, arrows: &[Arrow], layers: Layers) -> Vec<String> {
    let layer = |name: &str| layers.iter().position(|layer| layer.contains(&name));
    let mut findings: Vec<_> = (modules.files.iter())
        .filter(|file| layer(part(file)).is_none())
        .map(|file| {
            format!(
                "{} is in no layer\n  -> move it into a folder, or add `{}` to LAYERS in tests/layout/main.rs",
                file.path,
                part(file)
            )
        })
        .collect();
    for arrow in arrows {
        let (from, to) = (&modules.files[arrow.from], &modules.files[arrow.to]);
        let (Some(upper), Some(lower)) = (layer(part(from)), layer(part(to))) else { continue };
        if part(from) != part(to) && upper >= lower {
            let how = if upper == lower { "sideways" } else { "upwards" };
            findings.push(format!(
                "{}:{} imports {} (`{}`): from `{}` {how} to `{}`\n  -> move what it needs to `{}` or below, \
                 or pass it in as a parameter (the order is LAYERS in tests/layout/main.rs)",
                from.path,
                arrow.line,
                to.path,
                arrow.path,
                part(from),
                part(to),
                part(from)
            ));
        }
    }
    findings
}

/// One finding for each circle among files, and for each among folders whose files have none.
fn circles(modules: &Modules, arrows: &[Arrow]) -> Vec<String> {
    let of_files = knots(modules.files.len(), &arrows.iter().map(|arrow| (arrow.from, arrow.to)).collect());
    let parts: Vec<&str> = modules.files.iter().map(part).collect::<BTreeSet<_>>().into_iter().collect();
    let part_of = |file: usize| parts.binary_search(&part(&modules.files[file])).expect("a part of its own");
    let between = arrows.iter().map(|arrow| (part_of(arrow.from), part_of(arrow.to))).filter(|(a, b)| a != b);
    let of_parts = knots(parts.len(), &between.collect());

    let mut findings = Vec::new();
    let mut known: Vec<BTreeSet<usize>> = Vec::new();
    for knot in of_files {
        let names: Vec<_> = knot.members.iter().map(|&file| modules.files[file].path.as_str()).collect();
        let first = |from, to| arrows.iter().find(|arrow| (arrow.from, arrow.to) == (from, to));
        findings.push(circle(
            "files",
            &names,
            modules,
            knot.shortest.iter().filter_map(|&(a, b)| first(a, b)),
        ));
        known.push(knot.members.iter().map(|&file| part_of(file)).collect());
    }
    for knot in of_parts {
        if known.iter().any(|parts| parts.is_superset(&knot.members)) {
            continue;
        }
        let names: Vec<_> = knot.members.iter().map(|&at| parts[at]).collect();
        let first =
            |from, to| arrows.iter().find(|arrow| (part_of(arrow.from), part_of(arrow.to)) == (from, to));
        findings.push(circle(
            "folders",
            &names,
            modules,
            knot.shortest.iter().filter_map(|&(a, b)| first(a, b)),
        ));
    }
    findings
}

fn circle<'a>(
    of: &str,
    names: &[&str],
    modules: &Modules,
    arrows: impl Iterator<Item = &'a Arrow>,
) -> String {
    let mut text = format!("A circle among {} {of}: {}", names.len(), names.join(", "));
    for arrow in arrows {
        let (from, to) = (&modules.files[arrow.from].path, &modules.files[arrow.to].path);
        text.push_str(&format!("\n  {from}:{} imports {to} (`{}`)", arrow.line, arrow.path));
    }
    text + "\n  -> move what two of them need into a file of its own, below both"
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERS: Layers = &[&["lib"], &["upper"], &["lower", "beside"], &["clock"]];

    fn check(files: &[(&str, &str)]) -> Vec<String> {
        super::check(&Tree::of(files), &Package { folder: "src", layers: Some(LAYERS) })
    }

    fn flat(files: &[(&str, &str)]) -> Vec<String> {
        super::check(&Tree::of(files), &Package { folder: "src", layers: None })
    }

    #[track_caller]
    fn one(findings: &[String], parts: &[&str]) {
        assert_eq!(findings.len(), 1, "{findings:#?}");
        for part in parts {
            assert!(findings[0].contains(part), "{part:?} is not in {}", findings[0]);
        }
    }

    const SOUND: [(&str, &str); 7] = [
        ("src/lib.rs", "mod clock; pub mod lower; mod upper; mod beside; pub use lower::Item;"),
        ("src/clock.rs", "pub struct Clock; // crate::upper::up"),
        (
            "src/upper.rs",
            "use crate::{clock::Clock, lower::{self, Item as Thing}}; fn up() { crate::beside::b() }",
        ),
        ("src/beside.rs", "/// See [`up`](crate::upper::up).\npub fn b() { let c = \"crate::upper\"; }"),
        ("src/lower/mod.rs", "mod item; pub mod other; pub use item::Item;"),
        ("src/lower/item.rs", "use super::other::Other; pub struct Item(Other);"),
        (
            "src/lower/other.rs",
            "pub struct Other; #[cfg(test)] mod tests { use crate::upper::up; use super::*; }",
        ),
    ];

    /// The sound tree with one file replaced or added.
    fn with(path: &'static str, text: &'static str) -> Vec<String> {
        let others = SOUND.into_iter().filter(|(other, _)| *other != path);
        check(&others.chain([(path, text)]).collect::<Vec<_>>())
    }

    #[test]
    fn a_sound_layout_has_no_finding() {
        assert_eq!(check(&SOUND), Vec::<String>::new());
    }

    #[test]
    fn an_upward_import_is_found_with_its_line() {
        let parts =
            ["src/clock.rs:2 imports src/lower/item.rs (`lower::Item`)", "from `clock` upwards to `lower`"];
        one(&with("src/clock.rs", "\nuse crate::lower::Item;"), &parts);
        one(&with("src/clock.rs", "\nfn f(i: &crate::lower::Item) {}"), &parts);
        one(
            &with("src/clock.rs", "\nuse crate::{\n  lower::{self as l},\n};"),
            &["src/clock.rs:3", "src/lower/mod.rs"],
        );
    }

    #[test]
    fn parts_of_one_layer_do_not_import_each_other() {
        one(&with("src/beside.rs", "use crate::lower::Item;"), &["src/beside.rs:1", "sideways to `lower`"]);
    }

    #[test]
    fn a_part_without_a_layer_is_found() {
        one(&with("src/attic.rs", ""), &["src/attic.rs is in no layer", "add `attic` to LAYERS"]);
    }

    #[test]
    fn an_import_through_the_root_or_the_folders_own_re_export_is_found() {
        let root = with("src/upper.rs", "use crate::Item;");
        one(&root, &["src/upper.rs:1 imports `Item` through src/lib.rs", "src/lower/item.rs"]);
        for text in ["use super::Item;", "use crate::lower::Item;", "fn f() { super::Item::new() }"] {
            one(
                &with("src/lower/other.rs", text).split_off(0)[..1],
                &["src/lower/other.rs:1", "src/lower/mod.rs"],
            );
        }
    }

    #[test]
    fn a_circle_inside_a_folder_is_found() {
        let findings = with("src/lower/other.rs", "use super::item::Item;");
        one(
            &findings,
            &[
                "A circle among 2 files: src/lower/item.rs, src/lower/other.rs",
                "src/lower/item.rs:1 imports src/lower/other.rs (`lower::other::Other`)",
                "src/lower/other.rs:1 imports src/lower/item.rs (`lower::item::Item`)",
            ],
        );
    }

    #[test]
    fn a_folder_that_uses_a_child_and_defines_what_the_child_uses_is_a_circle() {
        let files =
            [("src/a/mod.rs", "mod b; pub struct A; fn f() { b::g() }"), ("src/a/b.rs", "use super::A;")];
        one(&flat(&files), &["A circle among 2 files: src/a/b.rs, src/a/mod.rs"]);
    }

    #[test]
    fn a_circle_of_more_files_names_all_and_shows_the_shortest() {
        let files = [
            ("src/lib.rs", "mod a; mod b; mod c; pub use c::C;"),
            ("src/a.rs", "use crate::b;"),
            ("src/b.rs", "use crate::C;"),
            ("src/c.rs", "use crate::{a, b};"),
        ];
        let findings = flat(&files);
        one(
            &findings,
            &["A circle among 3 files: src/a.rs, src/b.rs, src/c.rs", "src/b.rs:1 imports src/c.rs (`C`)"],
        );
        assert_eq!(findings[0].matches(" imports ").count(), 3, "{}", findings[0]);
    }

    #[test]
    fn a_circle_of_folders_without_one_of_files_is_found() {
        let files = [
            ("src/a/x.rs", "use crate::b::x;"),
            ("src/a/y.rs", ""),
            ("src/b/x.rs", ""),
            ("src/b/y.rs", "use crate::a::y;"),
        ];
        one(&flat(&files), &["A circle among 2 folders: a, b", "src/a/x.rs:1", "src/b/y.rs:1"]);
    }

    #[test]
    fn super_and_inline_modules_are_followed() {
        let files = [
            (
                "src/a.rs",
                "mod inner { use super::super::b::B; pub mod deep { use super::super::C; } } struct C;",
            ),
            ("src/b.rs", "pub(in crate::a) struct B; fn f() { self::g(); crate::a::inner::h() }"),
        ];
        one(&flat(&files), &["A circle among 2 files: src/a.rs, src/b.rs"]);
    }

    #[test]
    fn a_binary_beside_a_library_has_its_children_beside_it() {
        let files = [
            ("src/lib.rs", "mod a; pub use a::A;"),
            ("src/a.rs", ""),
            ("src/main.rs", "mod args; fn main() { args::parse() }"),
            ("src/args.rs", "use package::A;"),
            ("src/bin/tool/main.rs", "mod args; fn main() { args::parse() }"),
            ("src/bin/tool/args.rs", "use package::A;"),
        ];
        assert_eq!(flat(&files), Vec::<String>::new());
        let wrong = ("src/bin/tool/args.rs", "use crate::args; use crate::version;");
        let files: Vec<_> = files.into_iter().filter(|(path, _)| *path != wrong.0).chain([wrong]).collect();
        one(&flat(&files), &["A circle among 2 files: src/bin/tool/args.rs, src/bin/tool/main.rs"]);
    }

    #[test]
    fn a_source_of_another_package_is_found() {
        let files = [
            (
                "src/lib.rs",
                "\n#[path = \"../other/a.rs\"]\nmod a; mod b; #[cfg(test)] #[path = \"x\"] mod t;",
            ),
            ("src/b.rs", "use crate::a::A;"),
        ];
        one(&flat(&files), &["src/lib.rs:2 includes a source by `#[path]`"]);
    }

    #[test]
    fn a_folder_that_has_moved_is_found() {
        one(&flat(&[("elsewhere/lib.rs", "")]), &["src/ has no source"]);
    }
}
