use crate::booking::Booking;

#[test]
fn every_mistake_is_reported_at_once_and_the_code_says_setup() {
    let booking = Booking::new();
    booking.write("tracked.toml", "databse_url = 'sqlite:a.db'\nlease = '10x'\n");
    let ran = booking.run_with(&["status"], &[("TRACKED_BROKR_URL", "embedded:")]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_eq!(
        ran.err,
        "error: 3 problems:\n\
         \x20 - tracked.toml:2: `lease` is `10x`, which is not a duration; write one such as `30s` or `1m 30s`\n\
         \x20 - TRACKED_BROKR_URL: unknown setting `TRACKED_BROKR_URL`; did you mean `TRACKED_BROKER_URL`?\n\
         \x20 - tracked.toml:1: unknown setting `databse_url`; did you mean `database_url`?\n"
    );
}

#[test]
fn doctor_reports_a_configuration_that_cannot_be_read() {
    let booking = Booking::new();
    booking.write("tracked.toml", "lease = '10x'\n");
    let ran = booking.run(&["doctor", "--json"]);
    assert_eq!(ran.code, 4);
    let found = ran.json();
    assert_eq!(found[0]["check"], "configuration");
    assert_eq!(found[0]["verdict"], "fail");
    assert!(found[0]["detail"].as_str().unwrap().starts_with("tracked.toml:1: `lease`"), "{found}");
}

#[test]
fn a_section_of_a_listener_that_is_not_there_stops_the_start_and_names_the_nearest() {
    let booking = Booking::new();
    booking.write("tracked.toml", "[listener.send_confirmaton]\nretries = 9\n");
    for command in ["run", "listeners"] {
        let ran = booking.run(&[command]);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.err.contains("did you mean `listener.send_confirmation`?"), "{ran:?}");
    }
}

#[test]
fn a_section_of_the_services_own_that_does_not_fit_stops_the_start() {
    let booking = Booking::new();
    booking.write("tracked.toml", "[app.mail]\nsender = ['a', 'b']\n");
    let ran = booking.run(&["seed"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("`[app.mail]` does not fit") && ran.err.contains("tracked.toml:2"), "{ran:?}");
}

#[test]
fn an_override_shows_in_the_list_of_listeners() {
    let booking = Booking::new();
    let environment = [("TRACKED_LISTENER__SEND_CONFIRMATION__CONCURRENCY", "3")];
    let listeners = booking.run_with(&["listeners", "--json"], &environment).json();
    assert_eq!(listeners[1]["name"], "send_confirmation");
    assert_eq!(listeners[1]["options"]["concurrency"], 3);
    assert_eq!(listeners[1]["options"]["retries"], 1);
    assert_eq!(listeners[0]["transactional"], true);
}

#[test]
fn a_password_is_never_printed() {
    let url = "postgres://app:s3cret@127.0.0.1:1/events";
    let ran = Booking::new().run(&["doctor", "--database-url", url]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(!ran.out.contains("s3cret") && !ran.err.contains("s3cret"), "{ran:?}");
}
