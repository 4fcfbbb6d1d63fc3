//! Records as people may see them: what to look for, and what of a payload is shown.

mod payload;
mod redaction;
mod selection;
mod view;

pub(crate) use self::{
    payload::{Shown, bytes_as_text},
    redaction::Redaction,
    selection::{Filter, Id, Page},
    view::{Detail, consumption_view, production_view},
};
