//! Who works on what. The operating system holds the lock, so that it ends with the process that has it,
//! however that ends; a file that is left without a lock tells how many processes ended while they had it.

use super::folder::make_folder_of;
use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// An exclusive lock among processes, by a file that holds the name of its holder; released and removed when
/// dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: File,
    /// Who ended while they had the lock, if any did.
    before: Option<Holder>,
    /// Whether the file goes with the lock.
    is_removed: bool,
}

/// What the file of a lock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process that has the lock, or had it last.
    pub name: String,
    /// Processes before it that ended while they had the lock.
    pub n_lost: u32,
}

/// What came of trying to take a lock.
#[derive(Debug)]
pub enum Attempt {
    Taken(Lock),
    /// Another process has it, and is called so.
    Busy(String),
}

impl Lock {
    /// Takes the lock at `path` if no other process has it.
    ///
    /// # Errors
    /// When the file cannot be made, or its file system knows no locks.
    pub fn try_take(path: &Path) -> Result<Attempt> {
        make_folder_of(path)?;
        loop {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) if is_still_at(&file, path) => return Ok(Attempt::Taken(Self::held(path, file))),
                // Its holder finished, and removed the file, between our opening and our locking it.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Ok(Attempt::Busy(
                        Self::last_holder(path).map_or_else(|| "another process".to_owned(), |holder| holder.name),
                    ));
                }
                Err(TryLockError::Error(error)) => return Err(no_locks(path, error)),
            }
        }
    }

    /// Takes the lock at `path` as soon as no other process has it; for work of milliseconds.
    ///
    /// # Errors
    /// As [`Lock::try_take`].
    pub fn take(path: &Path) -> Result<Self> {
        make_folder_of(path)?;
        loop {
            let file = open(path)?;
            file.lock().map_err(|error| no_locks(path, error))?;
            if is_still_at(&file, path) {
                return Ok(Self::held(path, file));
            }
        }
    }

    /// Who holds the lock at `path`, or held it last and was killed; without taking it.
    pub fn last_holder(path: &Path) -> Option<Holder> {
        Holder::parse(&std::fs::read_to_string(path).ok()?)
    }

    /// Processes that ended, without a word, while they had this lock (killed, out of memory, crashed).
    pub fn n_lost(&self) -> u32 {
        self.before.as_ref().map_or(0, |before| before.n_lost.saturating_add(1))
    }

    /// Releases the lock and leaves its file as it was found, for work that is passed by.
    pub fn leave(mut self) {
        if let Some(before) = self.before.take() {
            self.is_removed = false;
            // As below.
            let _ = self.write(&before);
        }
    }

    fn held(path: &Path, file: File) -> Self {
        let mut lock = Self { path: path.to_owned(), file, before: None, is_removed: true };
        let mut text = String::new();
        // What cannot be read as text was not written by us; then nobody is known to have been lost.
        if lock.file.read_to_string(&mut text).is_ok() {
            lock.before = Holder::parse(&text);
        }
        let holder = Holder { name: own_name(), n_lost: lock.n_lost() };
        // The name is for people; a full disk must not stop the work that frees it.
        let _ = lock.write(&holder);
        lock
    }

    fn write(&mut self, holder: &Holder) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(holder.text().as_bytes())
    }
}

impl Holder {
    /// The content of the file: the name, and the number lost where there are any.
    fn text(&self) -> String {
        match self.n_lost {
            0 => self.name.clone(),
            n_lost => format!("{}\nlost {n_lost}", self.name),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let name = lines.next().filter(|name| !name.is_empty())?.to_owned();
        let lost = lines.next().and_then(|line| line.strip_prefix("lost ")?.parse().ok());
        Some(Self { name, n_lost: lost.unwrap_or(0) })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.is_removed {
            // While it is still locked: a file that is removed is never one that another process has just
            // locked.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens the file of a lock, never what a link of that name points to: its content is replaced.
fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options.open(path).map_err(|error| match std::fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Error::output(path.display().to_string())
            .found(if found.is_symlink() { "a symbolic link" } else { "something that is no file" })
            .expected("a lock, which is a file of its own")
            .remedy("Remove it; no process may be at work on the run meanwhile.")
            .source(error),
        _ => Error::writing(path, error),
    })
}

fn no_locks(path: &Path, error: std::io::Error) -> Error {
    Error::output(path.display().to_string())
        .found(format!("a file that cannot be locked ({error})"))
        .expected("a file system with file locks (on Lustre, mount option flock)")
        .remedy("Put the output on another file system.")
        .source(error)
}

/// Whether the open file is the one that has the name now.
#[cfg(unix)]
fn is_still_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(opened), Ok(named)) => identity(opened) == identity(named),
        _ => false,
    }
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn is_still_at(_: &File, _: &Path) -> bool {
    true
}

/// The process as people find it.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_default();
    match host.trim() {
        "" => format!("process {}", std::process::id()),
        host => format!("process {} on {host}", std::process::id()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nothing_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/a.lock");
        let Attempt::Taken(lock) = Lock::try_take(&path).unwrap() else { panic!("it is free") };
        match Lock::try_take(&path).unwrap() {
            Attempt::Busy(holder) => assert!(holder.contains(&format!("process {}", std::process::id())), "{holder}"),
            Attempt::Taken(_) => panic!("it is held"),
        }
        drop(lock);
        assert!(!path.exists());
        // A file without a lock is what a killed process leaves.
        std::fs::write(&path, "process 1").unwrap();
        assert_eq!(Lock::last_holder(&path).unwrap(), Holder { name: "process 1".into(), n_lost: 0 });
        assert!(matches!(Lock::try_take(&path).unwrap(), Attempt::Taken(_)));
    }

    #[test]
    fn processes_that_ended_with_it_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let taken = || match Lock::try_take(&path).unwrap() {
            Attempt::Taken(lock) => lock,
            Attempt::Busy(holder) => panic!("{holder} has it"),
        };
        std::fs::write(&path, "process 1 on a").unwrap();
        let lock = taken();
        assert_eq!(lock.n_lost(), 1);
        // Ended again: the file stays as it is.
        let text = std::fs::read_to_string(&path).unwrap();
        drop(lock);
        std::fs::write(&path, text).unwrap();
        let lock = taken();
        assert_eq!(lock.n_lost(), 2);
        // Passed by: the next process finds what this one found.
        lock.leave();
        let lock = taken();
        assert_eq!(lock.n_lost(), 2);
        drop(lock);
        assert_eq!(taken().n_lost(), 0, "it was done or failed with a word");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(taken().n_lost(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, precious) = (folder.path().join("a.lock"), folder.path().join("precious"));
        std::fs::write(&precious, "theirs").unwrap();
        for target in [precious.as_path(), path.as_path(), Path::new("nowhere")] {
            std::os::unix::fs::symlink(target, &path).unwrap();
            let error = Lock::try_take(&path).unwrap_err().to_string();
            assert!(error.contains("symbolic link") && error.contains("Remove it"), "{error}");
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::create_dir(&path).unwrap();
        assert!(Lock::take(&path).unwrap_err().to_string().contains("no file"));
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "theirs");
    }

    #[test]
    fn many_threads_never_hold_it_together() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _lock = Lock::take(&path).unwrap();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
    }
}
