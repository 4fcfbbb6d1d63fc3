use serde_json::json;

use crate::booking::Booking;

#[test]
fn a_dead_letter_is_discarded_only_with_yes_and_the_act_is_on_record() {
    let booking = Booking::seeded();
    let shown = booking.run(&["dlq", "discard", "b-2", "--json"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert_eq!((&shown.json()["dry_run"], &shown.json()["changed"]), (&json!(true), &json!([])));
    let done = booking.run(&["dlq", "discard", "b-2", "--yes", "--reason", "sent by hand", "--json"]).json();
    assert_eq!(done["changed"], shown.json()["matched"]);
    assert_eq!(booking.run(&["dlq", "list"]).code, 3);
    let life = booking.run(&["events", "explain", "b-2", "--json"]).json();
    let act = &life["actions"][0];
    assert_eq!(
        (&act["action"], &act["operator"], &act["reason"]),
        (&json!("discard"), &json!("alice"), &json!("sent by hand"))
    );
    assert!(booking.run(&["events", "explain", "b-2"]).out.contains("discarded by an operator; nothing more happens"));
    assert_eq!(booking.run(&["dlq", "discard", "b-2", "--yes"]).code, 3);
}

#[test]
fn a_dead_letter_that_is_sent_again_waits_for_an_instance() {
    let booking = Booking::seeded();
    let arguments =
        ["dlq", "retry", "--listener", "send_confirmation", "--error", "mail server", "--operator", "bob", "--yes"];
    let ran = booking.run(&arguments);
    assert_eq!((ran.code, ran.out.as_str()), (0, "sent again: 1 event\n"), "{ran:?}");
    let text = booking.run(&["events", "explain", "b-2"]).out;
    assert!(
        text.contains("waits for a worker; no instance of the service is running now, start one with `run`"),
        "{text}"
    );
    assert!(text.contains("FAILED_MAX_RETRY to RECEIVED, by bob"), "{text}");
}

#[test]
fn nothing_is_acted_on_by_oversight() {
    let booking = Booking::seeded();
    for arguments in [&["dlq", "retry", "--yes"][..], &["dlq", "discard", "--yes"], &["outbox", "retry", "--yes"]] {
        let ran = booking.run(arguments);
        assert_eq!((ran.code, ran.err.as_str()), (2, "error: say which: ids, filters, or `--all`\n"), "{arguments:?}");
    }
}

#[test]
fn failures_are_counted_and_the_outbox_is_empty() {
    let booking = Booking::seeded();
    let failures = booking.run(&["dlq", "list", "--by-failure", "--json"]).json();
    assert_eq!(failures.as_array().unwrap().len(), 1);
    assert_eq!(failures[0]["error"], "mail server refused a message from nobody");
    let outbox = booking.run(&["outbox", "list"]);
    assert_eq!((outbox.code, outbox.out.as_str()), (3, "everything is published\n"));
}

#[test]
fn a_listener_is_paused_and_resumed_by_its_name() {
    let booking = Booking::seeded();
    let wrong = booking.run(&["listeners", "pause", "send_confirmtion"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.ends_with("did you mean `send_confirmation`?\n"), "{wrong:?}");
    assert_eq!(booking.run(&["listeners", "resume", "send_confirmation"]).code, 3);
    assert_eq!(booking.run(&["listeners", "pause", "send_confirmation", "--reason", "mail is down"]).code, 0);
    assert_eq!(booking.run(&["listeners", "--json"]).json()[1]["paused"], true);
    assert_eq!(booking.run(&["status", "--json"]).json()["paused"][0]["listener"], "send_confirmation");
    assert!(booking.run(&["doctor"]).out.contains("warn  paused         `send_confirmation`"));
    assert_eq!(booking.run(&["listeners", "resume", "send_confirmation"]).code, 0);
    assert_eq!(booking.run(&["listeners", "--json"]).json()[1]["paused"], false);
}

#[test]
fn doctor_finds_nothing_wrong_and_says_what_to_look_at() {
    let booking = Booking::seeded();
    let ran = booking.run(&["doctor", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let found = ran.json();
    let verdicts: Vec<_> =
        found.as_array().unwrap().iter().map(|finding| (&finding["check"], &finding["verdict"])).collect();
    let expected = [
        ("configuration", "ok"),
        ("listeners", "ok"),
        ("database", "ok"),
        ("schema", "ok"),
        ("clock", "ok"),
        ("broker", "ok"),
        ("instances", "warn"),
        ("dead letters", "warn"),
        ("outbox", "ok"),
        ("paused", "ok"),
    ]
    .map(|(check, verdict)| (json!(check), json!(verdict)));
    assert_eq!(verdicts, expected.iter().map(|(check, verdict)| (check, verdict)).collect::<Vec<_>>());
}

#[test]
fn status_counts_what_is_open() {
    let status = Booking::seeded().run(&["status", "--json"]).json();
    assert_eq!(status["backlog"]["outbox_pending"], 0);
    assert_eq!(status["backlog"]["listeners"][0]["handler_name"], "send_confirmation");
    assert_eq!(status["backlog"]["listeners"][0]["review"], 1);
}

#[test]
fn doctor_of_an_empty_database_says_what_to_do() {
    let ran = Booking::new().run_with(&["doctor"], &[("TRACKED_MIGRATE", "false")]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.out.contains("fail  schema") && ran.out.contains("run the `migrate` command"), "{ran:?}");
}
