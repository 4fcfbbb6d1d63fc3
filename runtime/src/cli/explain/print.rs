//! An explanation, as text and as JSON.

use serde_json::{Value, json};

use super::{
    Life, outlook,
    timeline::{Moment, listener, timeline},
};
use crate::{
    cli::{
        output::{Table, instant, offset},
        record::{Detail, Redaction, Shown, bytes_as_text, consumption_view, production_view},
    },
    clock::Timestamp,
};

/// How many moments fit a screen; of more, the first and the last are shown.
const SCREEN: usize = 36;
/// How many of the first, then.
const FIRST: usize = 10;
/// How much of a line's detail is shown.
const DETAIL_CHARS: usize = 120;

/// One event's life, told.
pub(crate) struct Explanation {
    life: Life,
    moments: Vec<Moment>,
}

/// How much of a long life is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// A screenful.
    Screen,
    /// All of it.
    Full,
}

impl Explanation {
    /// Tells a life.
    pub(crate) fn of(life: Life) -> Self {
        let moments = timeline(&life);
        Self { life, moments }
    }

    /// For programs.
    pub(crate) fn to_json(&self, redaction: &Redaction) -> Value {
        let life = &self.life;
        let began_at = life.began_at();
        let published = |record| production_view(record, redaction, Detail::Whole);
        let consumed: Vec<_> = life
            .consumed
            .iter()
            .map(|record| {
                let mut view = consumption_view(record, redaction, Detail::Whole);
                if let Value::Object(fields) = &mut view {
                    fields.insert("attempts".into(), json!(life.attempts_at(record.id)));
                    fields.insert("open_work".into(), json!(life.open.get(&record.id)));
                    fields.insert("outlook".into(), outlook::of_consumed(record, life).into());
                }
                view
            })
            .collect();
        let timeline: Vec<_> = self.moments.iter().map(|moment| {
            let after = moment.at.as_micros().saturating_sub(began_at.as_micros());
            json!({ "at": moment.at, "after_micros": after, "what": moment.what, "who": moment.who, "detail": moment.detail })
        }).collect();
        json!({
            "event_id": life.event_id,
            "published": life.published.iter().map(published).collect::<Vec<_>>(),
            "consumed": consumed,
            "dead_letters": life.dead_letters.iter().map(published).collect::<Vec<_>>(),
            "actions": life.actions,
            "timeline": timeline,
        })
    }

    /// For people.
    pub(crate) fn to_text(&self, redaction: &Redaction, length: Length) -> String {
        let mut text = self.heading(redaction);
        text.push('\n');
        text.push_str(&self.timeline_text(length));
        text.push_str("\nwhere it stands\n");
        for record in &self.life.published {
            text.push_str(&format!("  {}: {}\n", record.service_name, outlook::of_published(record)));
        }
        for record in &self.life.consumed {
            let who = listener(record);
            text.push_str(&format!("  {who} (#{}): {}\n", record.id, outlook::of_consumed(record, &self.life)));
        }
        for record in &self.life.dead_letters {
            text.push_str(&format!("  dead letter: {}\n", outlook::of_published(record)));
        }
        text
    }

    fn heading(&self, redaction: &Redaction) -> String {
        let life = &self.life;
        let published = life.published.first().map(|record| {
            (
                &record.event_type,
                &record.topic,
                &record.event_key,
                &record.correlation_id,
                &record.causation_id,
                &record.payload,
            )
        });
        let consumed = life.consumed.first().map(|record| {
            (
                &record.event_type,
                &record.topic,
                &record.event_key,
                &record.correlation_id,
                &record.causation_id,
                &record.payload,
            )
        });
        let Some((event_type, topic, key, correlation, causation, payload)) = published.or(consumed) else {
            return String::new();
        };
        let mut text = format!("event {}\n  {event_type} on {topic}", life.event_id);
        if let Some(key) = key {
            text.push_str(&format!(", key {}", bytes_as_text(key)));
        }
        if let Some(correlation) = correlation {
            text.push_str(&format!(", correlation id {correlation}"));
        }
        if let Some(causation) = causation {
            text.push_str(&format!("\n  caused by event {causation}"));
        }
        text.push_str(&format!("\n  {}\n", in_one_line(&Shown::of(payload.as_deref(), redaction.fields(event_type)))));
        text
    }

    fn timeline_text(&self, length: Length) -> String {
        let began_at = self.life.began_at();
        let mut table = Table::new(&["time (utc)", "after", "what", "who", "how"]);
        let left_out = match length {
            Length::Screen if self.moments.len() > SCREEN => FIRST..self.moments.len() - (SCREEN - FIRST),
            _ => 0..0,
        };
        for (index, moment) in self.moments.iter().enumerate() {
            if index == left_out.start && !left_out.is_empty() {
                let more = format!("{} more; `--full` shows them", left_out.len());
                table.row(["…".into(), String::new(), String::new(), String::new(), more]);
            }
            if !left_out.contains(&index) {
                table.row(cells(moment, began_at));
            }
        }
        table.render()
    }
}

fn cells(moment: &Moment, began_at: Timestamp) -> [String; 5] {
    [
        instant(moment.at),
        offset(began_at, moment.at),
        moment.what.clone(),
        moment.who.clone(),
        shortened(&moment.detail, DETAIL_CHARS),
    ]
}

/// A payload in one line, its end left out when it is long.
fn in_one_line(payload: &Shown) -> String {
    const CHARS: usize = 200;
    let text = match payload {
        Shown::Json { value } => value.to_string(),
        other => other.to_string().replace('\n', " "),
    };
    shortened(&text, CHARS)
}

/// The beginning of a text.
pub(crate) fn shortened(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
