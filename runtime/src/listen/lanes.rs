//! Lanes: which delivery of a listener may run next.
//!
//! A pure decision maker: no task, no clock, no database. Without keys it is a queue. With [`Order::Key`] each key is
//! a lane whose head alone may run; what is behind it waits in memory, or, once the lane is *parked* (its head waits
//! in the database for a retry, a worker or an operator), as held rows in the database, which cost no memory.
//!
//! Invariants:
//! - of one key at most one delivery is ready or running;
//! - a delivery never passes an earlier one of its key, in memory or in the database;
//! - reclaimed deliveries (retries, redrives, replays) have their own share of the workers, fresh ones the rest, and
//!   either takes what the other does not need.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use super::{ListenerOptions, Order};

mod lane;
mod place;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use self::lane::{Head, Lane};
pub(crate) use self::place::{Place, Placing};

/// A delivery, as far as lanes look at it.
pub(crate) trait Laned {
    /// The key, when order matters.
    fn key(&self) -> Option<i64>;
    /// What it weighs in memory, in bytes.
    fn weight(&self) -> usize;
    /// Where it comes from.
    fn origin(&self) -> Origin;
}

/// Where a delivery comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Just admitted.
    Fresh,
    /// Claimed again from the database.
    Reclaimed,
}

/// How the head of a lane ended, as far as its followers are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadEnd {
    /// The followers go on.
    Done,
    /// It waits in the database; the followers wait behind it.
    Parked,
}

/// What has to be done after a change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Upshot<T> {
    /// Nothing.
    Nothing,
    /// These have to be given back to the database, held behind their key.
    GiveBack(Vec<T>),
    /// Held rows of this key are to be claimed now: nothing is before them.
    PageIn(i64),
}

/// The lanes of one listener.
pub(crate) struct Lanes<T> {
    order: Order,
    fresh: VecDeque<T>,
    reclaimed: VecDeque<T>,
    keys: HashMap<i64, Lane<T>>,
    limits: Limits,
    /// In memory, not running.
    waiting: usize,
    waiting_bytes: usize,
    running: usize,
    running_reclaimed: usize,
    /// A row came from the database whose key was not known here: others of the key may be held there.
    met_unknown_key: bool,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    concurrency: usize,
    queue: usize,
    queue_bytes: usize,
    reclaimed_share: usize,
}

/// However small the events, a listener keeps no more than this many bytes of payload waiting.
const QUEUE_BYTES: usize = 32 << 20;

impl<T: Laned> Lanes<T> {
    pub(crate) fn new(options: &ListenerOptions) -> Self {
        let concurrency = usize::try_from(options.concurrency).unwrap_or(usize::MAX).max(1);
        Self {
            order: options.order,
            fresh: VecDeque::new(),
            reclaimed: VecDeque::new(),
            keys: HashMap::new(),
            limits: Limits {
                concurrency,
                queue: usize::try_from(options.queue).unwrap_or(usize::MAX).max(1),
                queue_bytes: QUEUE_BYTES,
                reclaimed_share: (concurrency / 2).max(1),
            },
            waiting: 0,
            waiting_bytes: 0,
            running: 0,
            running_reclaimed: 0,
            met_unknown_key: false,
        }
    }

    /// The key by which an arrival is ordered here, if it is.
    pub(crate) fn key_of(&self, key_hash: Option<i64>) -> Option<i64> {
        key_hash.filter(|_| self.order == Order::Key)
    }

    /// Whether more may be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting < self.limits.queue && self.waiting_bytes < self.limits.queue_bytes
    }

    /// How many reclaimed deliveries may be claimed from the database now.
    pub(crate) fn reclaim_room(&self) -> usize {
        if self.waiting_bytes >= self.limits.queue_bytes {
            return 0;
        }
        (self.limits.reclaimed_share * 2).saturating_sub(self.reclaimed.len() + self.running_reclaimed)
    }

    /// A delivery that was just admitted and claimed.
    pub(crate) fn offer(&mut self, item: T) -> Upshot<T> {
        let Some(key) = self.key_of(item.key()) else {
            self.make_ready(item);
            return Upshot::Nothing;
        };
        match self.keys.entry(key) {
            Entry::Vacant(lane) => {
                lane.insert(Lane::new(Head::Memory));
                self.make_ready(item);
            }
            Entry::Occupied(mut lane) => {
                let lane = lane.get_mut();
                if !lane.is_in_memory() {
                    lane.returning += 1;
                    return Upshot::GiveBack(vec![item]);
                }
                self.waiting += 1;
                self.waiting_bytes += item.weight();
                lane.behind.push_back(item);
            }
        }
        Upshot::Nothing
    }

    /// Rows claimed from the database because they were due, in the order of their ids.
    pub(crate) fn reclaimed(&mut self, items: Vec<T>) {
        for item in items {
            let Some(key) = self.key_of(item.key()) else {
                self.make_ready(item);
                continue;
            };
            let lane = self.keys.entry(key).or_insert_with(|| {
                self.met_unknown_key = true;
                Lane::new(Head::Database)
            });
            if lane.head == Head::Memory {
                self.waiting += 1;
                self.waiting_bytes += item.weight();
                lane.behind.push_back(item);
            } else {
                lane.head = Head::Memory;
                lane.missing = false;
                self.make_ready(item);
            }
        }
    }

    /// Held rows of a key, claimed after [`Upshot::PageIn`], in the order of their ids; `asked` was the most.
    pub(crate) fn paged_in(&mut self, key: i64, items: Vec<T>, asked: usize) -> Upshot<T> {
        let Some(lane) = self.keys.get_mut(&key) else {
            self.reclaimed(items);
            return Upshot::Nothing;
        };
        if items.len() >= asked {
            // A full page says that there may be more.
            lane.held = lane.held.max(1);
        }
        if items.is_empty() {
            if lane.head != Head::Paging {
                return Upshot::Nothing;
            }
            if lane.held > 0 || lane.returning > 0 {
                return lane.page_in(key);
            }
            self.keys.remove(&key);
            return Upshot::Nothing;
        }
        self.reclaimed(items);
        Upshot::Nothing
    }

    /// The claim after [`Upshot::PageIn`] failed; it is to be asked for again.
    pub(crate) fn page_in_again(&self, key: i64) -> Upshot<T> {
        match self.keys.get(&key) {
            Some(lane) if lane.head == Head::Paging => Upshot::PageIn(key),
            _ => Upshot::Nothing,
        }
    }

    /// An arrival of this key was committed as held.
    pub(crate) fn held(&mut self, key: i64) -> Upshot<T> {
        match self.keys.entry(key) {
            Entry::Vacant(lane) => lane.insert(Lane::new(Head::Paging)).page_in(key),
            Entry::Occupied(mut lane) => {
                lane.get_mut().held += 1;
                Upshot::Nothing
            }
        }
    }

    /// A row of this key that was given back is held in the database.
    pub(crate) fn returned(&mut self, key: i64) -> Upshot<T> {
        let Some(lane) = self.keys.get_mut(&key) else { return self.held(key) };
        lane.held += 1;
        lane.returning = lane.returning.saturating_sub(1);
        if lane.head == Head::Returning { lane.page_in(key) } else { Upshot::Nothing }
    }

    /// A row of this key was committed that will be claimed when it is due.
    pub(crate) fn parked(&mut self, key: i64) {
        self.keys.entry(key).or_insert_with(|| Lane::new(Head::Database));
    }

    /// Open rows of this key, found when their partition was taken over or looked at again.
    pub(crate) fn load(&mut self, key: i64, heads: u32, held: u32) -> Upshot<T> {
        match self.keys.entry(key) {
            Entry::Vacant(lane) if heads > 0 => {
                lane.insert(Lane::new(Head::Database)).held = held;
                Upshot::Nothing
            }
            Entry::Vacant(lane) => lane.insert(Lane::new(Head::Paging)).page_in(key),
            // What was read may be older than what is known. Too many held rows cost a look for them, too few an
            // overtaking; and a head that was not found may only have been on its way.
            Entry::Occupied(mut lane) => {
                let lane = lane.get_mut();
                lane.held = lane.held.max(held);
                lane.missing = lane.missing && heads == 0;
                Upshot::Nothing
            }
        }
    }

    /// Keys whose head should be in the database and was not found there twice running: someone else settled it.
    pub(crate) fn orphaned(&mut self, has_head: impl Fn(i64) -> bool) -> Vec<i64> {
        self.met_unknown_key = false;
        let mut orphaned = Vec::new();
        for (key, lane) in self.keys.iter_mut().filter(|(key, lane)| lane.head == Head::Database && !has_head(**key)) {
            if lane.missing && matches!(lane.page_in(*key), Upshot::PageIn(_)) {
                orphaned.push(*key);
            }
            lane.missing = true;
        }
        orphaned
    }

    /// The next delivery to run, when a worker is free.
    pub(crate) fn take(&mut self) -> Option<T> {
        if self.running >= self.limits.concurrency {
            return None;
        }
        let reclaimed_first = self.running_reclaimed < self.limits.reclaimed_share || self.fresh.is_empty();
        let item = match reclaimed_first.then(|| self.reclaimed.pop_front()).flatten() {
            Some(item) => item,
            None => self.fresh.pop_front()?,
        };
        self.waiting -= 1;
        self.waiting_bytes = self.waiting_bytes.saturating_sub(item.weight());
        self.running += 1;
        if item.origin() == Origin::Reclaimed {
            self.running_reclaimed += 1;
        }
        Some(item)
    }

    /// A running delivery came to its end.
    pub(crate) fn finish(&mut self, origin: Origin, key: Option<i64>, end: HeadEnd) -> Upshot<T> {
        self.running -= 1;
        if origin == Origin::Reclaimed {
            self.running_reclaimed -= 1;
        }
        let Some(key) = self.key_of(key) else { return Upshot::Nothing };
        let Some(lane) = self.keys.get_mut(&key) else { return Upshot::Nothing };
        match end {
            HeadEnd::Parked => {
                lane.head = Head::Database;
                let behind: Vec<T> = lane.behind.drain(..).collect();
                lane.returning += u32::try_from(behind.len()).unwrap_or(u32::MAX);
                self.waiting -= behind.len();
                self.waiting_bytes = self.waiting_bytes.saturating_sub(behind.iter().map(T::weight).sum());
                if behind.is_empty() { Upshot::Nothing } else { Upshot::GiveBack(behind) }
            }
            HeadEnd::Done => {
                if let Some(next) = lane.behind.pop_front() {
                    self.queue_of(next.origin()).push_back(next);
                    return Upshot::Nothing;
                }
                if lane.held > 0 || lane.returning > 0 {
                    return lane.page_in(key);
                }
                self.keys.remove(&key);
                Upshot::Nothing
            }
        }
    }

    /// Takes out everything that waits in memory and matches: first the heads, which may be claimed by anyone and whose
    /// keys wait for that, then those behind a head, which stay held.
    pub(crate) fn withdraw(&mut self, matches: impl Fn(&T) -> bool) -> (Vec<T>, Vec<T>) {
        let mut heads = Vec::new();
        for queue in [&mut self.reclaimed, &mut self.fresh] {
            let (out, kept): (VecDeque<T>, _) = queue.drain(..).partition(|item| matches(item));
            *queue = kept;
            heads.extend(out);
        }
        let mut held = Vec::new();
        for lane in self.keys.values_mut() {
            let (out, kept): (VecDeque<_>, _) = lane.behind.drain(..).partition(|item| matches(item));
            lane.behind = kept;
            lane.returning += u32::try_from(out.len()).unwrap_or(u32::MAX);
            held.extend(out);
        }
        self.waiting -= heads.len() + held.len();
        let bytes: usize = heads.iter().chain(&held).map(T::weight).sum();
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        for key in heads.iter().filter_map(T::key) {
            if let Some(lane) = self.keys.get_mut(&key) {
                lane.head = Head::Database;
            }
        }
        (heads, held)
    }

    /// Forgets the keys whose rows all wait in the database: another instance owns them now.
    pub(crate) fn forget_parked(&mut self) {
        self.keys.retain(|_, lane| lane.head == Head::Memory);
    }

    /// Whether the lane of any key waits for a row in the database, or may have to.
    pub(crate) fn has_parked(&self) -> bool {
        self.met_unknown_key || self.keys.values().any(|lane| lane.head == Head::Database)
    }

    /// Deliveries in handlers' hands.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// Deliveries in memory that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    fn make_ready(&mut self, item: T) {
        self.waiting += 1;
        self.waiting_bytes += item.weight();
        self.queue_of(item.origin()).push_back(item);
    }

    fn queue_of(&mut self, origin: Origin) -> &mut VecDeque<T> {
        match origin {
            Origin::Fresh => &mut self.fresh,
            Origin::Reclaimed => &mut self.reclaimed,
        }
    }
}
