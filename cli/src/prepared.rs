//! A folder or a file that is written beside its place, and takes it when it is complete. So nothing is written half.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Texts by their paths in a folder.
pub type Files = Vec<(String, String)>;

/// What is complete beside its place. If it is dropped there, it leaves nothing.
#[derive(Debug)]
pub struct Prepared {
    beside: PathBuf,
    place: PathBuf,
}

impl Prepared {
    /// A folder, for a place where none is, or an empty one. A script can be executed.
    pub fn folder(place: &Path, files: &Files) -> io::Result<Prepared> {
        let prepared = Prepared::beside(place);
        fs::create_dir(&prepared.beside)?;
        for (path, text) in files {
            let path = prepared.beside.join(path);
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
        let prepared = Prepared::beside(&place);
        fs::write(&prepared.beside, text)?;
        fs::set_permissions(&prepared.beside, fs::metadata(&place)?.permissions())?;
        Ok(prepared)
    }

    fn beside(place: &Path) -> Prepared {
        let name = place.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let beside = place.with_file_name(format!(".{name}.{}", std::process::id()));
        Prepared { beside, place: place.to_owned() }
    }

    /// Takes its place.
    pub fn commit(self) -> io::Result<()> {
        fs::rename(&self.beside, &self.place)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // After `commit` there is nothing any more.
        let _ = fs::remove_dir_all(&self.beside).or_else(|_| fs::remove_file(&self.beside));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_complete_leaves_nothing() {
        let root = std::env::temp_dir().join(format!("handover-prepared-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let file = |path: &str| (path.to_owned(), "text".to_owned());
        // A file cannot be a folder, too.
        Prepared::folder(&root.join("half"), &vec![file("a"), file("a/b")]).unwrap_err();
        drop(Prepared::folder(&root.join("dropped"), &vec![file("a/b")]).unwrap());
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);

        Prepared::folder(&root.join("whole"), &vec![file("a/b")]).unwrap().commit().unwrap();
        Prepared::file(&root.join("whole/a/b"), "other").unwrap().commit().unwrap();
        assert_eq!(fs::read_to_string(root.join("whole/a/b")).unwrap(), "other");
        assert_eq!(fs::read_dir(root.join("whole/a")).unwrap().count(), 1);
        fs::remove_dir_all(&root).unwrap();
    }
}
