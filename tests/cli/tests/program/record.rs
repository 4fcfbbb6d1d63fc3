use serde_json::Value;

use crate::booking::Booking;

fn texts<'a>(list: &'a Value, field: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap()).collect()
}

#[test]
fn explain_tells_the_whole_life_of_an_event() {
    let booking = Booking::seeded();
    let life = booking.run(&["events", "explain", "b-2", "--json"]).json();
    assert_eq!(life["event_id"], "b-2");
    let moments: Vec<_> = texts(&life["timeline"], "what").into_iter().zip(texts(&life["timeline"], "who")).collect();
    let of = |listener: &str| -> Vec<&str> {
        moments.iter().filter(|(_, who)| *who == listener).map(|(what, _)| *what).collect()
    };
    assert_eq!(of("booking-confirmed"), ["staged", "published"]);
    assert_eq!(of("send_confirmation"), ["received", "attempt 1", "attempt 2"]);
    assert_eq!(of("add_points"), ["received", "attempt 1"]);
    assert_eq!(of("booking-confirmed.dlq"), ["dead letter", "published"]);
    let after: Vec<_> =
        life["timeline"].as_array().unwrap().iter().map(|m| m["after_micros"].as_i64().unwrap()).collect();
    assert!(after.is_sorted() && after[0] == 0, "{after:?}");
    let row =
        life["consumed"].as_array().unwrap().iter().find(|row| row["handler_name"] == "send_confirmation").unwrap();
    let outlook = row["outlook"].as_str().unwrap();
    assert!(outlook.starts_with("failed for good after 2 attempts; it waits for an operator"), "{outlook}");
}

#[test]
fn explain_fits_a_screen_and_takes_the_id_of_a_row() {
    let booking = Booking::seeded();
    let rows =
        booking.run(&["events", "list", "--consumed", "--listener", "send_confirmation", "--key", "2", "--json"]);
    let row = format!("#{}", rows.json()[0]["id"]);
    let ran = booking.run(&["events", "explain", &row]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.starts_with("event b-2\n  BOOKING_CONFIRMED on booking-confirmed, key 2, correlation id request-7\n")
    );
    assert!(
        ran.out.contains("FAILED after")
            && ran.out.contains("mail server refused a message from nobody; again after 10 ms")
    );
    assert!(ran.out.lines().count() < 40, "{}", ran.out);
}

#[test]
fn what_nobody_may_see_is_shown_nowhere() {
    let booking = Booking::seeded();
    for arguments in [
        &["events", "show", "b-2"][..],
        &["events", "show", "b-2", "--json"],
        &["events", "explain", "b-2"],
        &["events", "explain", "b-2", "--json"],
        &["events", "list", "--json"],
        &["dlq", "show", "b-2"],
    ] {
        let ran = booking.run(arguments);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!ran.out.contains("guest@hotel.example"), "{arguments:?}: {ran:?}");
    }
    assert!(booking.run(&["events", "show", "b-2"]).out.contains("\"guest_email\": \"[redacted]\""));
}

#[test]
fn lists_are_filtered_and_come_in_pages() {
    let booking = Booking::seeded();
    let list = |arguments: &[&str]| booking.run(&[&["events", "list", "--json"], arguments].concat());
    assert_eq!(texts(&list(&["--published", "--key", "1"]).json(), "event_id"), ["b-1"]);
    assert_eq!(
        texts(&list(&["--consumed", "--status", "failed_max_retry"]).json(), "handler_name"),
        ["send_confirmation"]
    );
    assert_eq!(list(&["--correlation", "request-7", "--consumed"]).json().as_array().unwrap().len(), 4);
    let first = list(&["--consumed", "--limit", "3"]).json();
    let last = first[2]["id"].to_string();
    let rest = list(&["--consumed", "--limit", "3", "--after", &last]).json();
    assert_eq!((first.as_array().unwrap().len(), rest.as_array().unwrap().len()), (3, 1));
    assert_ne!(first[2]["id"], rest[0]["id"]);
}

#[test]
fn nothing_found_has_a_code_of_its_own() {
    let booking = Booking::seeded();
    for arguments in
        [&["events", "explain", "b-9"][..], &["events", "show", "#999"], &["events", "list", "--topic", "none"]]
    {
        assert_eq!(booking.run(arguments).code, 3, "{arguments:?}");
    }
    assert_eq!(booking.run(&["events", "list", "--consumed", "--status", "DONE"]).code, 2);
    assert_eq!(booking.run(&["events", "list", "--json", "--topic", "none"]).out, "[]\n");
}
