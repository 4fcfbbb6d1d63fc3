//! One key of an ordered listener.

use std::collections::VecDeque;

use super::Upshot;

#[derive(Debug)]
pub(super) struct Lane<T> {
    pub(super) head: Head,
    pub(super) behind: VecDeque<T>,
    /// Rows in the database that wait for the head and for what is behind it in memory.
    pub(super) held: u32,
    /// Those given back, whose return to the database is not written yet.
    pub(super) returning: u32,
    /// The head was looked for in the database and not found.
    pub(super) missing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Ready or running here.
    Memory,
    /// In the database: it will be claimed when it is due.
    Database,
    /// Nothing: held rows are being claimed.
    Paging,
    /// Nothing: held rows are to be claimed once every row given back is among them.
    Returning,
}

impl<T> Lane<T> {
    pub(super) fn new(head: Head) -> Self {
        Self { head, behind: VecDeque::new(), held: 0, returning: 0, missing: false }
    }

    /// Whether an arrival may queue up behind the head: no row of the key waits in the database.
    pub(super) fn is_in_memory(&self) -> bool {
        self.head == Head::Memory && self.held == 0 && self.returning == 0
    }

    /// The head is gone, and nothing is behind it in memory: what is held comes next, the earliest first.
    pub(super) fn page_in(&mut self, key: i64) -> Upshot<T> {
        if self.returning > 0 {
            self.head = Head::Returning;
            return Upshot::Nothing;
        }
        self.head = Head::Paging;
        // What is told of from now on may come too late for this page.
        self.held = 0;
        Upshot::PageIn(key)
    }
}
