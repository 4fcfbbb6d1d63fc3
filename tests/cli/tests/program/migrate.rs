use serde_json::json;

use crate::booking::Booking;

#[test]
fn migrate_is_done_once_and_check_says_so() {
    let booking = Booking::new();
    let before = booking.run(&["migrate", "--check", "--json"]);
    assert_eq!((before.code, before.json()), (4, json!({ "schema": "missing" })));
    let first = booking.run(&["migrate", "--json"]);
    assert_eq!(first.code, 0);
    assert!(!first.json()["migrated"].as_array().unwrap().is_empty());
    assert_eq!(booking.run(&["migrate", "--json"]).json(), json!({ "migrated": [] }));
    let after = booking.run(&["migrate", "--check", "--json"]);
    assert_eq!((after.code, after.json()), (0, json!({ "schema": "current" })));
}

#[test]
fn the_sql_can_be_printed_without_a_database() {
    let booking = Booking::new();
    let ran = booking.run(&["migrate", "--print-sql"]);
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("CREATE TABLE event_production_log"), "{ran:?}");
    assert!(!booking.folder.path().join("tracked.db").exists());
}

#[test]
fn a_command_that_needs_the_tables_says_how_to_make_them() {
    let ran = Booking::new().run(&["status"]);
    assert_eq!(ran.code, 4);
    assert!(ran.err.ends_with("run the `migrate` command\n"), "{ran:?}");
}
