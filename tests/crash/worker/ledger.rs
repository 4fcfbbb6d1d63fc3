//! What handlers began, in a file: it survives the process, and no transaction takes it back.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// One line for each run of a handler. What was written is kept by the kernel when the process is killed.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<(File, PathBuf)>);

impl Ledger {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Arc::new((file, path.with_extension("redeemed")))))
    }

    /// A handler has begun. In one write, so that lines are never mixed.
    pub(crate) fn begun(&self, listener: &str, event_id: &str) -> io::Result<()> {
        (&self.0.0).write_all(format!("{listener} {event_id}\n").as_bytes())
    }

    /// From now on events of which that is the fate succeed.
    pub(crate) fn redeem(&self) -> io::Result<()> {
        File::create(&self.0.1).map(drop)
    }

    pub(crate) fn is_redeemed(&self) -> bool {
        self.0.1.exists()
    }
}
