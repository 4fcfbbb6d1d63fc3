//! Mistakes in the program's `main`.
tracked_events::consumer_main! {
    default = Cli::Demo,
    setup = "setup",
    comand = Cli,
    setup = other,
}
