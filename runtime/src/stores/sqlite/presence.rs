//! Which instances are there, as the file system knows it.
//!
//! An instance holds the lock of a file of its own, beside the database, and counts its beats in it. The system frees
//! the lock when the process ends, however it ends, so its work is taken over at once. And a beat needs no turn at the
//! database's one writer: a handler that holds the writer for long keeps nobody from beating.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    clock::Timestamp,
    error::{Error, ErrorKind, Result},
};

/// The files of the instances on a database.
#[derive(Clone)]
pub(super) struct Presence {
    directory: PathBuf,
    own: Arc<Mutex<HashMap<String, Own>>>,
}

/// The file of an instance of this process.
struct Own {
    file: File,
    beat: i64,
    at: Timestamp,
}

/// What the file of an instance says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Its process lives, and has counted so many beats, the last one at this time.
    Beating(i64, Option<Timestamp>),
    /// Its process has ended.
    Gone,
}

impl Presence {
    /// Of the database at this path. Nothing is written before an instance enters.
    pub(super) fn beside(database: &Path) -> Self {
        let mut directory = database.as_os_str().to_owned();
        directory.push("-instances");
        Self { directory: directory.into(), own: Arc::default() }
    }

    /// Enters an instance of this process.
    ///
    /// # Errors
    /// When its file cannot be written or locked.
    pub(super) fn enter(&self, id: &str, now: Timestamp) -> Result<()> {
        self.own().remove(id);
        let entered = self.try_enter(id, now).map_err(|error| {
            let directory = self.directory.display();
            let message = format!("the folder `{directory}`, where instances are known by, cannot be written");
            Error::new(ErrorKind::StoreUnavailable, message).caused_by(error)
        })?;
        self.own().insert(id.to_owned(), entered);
        Ok(())
    }

    fn try_enter(&self, id: &str, now: Timestamp) -> io::Result<Own> {
        fs::create_dir_all(&self.directory)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.file(id))?;
        file.try_lock()?;
        let mut own = Own { file, beat: 0, at: now };
        own.write()?;
        Ok(own)
    }

    /// Counts a beat of an instance of this process.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub(super) fn beat(&self, id: &str, now: Timestamp) -> Result<()> {
        let mut all = self.own();
        let Some(own) = all.get_mut(id) else { return Ok(()) };
        (own.beat, own.at) = (own.beat + 1, now);
        own.write().map_err(|error| {
            Error::new(ErrorKind::StoreUnavailable, format!("the beat of instance `{id}` cannot be written"))
                .caused_by(error)
        })
    }

    /// Looks for an instance. One whose file cannot be read is taken to live: a lease of silence ends it all the same.
    pub(super) fn look(&self, id: &str) -> Seen {
        if let Some(own) = self.own().get(id) {
            return Seen::Beating(own.beat, Some(own.at));
        }
        match self.try_look(id) {
            Ok(seen) => seen,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Gone,
            Err(_) => Seen::Beating(0, None),
        }
    }

    fn try_look(&self, id: &str) -> io::Result<Seen> {
        let mut file = File::open(self.file(id))?;
        match file.try_lock_shared() {
            Ok(()) => Ok(Seen::Gone),
            Err(TryLockError::WouldBlock) => {
                let (mut beat, mut at) = ([0; 8], [0; 8]);
                file.read_exact(&mut beat)?;
                file.read_exact(&mut at)?;
                Ok(Seen::Beating(i64::from_le_bytes(beat), Some(Timestamp::from_micros(i64::from_le_bytes(at)))))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Forgets an instance whose work was taken over, or that took leave.
    pub(super) fn leave(&self, id: &str) {
        self.own().remove(id);
        // What stays is only a small file.
        let _ = fs::remove_file(self.file(id));
    }

    fn file(&self, id: &str) -> PathBuf {
        self.directory.join(id)
    }

    fn own(&self) -> MutexGuard<'_, HashMap<String, Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    fn write(&mut self) -> io::Result<()> {
        let mut content = [0; 16];
        content[..8].copy_from_slice(&self.beat.to_le_bytes());
        content[8..].copy_from_slice(&self.at.as_micros().to_le_bytes());
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_seen_until_its_process_ends() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("some.db");
        let (ours, theirs) = (Presence::beside(&database), Presence::beside(&database));
        assert_eq!(ours.look("one"), Seen::Gone);
        let at = Timestamp::from_micros;
        theirs.enter("one", at(7)).unwrap();
        assert_eq!(ours.look("one"), Seen::Beating(0, Some(at(7))));
        theirs.beat("one", at(8)).unwrap();
        assert_eq!(ours.look("one"), Seen::Beating(1, Some(at(8))));
        assert_eq!(theirs.look("one"), Seen::Beating(1, Some(at(8))));
        drop(theirs);
        assert_eq!(ours.look("one"), Seen::Gone);
    }
}
