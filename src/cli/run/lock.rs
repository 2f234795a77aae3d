//! Who works on what. The operating system holds the lock, so that it ends with the process that has it, however that ends.

use super::folder::make_folder_of;
use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

/// An exclusive lock among processes, by a file that holds the name of its holder; released and removed when dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
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
                    return Ok(Attempt::Busy(Self::last_holder(path).unwrap_or_else(|| "another process".to_owned())));
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
    pub fn last_holder(path: &Path) -> Option<String> {
        std::fs::read_to_string(path).ok().filter(|holder| !holder.is_empty())
    }

    fn held(path: &Path, mut file: File) -> Self {
        // The name is for people; a full disk must not stop the work that frees it.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(own_name().as_bytes()));
        Self { path: path.to_owned(), _file: file }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still locked: a file that is removed is never one that another process has just locked.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn open(path: &Path) -> Result<File> {
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    options.map_err(|error| Error::writing(path, error))
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
    match (file.metadata(), std::fs::metadata(path)) {
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
        assert_eq!(Lock::last_holder(&path).unwrap(), "process 1");
        assert!(matches!(Lock::try_take(&path).unwrap(), Attempt::Taken(_)));
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
