use insta::assert_snapshot;
use quote::quote;

use super::attribute;
use crate::snapshot::formatted;

#[test]
fn on_a_connection() {
    let item = quote! {
        /// Confirms.
        pub async fn confirm(&self, tx: &mut Tx<'_>, id: i64) -> Result<Booked, BookingError> {
            let seats = self.seats(tx, id).await?;
            Ok(Booked { id, seats })
        }
    };
    assert_snapshot!(formatted(attribute(quote!(retries = 5, topic = "bookings"), item)));
}

#[test]
fn on_a_synchronous_connection() {
    let item = quote! {
        fn confirm(log: &mut Log, c: &mut impl Connection, id: i64) -> QueryResult<impl Publishable> { Ok(None) }
    };
    assert_snapshot!(formatted(attribute(quote!(on = c, crate = "events"), item)));
}

#[test]
fn with_a_publisher() {
    let item = quote!(
        async fn confirm(publisher: &Publisher) -> Result<Vec<Booked>, BookingError> {
            Ok(vec![])
        }
    );
    assert_snapshot!(formatted(attribute(quote!(), item)));
}

#[test]
fn a_mistaken_function_stays_as_it_is() {
    let item = quote!(
        async fn confirm(id: i64) -> Result<Booked, BookingError> {
            Ok(Booked { id })
        }
    );
    assert_snapshot!(formatted(attribute(quote!(), item)));
}
