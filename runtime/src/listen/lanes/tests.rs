use super::*;

#[derive(Debug, PartialEq, Eq)]
struct Item(i64, Option<i64>, Origin);

impl Laned for Item {
    fn key(&self) -> Option<i64> {
        self.1
    }

    fn weight(&self) -> usize {
        1
    }

    fn origin(&self) -> Origin {
        self.2
    }
}

fn fresh(id: i64, key: Option<i64>) -> Item {
    Item(id, key, Origin::Fresh)
}

fn again(id: i64, key: Option<i64>) -> Item {
    Item(id, key, Origin::Reclaimed)
}

fn lanes(concurrency: u32) -> Lanes<Item> {
    Lanes::new(&ListenerOptions { concurrency, order: Order::Key, ..ListenerOptions::DEFAULT })
}

fn taken(lanes: &mut Lanes<Item>) -> Vec<i64> {
    std::iter::from_fn(|| lanes.take()).map(|item| item.0).collect()
}

#[test]
fn one_key_runs_one_at_a_time_and_others_run_beside_it() {
    let mut lanes = lanes(10);
    for (id, key) in [(1, 7), (2, 7), (3, 8)] {
        assert_eq!(lanes.offer(fresh(id, Some(key))), Upshot::Nothing);
    }
    assert_eq!(taken(&mut lanes), [1, 3]);
    lanes.finish(Origin::Fresh, Some(7), HeadEnd::Done);
    assert_eq!(taken(&mut lanes), [2]);
}

#[test]
fn a_failed_head_sends_its_followers_back_and_holds_the_next() {
    let mut lanes = lanes(10);
    lanes.offer(fresh(1, Some(7)));
    lanes.offer(fresh(2, Some(7)));
    taken(&mut lanes);
    let upshot = lanes.finish(Origin::Fresh, Some(7), HeadEnd::Parked);
    assert_eq!(upshot, Upshot::GiveBack(vec![fresh(2, Some(7))]));
    lanes.returned(7);
    assert_eq!(Placing::default().place(&lanes, Some(7), true), Place::Hold);
    assert_eq!(lanes.offer(fresh(3, Some(7))), Upshot::GiveBack(vec![fresh(3, Some(7))]));
    lanes.returned(7);

    lanes.reclaimed(vec![again(1, Some(7))]);
    assert_eq!(taken(&mut lanes), [1]);
    assert_eq!(lanes.finish(Origin::Reclaimed, Some(7), HeadEnd::Done), Upshot::PageIn(7));
    lanes.paged_in(7, vec![again(2, Some(7)), again(3, Some(7))], 10);
    assert_eq!(taken(&mut lanes), [2]);
    lanes.finish(Origin::Reclaimed, Some(7), HeadEnd::Done);
    assert_eq!(taken(&mut lanes), [3]);
    lanes.finish(Origin::Reclaimed, Some(7), HeadEnd::Done);
    assert!(!lanes.keys.contains_key(&7));
}

#[test]
fn a_row_held_too_late_is_fetched_at_once() {
    let mut lanes = lanes(10);
    assert_eq!(lanes.held(7), Upshot::PageIn(7));
    lanes.paged_in(7, vec![again(1, Some(7))], 10);
    assert_eq!(taken(&mut lanes), [1]);
}

#[test]
fn a_lane_whose_head_was_settled_elsewhere_is_freed() {
    let mut lanes = lanes(10);
    lanes.load(7, 1, 0);
    assert!(lanes.orphaned(|_| false).is_empty());
    assert_eq!(lanes.orphaned(|_| false), [7]);
    lanes.paged_in(7, Vec::new(), 10);
    assert!(!lanes.keys.contains_key(&7));
}

#[test]
fn retries_leave_half_of_the_workers_to_fresh_events() {
    let mut lanes = lanes(4);
    lanes.reclaimed((1..=10).map(|id| again(id, None)).collect());
    for id in 11..=20 {
        lanes.offer(fresh(id, None));
    }
    assert_eq!(taken(&mut lanes), [1, 2, 11, 12]);
}

#[test]
fn retries_take_what_fresh_events_do_not_need() {
    let mut lanes = lanes(4);
    lanes.reclaimed((1..=10).map(|id| again(id, None)).collect());
    assert_eq!(taken(&mut lanes), [1, 2, 3, 4]);
}

#[test]
fn what_is_withdrawn_waits_in_the_database() {
    let mut lanes = lanes(1);
    for (id, key) in [(1, Some(7)), (2, Some(7)), (3, None)] {
        lanes.offer(fresh(id, key));
    }
    let (heads, held) = lanes.withdraw(|_| true);
    assert_eq!((heads.len(), held.len(), lanes.waiting()), (2, 1, 0));
    assert_eq!(Placing::default().place(&lanes, Some(7), true), Place::Hold);
}
