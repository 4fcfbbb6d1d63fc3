use crate::booking::Booking;

#[test]
fn help_lists_the_services_own_commands_beside_the_generated_ones() {
    insta::assert_snapshot!(Booking::new().run(&["--help"]).out);
}

#[test]
fn without_a_command_help_is_printed_and_the_code_says_usage() {
    let ran = Booking::new().run(&[]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("Usage: booking"), "{ran:?}");
}

#[test]
fn every_command_has_an_example_with_the_programs_name() {
    for command in ["run", "migrate", "listeners", "status", "events list", "events show", "events explain", "dlq list"]
        .into_iter()
        .chain(["dlq show", "dlq retry", "dlq discard", "outbox list", "outbox retry", "outbox discard", "doctor"])
    {
        let arguments: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let ran = Booking::new().run(&arguments);
        assert_eq!(ran.code, 0, "{command}: {ran:?}");
        assert!(ran.out.contains("Example") && ran.out.contains(&format!("booking {command}")), "{command}: {ran:?}");
    }
}
