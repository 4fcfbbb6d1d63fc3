//! Where the arrivals of a batch go, before they are written.

use std::collections::{HashMap, hash_map::Entry};

use super::{Laned, Lanes};

/// Where an arrival goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Into the lanes.
    Run,
    /// Into the database, until a worker has time.
    Wait,
    /// Into the database, behind others of its key.
    Hold,
}

/// What was decided for a listener's arrivals of one batch.
#[derive(Debug, Default)]
pub(crate) struct Placing {
    first_of_key: HashMap<i64, Place>,
}

impl Placing {
    /// Places the next arrival of the batch. The first of a key decides for those behind it, whatever ends meanwhile:
    /// one that ran and one that waits could be taken up in either order.
    pub(crate) fn place<T: Laned>(&mut self, lanes: &Lanes<T>, key: Option<i64>, is_open: bool) -> Place {
        let may_run = is_open && lanes.has_room();
        let Some(key) = key else { return if may_run { Place::Run } else { Place::Wait } };
        match self.first_of_key.entry(key) {
            Entry::Occupied(first) if *first.get() == Place::Run => Place::Run,
            Entry::Occupied(_) => Place::Hold,
            Entry::Vacant(first) => *first.insert(match lanes.keys.get(&key) {
                Some(lane) if !lane.is_in_memory() => Place::Hold,
                _ if may_run => Place::Run,
                Some(_) => Place::Hold,
                None => Place::Wait,
            }),
        }
    }
}
