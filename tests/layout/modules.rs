//! The modules of a source folder, and what each imports.
//!
//! Imports are read as text: `use` trees, and paths in code that begin with `crate`, `super`, `self` or
//! the name of a child module. Documentation and test code are left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Token, group, split, without_tests};
use crate::tree::Tree;

/// A use of something in another place of the same package: its path from the root, without `crate`.
#[derive(Debug)]
pub struct Import {
    pub path: Vec<String>,
    pub line: usize,
}

pub struct File {
    pub path: String,
    pub module: Vec<String>,
    /// Where its children are: its module, but for `main.rs` beside `lib.rs`.
    base: Vec<String>,
    /// What `crate` means in it.
    root: Vec<String>,
    pub imports: Vec<Import>,
    /// The names that its `use` items make, and what they stand for: nothing for what is of another package.
    names: BTreeMap<String, Option<Vec<String>>>,
    /// The lines of its `#[path]` attributes.
    pub path_attributes: Vec<usize>,
    /// The modules that it declares with `mod name;`.
    children: BTreeSet<String>,
}

/// Where a path leads: the file, and each module whose re-export it went through with the name there.
pub struct Target {
    pub file: usize,
    pub through: Vec<(usize, String)>,
}

pub struct Modules {
    pub files: Vec<File>,
    by_path: BTreeMap<Vec<String>, usize>,
}

impl Modules {
    pub fn read(tree: &Tree, folder: &str) -> Self {
        let within = |path: &str| {
            let module = path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs")?;
            let mut module: Vec<_> = module.split('/').map(str::to_owned).collect();
            if module.iter().any(|part| part == "tests") {
                return None;
            }
            let parts: Vec<_> = module.iter().map(String::as_str).collect();
            if matches!(parts[..], [.., "mod"] | ["lib"] | ["bin", _, "main"]) {
                module.pop();
            }
            Some(module)
        };
        let mut files = Vec::new();
        for (path, text) in &tree.files {
            if let Some(module) = within(path) {
                files.push(File::read(path, module, text));
            }
        }
        let by_path = files.iter().enumerate().map(|(at, file)| (file.module.clone(), at)).collect();
        Self { files, by_path }
    }

    /// Follows a path to the file that defines its end. Nothing where that is outside the folder.
    pub fn resolve(&self, path: &[String]) -> Option<Target> {
        let mut path = path.to_vec();
        let mut through = Vec::new();
        loop {
            let known = (0..=path.len()).rev().find(|&known| self.by_path.contains_key(&path[..known]))?;
            let at = self.by_path[&path[..known]];
            let Some(name) = path.get(known) else { return Some(Target { file: at, through }) };
            let file = &self.files[at];
            if file.children.contains(name) {
                return None; // `#[path]`, or a module that a build generates
            }
            let again = through.iter().any(|(passed, by)| *passed == at && by == name);
            let Some(renamed) = file.names.get(name).filter(|_| !again) else {
                return Some(Target { file: at, through });
            };
            through.push((at, name.clone()));
            let Some(renamed) = renamed else { return Some(Target { file: at, through }) };
            path = renamed.iter().chain(&path[known + 1..]).cloned().collect();
        }
    }
}

impl File {
    fn read(path: &str, module: Vec<String>, text: &str) -> Self {
        let tokens = without_tests(&split(text).0);
        let children = declared(&tokens);
        let base = if module == ["main"] { Vec::new() } else { module.clone() };
        let binary = module.first().is_some_and(|first| first == "bin");
        let root = module[..if binary { 2 } else { 0 }].to_vec();
        let attributes = tokens.windows(3).filter(|three| three[1].text == "[" && three[2].text == "path");
        let mut file = Self {
            path: path.to_owned(),
            module,
            base,
            root,
            imports: Vec::new(),
            names: BTreeMap::new(),
            path_attributes: attributes.map(|three| three[2].line).collect(),
            children,
        };
        // The modules written out around the current token, each with the token that ends it.
        let mut inline: Vec<(usize, String)> = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            inline.retain(|(end, _)| at < *end);
            let around: Vec<_> = inline.iter().map(|(_, name)| name.clone()).collect();
            let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
            at += match text(at) {
                "mod" if text(at + 2) == "{" => {
                    inline.push((at + 2 + group(&tokens[at + 2..]), text(at + 1).to_owned()));
                    3
                }
                "use" if text(at + 1) != "<" => file.use_item(&tokens[at..], &around),
                "(" if text(at + 1) == "in" => group(&tokens[at..]), // pub(in path)
                _ if at > 0 && matches!(text(at - 1), "::" | ".") => 1,
                _ if text(at + 1) == "::" => file.path_in_code(&tokens[at..], &around),
                _ => 1,
            };
        }
        file
    }

    /// Reads `use …;`, and returns its length.
    fn use_item(&mut self, tokens: &[Token], inline: &[String]) -> usize {
        let end = tokens.iter().position(|token| token.text == ";").unwrap_or(tokens.len());
        for (segments, name, line) in use_tree(&tokens[1..end]) {
            let path = self.absolute(&segments, inline);
            if inline.is_empty() && name != "_" && name != "*" {
                self.names.insert(name, path.clone());
            }
            self.imports.extend(path.map(|path| Import { path, line }));
        }
        end + 1
    }

    /// Reads `crate::a::b` and its like, and returns its length.
    fn path_in_code(&mut self, tokens: &[Token], inline: &[String]) -> usize {
        let mut segments = vec![tokens[0].text.clone()];
        let mut at = 1;
        while tokens.get(at).is_some_and(|token| token.text == "::")
            && tokens.get(at + 1).is_some_and(|token| is_word(&token.text))
        {
            segments.push(tokens[at + 1].text.clone());
            at += 2;
        }
        let path = self.absolute(&segments, inline);
        self.imports.extend(path.map(|path| Import { path, line: tokens[0].line }));
        at
    }

    /// A path from the root of the package, or nothing where it belongs to another package or is a name
    /// that a `use` has brought in.
    fn absolute(&self, segments: &[String], inline: &[String]) -> Option<Vec<String>> {
        let mut base: Vec<String> = self.base.iter().chain(inline).cloned().collect();
        let mut rest = segments;
        match segments.first()?.as_str() {
            "crate" => {
                base.clone_from(&self.root);
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {}
            child if inline.is_empty() && self.children.contains(child) => {}
            _ => return None,
        }
        while rest.first().is_some_and(|segment| segment == "super") {
            base.pop();
            rest = &rest[1..];
        }
        base.extend(rest.iter().filter(|segment| *segment != "*" && *segment != "self").cloned());
        Some(base)
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

fn declared(tokens: &[Token]) -> BTreeSet<String> {
    let declarations = tokens.windows(3).filter(|three| three[0].text == "mod" && three[2].text == ";");
    declarations.map(|three| three[1].text.clone()).collect()
}

/// The leaves of a use tree: the path of each, the name it makes, and its line.
fn use_tree(tokens: &[Token]) -> Vec<(Vec<String>, String, usize)> {
    let mut segments: Vec<String> = Vec::new();
    let mut name = None;
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "::" => at += 1,
            "as" => {
                name = tokens.get(at + 1).map(|token| token.text.clone());
                at += 2;
            }
            "{" => {
                let inner = &tokens[at + 1..at + group(&tokens[at..]) - 1];
                let branches = branches(inner).into_iter().flat_map(use_tree);
                let whole = |(path, name, line): (Vec<String>, String, usize)| {
                    let whole = [&segments[..], &path[..]].concat();
                    let name =
                        if name == "self" { segments.last().cloned().unwrap_or_default() } else { name };
                    (whole, name, line)
                };
                return branches.map(whole).collect();
            }
            segment => {
                segments.push(segment.to_owned());
                at += 1;
            }
        }
    }
    let Some(last) = segments.last().cloned() else { return Vec::new() };
    vec![(segments, name.unwrap_or(last), tokens[0].line)]
}

/// Splits at the commas that are in no inner braces.
fn branches(tokens: &[Token]) -> Vec<&[Token]> {
    let mut branches = Vec::new();
    let (mut begin, mut at) = (0, 0);
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            "," => {
                branches.push(&tokens[begin..at]);
                begin = at + 1;
                at += 1;
            }
            "{" => at += group(&tokens[at..]),
            _ => at += 1,
        }
    }
    branches.push(&tokens[begin..]);
    branches
}
