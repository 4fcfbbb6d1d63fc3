//! Which partitions flow.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use crate::broker::TopicPartition;

/// How long a full mailbox is waited for before everything is paused, which throws away what was fetched ahead.
const STALL: Duration = Duration::from_millis(250);

/// What the consumer and the mailbox want paused, and what is.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Paused by the consumer.
    wanted: HashSet<TopicPartition>,
    /// Paused in the client, which remembers it even of partitions that went and come back.
    paused: HashSet<TopicPartition>,
    full_since: Option<Instant>,
    is_stalled: bool,
    is_stale: bool,
}

/// What has to change in the client.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) pause: Vec<TopicPartition>,
    pub(super) resume: Vec<TopicPartition>,
}

impl Flow {
    pub(super) fn want_paused(&mut self, partitions: HashSet<TopicPartition>) {
        self.wanted = partitions;
        self.is_stale = true;
    }

    pub(super) fn ownership_changed(&mut self) {
        self.is_stale = true;
    }

    pub(super) fn mailbox_has_room(&mut self) {
        self.full_since = None;
        self.stall_is(false);
    }

    pub(super) fn mailbox_is_full(&mut self) {
        let since = *self.full_since.get_or_insert_with(Instant::now);
        self.stall_is(since.elapsed() >= STALL);
    }

    /// Whether the client may be polled: there is room for what comes, or nothing comes since everything is paused.
    pub(super) fn may_poll(&self) -> bool {
        self.full_since.is_none() || self.is_stalled
    }

    pub(super) fn change(&self, owned: &HashSet<TopicPartition>) -> Option<Change> {
        if !self.is_stale {
            return None;
        }
        let changing = owned.iter().filter(|partition| {
            let wanted = self.is_stalled || self.wanted.contains(*partition);
            wanted != self.paused.contains(*partition)
        });
        let (resume, pause) = changing.cloned().partition(|partition| self.paused.contains(partition));
        Some(Change { pause, resume })
    }

    pub(super) fn changed(&mut self, change: Change) {
        self.paused.extend(change.pause);
        self.paused.retain(|partition| !change.resume.contains(partition));
        self.is_stale = false;
    }

    fn stall_is(&mut self, is_stalled: bool) {
        self.is_stale |= self.is_stalled != is_stalled;
        self.is_stalled = is_stalled;
    }
}
