//! A folder or a file that is written aside from its place, and takes it when all is complete. So nothing is written half.

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Texts by their paths in a folder.
pub type Files = Vec<(String, String)>;

/// What is complete aside from its place. If it is dropped there, it leaves nothing.
#[derive(Debug)]
pub struct Prepared {
    aside: PathBuf,
    place: PathBuf,
    /// A copy of the file that is there: to put it back needs no space, and so does not fail on a full disk.
    before: Option<PathBuf>,
    /// Whether that copy stays, since it could not be put back.
    is_kept: Cell<bool>,
}

impl Prepared {
    /// A folder, for a place where none is, or an empty one. It is written into `aside`, which has the same file system. A
    /// script can be executed.
    pub fn folder(place: &Path, aside: &Path, files: &Files) -> io::Result<Prepared> {
        let name = place.file_name().unwrap_or_default();
        let aside = hidden(&aside.join(name));
        fs::create_dir(&aside)?;
        let (place, is_kept) = (place.to_owned(), Cell::default());
        let prepared = Prepared { aside, place, before: None, is_kept };
        for (path, text) in files {
            let path = prepared.aside.join(path);
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::write(&path, text)?;
            if text.starts_with("#!") {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            }
        }
        Ok(prepared)
    }

    /// A file, in place of one that is there.
    pub fn file(place: &Path, text: &str) -> io::Result<Prepared> {
        // What a link leads to is replaced, and not the link.
        let place = place.canonicalize()?;
        let aside = hidden(&place);
        let before = aside.with_added_extension("before");
        let prepared = Prepared { aside, place, before: Some(before.clone()), is_kept: Cell::default() };
        fs::copy(&prepared.place, before)?;
        fs::write(&prepared.aside, text)?;
        fs::set_permissions(&prepared.aside, fs::metadata(&prepared.place)?.permissions())?;
        Ok(prepared)
    }

    fn put_back(&self) -> io::Result<()> {
        match &self.before {
            Some(before) => fs::rename(before, &self.place),
            None => fs::rename(&self.place, &self.aside),
        }
    }
}

/// Lets each take its place, in this order. Where one cannot, those before it are put back.
///
/// # Errors
/// With the place that could not be taken, and each where something else is now than before.
pub fn commit(parts: &[Prepared]) -> anyhow::Result<()> {
    for (at, Prepared { aside, place, .. }) in parts.iter().enumerate() {
        let Err(error) = fs::rename(aside, place) else { continue };
        let mut text = format!("{} cannot be written: {error}", place.display());
        for part in parts[..at].iter().rev() {
            if let Err(error) = part.put_back() {
                text += &format!("; {} is written and cannot be put back: {error}", part.place.display());
                if let Some(before) = &part.before {
                    part.is_kept.set(true);
                    text += &format!("; what it was is in {}", before.display());
                }
            }
        }
        anyhow::bail!(text);
    }
    Ok(())
}

/// A hidden name beside this one.
fn hidden(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}", std::process::id()))
}

impl Drop for Prepared {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.aside).or_else(|_| fs::remove_file(&self.aside));
        // Where the file could not be put back, this is all that is left of it.
        if let Some(before) = self.before.as_ref().filter(|_| !self.is_kept.get()) {
            let _ = fs::remove_file(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty folder, which is removed at the end.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Root {
            let root = std::env::temp_dir().join(format!("handover-{name}-{}", std::process::id()));
            fs::create_dir_all(&root).unwrap();
            Root(root)
        }

        fn folder(&self, name: &str, files: &[&str]) -> io::Result<Prepared> {
            let files = files.iter().map(|path| (path.to_string(), "text".to_owned())).collect();
            Prepared::folder(&self.0.join(name), &self.0, &files)
        }

        fn count(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_not_complete_leaves_nothing() {
        let root = Root::new("prepared");
        // A file cannot be a folder, too.
        root.folder("half", &["a", "a/b"]).unwrap_err();
        drop(root.folder("dropped", &["a/b"]).unwrap());
        assert_eq!(root.count(), 0);

        commit(&[root.folder("whole", &["a/b"]).unwrap()]).unwrap();
        let file = root.0.join("whole/a/b");
        commit(&[Prepared::file(&file, "other").unwrap()]).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "other");
        assert_eq!(fs::read_dir(root.0.join("whole/a")).unwrap().count(), 1);
    }

    #[test]
    fn where_one_cannot_take_its_place_all_is_as_before() {
        let root = Root::new("put-back");
        let file = root.0.join("file");
        fs::write(&file, "before").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let parts = [
            Prepared::file(&file, "after").unwrap(),
            root.folder("new", &["a"]).unwrap(),
            // It has no place to take.
            root.folder("none/last", &["a"]).unwrap(),
        ];
        let error = commit(&parts).unwrap_err().to_string();
        assert!(error.contains("none/last cannot be written") && !error.contains("put back"), "{error}");
        drop(parts);
        assert_eq!(fs::read_to_string(&file).unwrap(), "before");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(root.count(), 1);
    }
}
