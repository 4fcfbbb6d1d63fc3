//! Listeners by name, where the list of all that are linked in would be too many.

/// The declarations of the functions named, for `Builder::listeners` and for tests.
///
/// A name is the path of a function with `#[tracked_listener]`.
///
/// ```
/// use tracked_events::prelude::*;
///
/// mod handlers {
///     use tracked_events::prelude::*;
///
///     #[derive(Serialize, Deserialize, TrackedEvent)]
///     pub struct SeatTaken {
///         pub seat: String,
///     }
///
///     #[tracked_listener(retries = 5)]
///     pub async fn print_ticket(_event: SeatTaken) -> Result<(), HandlerError> {
///         Ok(())
///     }
/// }
///
/// let listeners = listeners![handlers::print_ticket];
/// assert_eq!(listeners[0].name, "print_ticket");
/// assert_eq!(listeners[0].topics, ["seat-taken"]);
/// assert_eq!(listeners[0].options.retries, 5);
/// ```
#[macro_export]
macro_rules! listeners {
    ($($listener:ty),* $(,)?) => {{
        let listeners: $crate::__private::std::vec::Vec<&'static $crate::__private::ListenerDeclaration> =
            $crate::__private::std::vec![$(<$listener>::LISTENER),*];
        listeners
    }};
}
