use insta::assert_snapshot;
use quote::quote;

use super::attribute;
use crate::snapshot::formatted;

#[test]
fn a_listener_without_options() {
    let item = quote! {
        /// Sends a mail.
        #[cfg(feature = "mail")]
        pub(crate) async fn send_confirmation(event: Booked, ctx: &EventContext, mail: State<Mailer>) -> Result<(), MailError> {
            mail.send(ctx, event).await
        }
    };
    assert_snapshot!(formatted(attribute(quote!(), item)));
}

#[test]
fn a_transactional_listener_with_every_option() {
    let options = quote! {
        topics = ["a", "b"], name = "points", group = "loyalty", event_type = "*", retries = 5, timeout = "1s 500ms",
        processing_timeout = "2m", backoff = exponential(initial = "250us", jitter = 0), concurrency = 1, queue = 2,
        order = "key", on_dead_letter = "hold_key", dead_letter = "{topic}.dead", start = "latest", validate = check::it,
        crate = "events",
    };
    let item = quote! {
        async fn r#match<'a>(Booked { id, .. }: Booked, tx: &mut Tx<'a>) -> Result<(), HandlerError> { Ok(()) }
    };
    assert_snapshot!(formatted(attribute(options, item)));
}

#[test]
fn a_blocking_listener() {
    let item = quote!(
        fn count(event: Booked) -> anyhow::Result<()> {
            Ok(())
        }
    );
    assert_snapshot!(formatted(attribute(quote!(blocking, backoff = fixed(delay = "5s")), item)));
}

#[test]
fn a_blocking_transactional_listener() {
    let item = quote!(
        fn count(event: Booked, c: &mut SqliteConnection, ctx: &EventContext) -> Result<(), E> {
            Ok(())
        }
    );
    assert_snapshot!(formatted(attribute(quote!(blocking, backoff = none), item)));
}

#[test]
fn a_mistaken_listener_keeps_its_function() {
    let item = quote!(
        pub fn count(&self, event: &Booked) {}
    );
    assert_snapshot!(formatted(attribute(quote!(retires = 1), item)));
}

#[test]
fn a_listener_with_mistaken_options_can_still_be_named() {
    let item = quote!(
        pub async fn count(event: Booked) -> Result<(), E> {
            Ok(())
        }
    );
    assert_snapshot!(formatted(attribute(quote!(retires = 1), item)));
}
