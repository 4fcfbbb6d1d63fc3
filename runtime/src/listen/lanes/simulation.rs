//! One listener's decisions, lived through from a seed: a model of the database, tasks that take turns in any order, and
//! crashes between any two of their steps.
//!
//! What the tasks of a group do in two steps, a transaction and then telling the lanes, is two steps here, with anything
//! in between. Checked at each step: a key's deliveries run one at a time and in order, no delivery runs twice at once,
//! and limits are kept; at the end: everything was handled and nothing is left in memory.
//!
//! A failure names its seed; `TRACKED_SIMULATION_SEED` runs that one alone, `TRACKED_SIMULATION_SEEDS` says how many.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::*;

/// How many seeds a normal run tries.
const SEEDS: u64 = 2_000;
const STEPS: usize = 400;
const KEYS: u64 = 4;
/// How many held rows are claimed at once.
const PAGE: usize = 3;

/// SplitMix64: every history follows from its seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.below(u64::try_from(count).unwrap())).unwrap()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    id: i64,
    key: Option<i64>,
    origin: Origin,
}

impl Laned for Item {
    fn key(&self) -> Option<i64> {
        self.key
    }

    fn weight(&self) -> usize {
        1
    }

    fn origin(&self) -> Origin {
        self.origin
    }
}

/// What the database says of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Claimed as it was admitted.
    Admitted,
    /// Claimed again.
    Claimed,
    /// It runs when it is claimed at this time, or later.
    Waiting(u64),
    Held,
    Done,
}

/// A task's second step, when the first is done.
#[derive(Debug)]
enum Told {
    Placed(Vec<(i64, Option<i64>, Place)>),
    Admitted(Vec<(i64, Option<i64>, Place)>),
    Claimed(Vec<Item>),
    Paged(i64, Vec<Item>),
    Swept(Vec<(i64, u32, u32)>),
    Settled { held: Vec<i64>, count: usize },
}

#[derive(Default)]
struct Tasks {
    consumer: Option<Told>,
    due: Option<Told>,
    settler: Option<Told>,
}

struct World {
    chance: Chance,
    lanes: Lanes<Item>,
    rows: BTreeMap<i64, (Option<i64>, State)>,
    now: u64,
    running: Vec<Item>,
    reports: VecDeque<(i64, State)>,
    unsettled: usize,
    pages: VecDeque<i64>,
    tasks: Tasks,
    /// Handlers fail no more, nothing arrives, nothing crashes.
    calm: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let concurrency = u32::try_from(1 + chance.below(4)).unwrap();
        let queue = u32::try_from(1 + chance.below(6)).unwrap();
        let options = ListenerOptions { concurrency, queue, order: Order::Key, ..ListenerOptions::DEFAULT };
        Self {
            chance,
            lanes: Lanes::new(&options),
            rows: BTreeMap::new(),
            now: 0,
            running: Vec::new(),
            reports: VecDeque::new(),
            unsettled: 0,
            pages: VecDeque::new(),
            tasks: Tasks::default(),
            calm: false,
        }
    }

    fn step(&mut self) {
        match self.chance.below(if self.calm { 9 } else { 12 }) {
            0 => self.consume(),
            1 | 2 => self.settle(),
            3 | 4 => self.look_for_due(),
            5 | 6 => self.take(),
            7 => self.finish(),
            8 => self.now += self.chance.below(3),
            9 => self.consume(),
            10 if self.chance.below(8) == 0 => self.withdraw(),
            11 if self.chance.below(12) == 0 => self.crash(),
            _ => {}
        }
    }

    /// The consumer: places a batch; then writes it; then offers it.
    fn consume(&mut self) {
        match self.tasks.consumer.take() {
            Some(Told::Placed(batch)) => {
                self.admit(&batch);
                self.tasks.consumer = Some(Told::Admitted(batch));
            }
            Some(Told::Admitted(batch)) => {
                for (id, key, place) in batch {
                    match (place, key) {
                        (Place::Run, _) => {
                            let upshot = self.lanes.offer(Item { id, key, origin: Origin::Fresh });
                            self.follow_up(upshot);
                        }
                        (Place::Hold, Some(key)) => {
                            let upshot = self.lanes.held(key);
                            self.follow_up(upshot);
                        }
                        (_, Some(key)) => self.lanes.parked(key),
                        (_, None) => {}
                    }
                }
            }
            _ if !self.calm && self.lanes.has_room() => self.tasks.consumer = Some(self.place()),
            _ => {}
        }
    }

    fn admit(&mut self, batch: &[(i64, Option<i64>, Place)]) {
        for (id, key, place) in batch {
            let state = match place {
                Place::Run => State::Admitted,
                Place::Wait => State::Waiting(self.now),
                Place::Hold => State::Held,
            };
            self.rows.insert(*id, (*key, state));
        }
    }

    fn place(&mut self) -> Told {
        let mut placing = Placing::default();
        let count = 1 + self.chance.below(4);
        let first = i64::try_from(self.rows.len()).unwrap() + 1;
        let batch = (first..)
            .take(usize::try_from(count).unwrap())
            .map(|id| {
                let key = Some(self.chance.below(KEYS + 1)).filter(|key| *key < KEYS);
                let key = key.map(|key| i64::try_from(key).unwrap());
                // Handlers end while a batch is looked through.
                if self.chance.below(4) == 0 {
                    self.finish();
                    self.take();
                }
                (id, key, placing.place(&self.lanes, key, true))
            })
            .collect();
        Told::Placed(batch)
    }

    /// The settler: writes what was reported; then tells the lanes what is held.
    fn settle(&mut self) {
        if let Some(Told::Settled { held, count }) = self.tasks.settler.take() {
            for key in held {
                let upshot = self.lanes.returned(key);
                self.follow_up(upshot);
            }
            self.unsettled -= count;
            return;
        }
        let count = self.reports.len().min(1 + self.chance.pick(4));
        if count == 0 {
            return;
        }
        let mut held = Vec::new();
        for (id, state) in self.reports.drain(..count) {
            let row = self.rows.get_mut(&id).unwrap();
            row.1 = state;
            if state == State::Held {
                held.extend(row.0);
            }
        }
        self.tasks.settler = Some(Told::Settled { held, count });
    }

    /// The task that claims: pages first, then what is due, and now and then a sweep.
    fn look_for_due(&mut self) {
        match self.tasks.due.take() {
            Some(Told::Claimed(items)) => self.lanes.reclaimed(items),
            Some(Told::Paged(key, items)) => {
                let upshot = self.lanes.paged_in(key, items, PAGE);
                self.follow_up(upshot);
            }
            Some(Told::Swept(open)) => self.swept(&open),
            _ => self.tasks.due = self.claim(),
        }
    }

    fn claim(&mut self) -> Option<Told> {
        if let Some(key) = self.pages.pop_front() {
            let held = |(id, (of, state)): (&i64, &(Option<i64>, State))| {
                (*of == Some(key) && *state == State::Held).then_some(*id)
            };
            let ids: Vec<_> = self.rows.iter().filter_map(held).take(PAGE).collect();
            return Some(Told::Paged(key, self.claimed(&ids)));
        }
        if self.chance.below(3) == 0 {
            return self.lanes.has_parked().then(|| Told::Swept(self.open_keys()));
        }
        let now = self.now;
        let due = |(id, (_, state)): (&i64, &(Option<i64>, State))| match state {
            State::Waiting(at) if *at <= now => Some((*at, *id)),
            _ => None,
        };
        let mut due: Vec<_> = self.rows.iter().filter_map(due).collect();
        due.sort_unstable();
        due.truncate(self.lanes.reclaim_room());
        let mut ids: Vec<_> = due.into_iter().map(|(_, id)| id).collect();
        ids.sort_unstable();
        (!ids.is_empty()).then(|| Told::Claimed(self.claimed(&ids)))
    }

    fn claimed(&mut self, ids: &[i64]) -> Vec<Item> {
        let mut claim = |id: &i64| {
            let row = self.rows.get_mut(id).unwrap();
            row.1 = State::Claimed;
            Item { id: *id, key: row.0, origin: Origin::Reclaimed }
        };
        ids.iter().map(&mut claim).collect()
    }

    /// Key, heads and held rows of every key with open work.
    fn open_keys(&self) -> Vec<(i64, u32, u32)> {
        let mut open: BTreeMap<i64, (u32, u32)> = BTreeMap::new();
        for (key, state) in self.rows.values() {
            let Some(key) = key else { continue };
            match state {
                State::Claimed | State::Waiting(_) => open.entry(*key).or_default().0 += 1,
                State::Held => open.entry(*key).or_default().1 += 1,
                State::Admitted | State::Done => {}
            }
        }
        open.into_iter().map(|(key, (heads, held))| (key, heads, held)).collect()
    }

    fn swept(&mut self, open: &[(i64, u32, u32)]) {
        for (key, heads, held) in open {
            let upshot = self.lanes.load(*key, *heads, *held);
            self.follow_up(upshot);
        }
        if self.unsettled > 0 {
            return;
        }
        for key in self.lanes.orphaned(|key| open.iter().any(|(open, heads, _)| *open == key && *heads > 0)) {
            self.pages.push_back(key);
        }
    }

    fn take(&mut self) {
        let Some(item) = self.lanes.take() else { return };
        assert!(self.running.iter().all(|other| other.id != item.id), "{item:?} runs twice at once");
        if item.key.is_some() {
            assert!(self.running.iter().all(|other| other.key != item.key), "{item:?} runs beside another of its key");
            let earlier = self.rows.range(..item.id).find(|(id, (key, state))| {
                let reported = self.reports.iter().any(|(reported, end)| reported == *id && *end == State::Done);
                *key == item.key && *state != State::Done && !reported
            });
            assert!(earlier.is_none(), "{item:?} overtakes {earlier:?}");
        }
        self.running.push(item);
        assert!(self.running.len() <= self.lanes.limits.concurrency, "more run than may");
    }

    fn finish(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let item = self.running.swap_remove(self.chance.pick(self.running.len()));
        let fails = !self.calm && self.chance.below(3) == 0;
        let (state, end) = if fails {
            (State::Waiting(self.now + self.chance.below(4)), HeadEnd::Parked)
        } else {
            (State::Done, HeadEnd::Done)
        };
        self.report(item.id, state);
        let upshot = self.lanes.finish(item.origin, item.key, end);
        self.follow_up(upshot);
    }

    /// As a listener is paused: what waits in memory goes back.
    fn withdraw(&mut self) {
        let (heads, held) = self.lanes.withdraw(|_| true);
        for item in heads {
            self.report(item.id, State::Waiting(self.now));
        }
        for item in held {
            self.report(item.id, State::Held);
        }
    }

    /// The process dies and starts again: its claims are taken back, and the lanes are told of what is open.
    fn crash(&mut self) {
        self.running.clear();
        self.reports.clear();
        self.pages.clear();
        self.unsettled = 0;
        self.tasks = Tasks::default();
        let mut heads = HashSet::new();
        for (key, state) in self.rows.values_mut() {
            let open = *state != State::Done;
            let is_first = key.is_none_or(|key| !open || heads.insert(key));
            if matches!(state, State::Admitted | State::Claimed) {
                *state = if is_first { State::Waiting(self.now) } else { State::Held };
            }
        }
        let Limits { concurrency, queue, .. } = self.lanes.limits;
        let number = |limit: usize| u32::try_from(limit).unwrap();
        let (concurrency, queue) = (number(concurrency), number(queue));
        let options = ListenerOptions { concurrency, queue, order: Order::Key, ..ListenerOptions::DEFAULT };
        self.lanes = Lanes::new(&options);
        let open = self.open_keys();
        for (key, heads, held) in open {
            let upshot = self.lanes.load(key, heads, held);
            self.follow_up(upshot);
        }
    }

    fn report(&mut self, id: i64, state: State) {
        self.unsettled += 1;
        self.reports.push_back((id, state));
    }

    fn follow_up(&mut self, upshot: Upshot<Item>) {
        match upshot {
            Upshot::Nothing => {}
            Upshot::GiveBack(items) => items.into_iter().for_each(|item| self.report(item.id, State::Held)),
            Upshot::PageIn(key) => self.pages.push_back(key),
        }
    }

    fn is_over(&self) -> bool {
        self.rows.values().all(|(_, state)| *state == State::Done)
            && self.running.is_empty()
            && self.unsettled == 0
            && self.lanes.waiting() == 0
    }
}

fn live(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.calm = true;
    for _ in 0..50 * STEPS {
        if world.is_over() {
            break;
        }
        world.step();
    }
    let left: Vec<_> = world.rows.iter().filter(|(_, (_, state))| *state != State::Done).collect();
    assert!(world.is_over(), "not everything came to its end: {left:?}, lanes {:?}", world.lanes.keys.keys());
}

#[test]
fn every_history_keeps_its_order_and_comes_to_its_end() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("TRACKED_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TRACKED_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let lived = std::panic::catch_unwind(|| live(seed));
        assert!(lived.is_ok(), "seed {seed}; live it again with TRACKED_SIMULATION_SEED={seed}");
    }
}
