//! One event's whole life: everything the record knows, as a timeline, and where each listener stands.

mod life;
mod outlook;
mod print;
mod timeline;

pub(crate) use self::{
    life::{Life, not_found, paused},
    print::{Explanation, Length, shortened},
};
