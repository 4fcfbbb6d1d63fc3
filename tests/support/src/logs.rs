//! What the library tells the log at error level.

use std::{
    fmt::{self, Write},
    sync::{LazyLock, Mutex, Once, PoisonError},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::LevelFilter,
    layer::{Context, SubscriberExt},
};

static ERRORS: LazyLock<Mutex<Vec<String>>> = LazyLock::new(Mutex::default);
static INSTALL: Once = Once::new();

/// Starts to listen. With `RUST_LOG` set, everything it asks for is printed too.
pub(crate) fn install() {
    INSTALL.call_once(|| {
        let print = std::env::var_os("RUST_LOG").map(|_| {
            tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(EnvFilter::from_default_env())
        });
        let subscriber = tracing_subscriber::registry().with(Errors.with_filter(LevelFilter::ERROR)).with(print);
        tracing::subscriber::set_global_default(subscriber).expect("the only subscriber of the process");
    });
}

/// Every error logged so far that mentions `text`, such as an event's id.
pub fn errors_about(text: &str) -> Vec<String> {
    let errors = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
    errors.iter().filter(|error| error.contains(text)).cloned().collect()
}

struct Errors;

impl<S: Subscriber> Layer<S> for Errors {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if *event.metadata().level() == Level::ERROR {
            let mut line = Line::default();
            event.record(&mut line);
            ERRORS.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
        }
    }
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}
