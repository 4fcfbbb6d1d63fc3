//! What the service does with its notes.

use diesel_async::RunQueryDsl as _;
use tracked_events::{__private::passed, prelude::*};

use crate::ledger::Ledger;

/// How many keys there are.
const KEYS: u32 = 7;

#[derive(Clone, Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "NOTE_TAKEN", topic = "notes")]
pub(crate) struct Note {
    #[tracked_event(id)]
    pub(crate) id: String,
    #[tracked_event(key)]
    pub(crate) key: String,
    pub(crate) number: u32,
}

/// Published by a handler, in its transaction. Its id is derived from the note's.
#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "NOTE_BOOKED", topic = "follow-ups")]
pub(crate) struct NoteBooked {
    note: String,
}

/// Published by a handler without a transaction, at every attempt anew.
#[derive(Serialize, Deserialize, TrackedEvent)]
#[tracked_event(event_type = "NOTE_SCRIBBLED", topic = "follow-ups")]
struct NoteScribbled {
    note: String,
}

impl Note {
    pub(crate) fn numbered(number: u32) -> Self {
        Self { id: format!("note-{number}"), key: format!("key-{}", number % KEYS), number }
    }

    /// How an attempt at it ends.
    fn fate(&self, ctx: &EventContext, ledger: &Ledger) -> Result<(), BoxError> {
        match self.number % 12 {
            5 if ctx.attempt() < 3 => Err("it succeeds the third time".into()),
            7 => Err("it never succeeds".into()),
            9 if !ledger.is_redeemed() => Err("it succeeds when it is sent again".into()),
            _ => Ok(()),
        }
    }
}

#[tracked_publish]
async fn enter(tx: &mut Tx<'_>, note: &str) -> Result<NoteBooked, diesel::result::Error> {
    let effect = diesel::sql_query("INSERT INTO effect (event_id) VALUES ($1)");
    on!(tx, |c| effect.bind::<diesel::sql_types::Text, _>(note).execute(c).await)?;
    Ok(NoteBooked { note: note.to_owned() })
}

/// Has its effect, and publishes, in the transaction that settles the event.
#[tracked_listener(order = "key", retries = 2, backoff = fixed(delay = "5ms"))]
pub(crate) async fn book(
    note: Note,
    ctx: &EventContext,
    ledger: State<Ledger>,
    tx: &mut Tx<'_>,
) -> Result<(), BoxError> {
    ledger.begun("book", &note.id)?;
    enter(tx, &note.id).await?;
    note.fate(ctx, &ledger)
}

/// Depends on the order of a key's events.
#[tracked_listener(order = "key", retries = 2, backoff = fixed(delay = "5ms"))]
pub(crate) async fn keep(note: Note, ctx: &EventContext, ledger: State<Ledger>) -> Result<(), BoxError> {
    ledger.begun("keep", &note.id)?;
    passed("handler.begun");
    note.fate(ctx, &ledger)
}

/// Publishes in a transaction of its own, so that a repeated attempt publishes again.
#[tracked_listener(retries = 2, backoff = fixed(delay = "5ms"))]
pub(crate) async fn scribble(note: Note, ctx: &EventContext, ledger: State<Ledger>) -> Result<(), BoxError> {
    ledger.begun("scribble", &note.id)?;
    ctx.publisher().publish(&NoteScribbled { note: note.id.clone() }).await?;
    passed("handler.published");
    note.fate(ctx, &ledger)
}

/// Takes whatever follows from a note: the types have the same fields.
#[tracked_listener(event_type = "*", topic = "follow-ups")]
pub(crate) async fn file_away(
    _follow_up: NoteBooked,
    ctx: &EventContext,
    ledger: State<Ledger>,
) -> Result<(), BoxError> {
    ledger.begun("file_away", ctx.event_id())?;
    Ok(())
}
