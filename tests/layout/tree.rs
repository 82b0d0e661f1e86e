//! The files of the repository, or of a small one that a test makes up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Folders that are generated or installed, wherever they are. Hidden ones are left out as well.
const GENERATED: [&str; 4] = ["target", "node_modules", "venv", "__pycache__"];

/// Paths from the root, with `/` between their parts.
pub struct Tree {
    /// Each file with its text, which is empty where it is not UTF-8.
    pub files: BTreeMap<String, String>,
    /// Each folder that holds a file.
    pub folders: BTreeSet<String>,
}

impl Tree {
    pub fn read(root: &Path) -> Self {
        let mut files = Vec::new();
        collect(root, "", &mut files);
        Self::new(files)
    }

    /// A tree of the files given.
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self::new(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())))
    }

    fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let files: BTreeMap<_, _> = files.into_iter().collect();
        let mut folders = BTreeSet::new();
        for path in files.keys() {
            folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        }
        Self { files, folders }
    }

    pub fn exists(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.folders.contains(path)
    }
}

fn collect(root: &Path, below: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(root.join(below)).expect("a folder of the repository") {
        let entry = entry.expect("an entry of a folder");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let kind = entry.file_type().expect("the type of an entry");
        if kind.is_file() {
            let bytes = fs::read(entry.path()).expect("a file of the repository");
            files.push((path, String::from_utf8(bytes).unwrap_or_default()));
        } else if kind.is_dir()
            && !GENERATED.contains(&name.as_str())
            && ([".cargo", ".ci"].contains(&name.as_str()) || !name.starts_with('.'))
        {
            collect(root, &path, files);
        }
    }
}

/// The folder that a file is in, empty at the root.
pub fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The path that `named` leads to from a folder, or nothing where it leaves the repository.
pub fn join(folder: &str, named: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in named.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
