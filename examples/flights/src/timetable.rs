//! The file: read whole and checked to its last row before anything is written.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use chrono::{DateTime, Timelike, Utc};
use serde::Deserialize;
use thiserror::Error;

/// A file's flights, in its order.
pub(crate) struct Timetable {
    /// Tells one file from another.
    pub(crate) checksum: String,
    pub(crate) flights: Vec<Flight>,
}

/// A row of the file.
pub(crate) struct Flight {
    /// Counts from 1.
    pub(crate) row_number: i64,
    pub(crate) carrier: String,
    pub(crate) number: i32,
    pub(crate) tail_number: Option<String>,
    pub(crate) origin: String,
    pub(crate) destination: String,
    pub(crate) scheduled_at: DateTime<Utc>,
    pub(crate) outcome: Outcome,
}

/// What became of a flight.
pub(crate) enum Outcome {
    Departed {
        /// In minutes, where it is known.
        delay: Option<i32>,
    },
    Cancelled,
}

/// A file that cannot be imported.
#[derive(Debug, Error)]
pub(crate) enum TimetableError {
    #[error("`{}` cannot be read; name a file with the columns of nycflights13", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error(
        "`{}` line 1: no column {}; the header of nycflights13 is `{}`",
        file.display(), missing.join(", "), COLUMNS.join(",")
    )]
    Header { file: PathBuf, missing: Vec<String> },
    #[error("`{}` line {line}: {problem}", file.display())]
    Row { file: PathBuf, line: u64, problem: String },
}

const COLUMNS: &[&str] =
    &["dep_time", "dep_delay", "carrier", "flight", "tailnum", "origin", "dest", "minute", "time_hour"];

/// The columns that the example uses, as they stand in the file.
#[derive(Deserialize)]
struct Row {
    dep_time: String,
    dep_delay: String,
    carrier: String,
    flight: String,
    tailnum: String,
    origin: String,
    dest: String,
    minute: String,
    /// The hour in which it was to depart.
    time_hour: String,
}

impl Timetable {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// The first thing that is wrong with it, by line.
    pub(crate) fn read(file: &Path) -> Result<Self, TimetableError> {
        let unreadable = |source| TimetableError::Unreadable { file: file.to_owned(), source };
        let bytes = fs::read(file).map_err(unreadable)?;
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        check_header(file, &mut reader)?;
        let header = reader.headers().map_err(|error| unreadable_row(file, &error))?.clone();
        let mut flights = Vec::new();
        for (row_number, record) in (1..).zip(reader.records()) {
            let record = record.map_err(|error| unreadable_row(file, &error))?;
            let line = record.position().map_or(1, csv::Position::line);
            let wrong = |problem| TimetableError::Row { file: file.to_owned(), line, problem };
            let row: Row = record.deserialize(Some(&header)).map_err(|error| unreadable_row(file, &error))?;
            flights.push(row.into_flight(row_number).map_err(wrong)?);
        }
        Ok(Self { checksum: format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&bytes)), flights })
    }
}

fn check_header(file: &Path, reader: &mut csv::Reader<&[u8]>) -> Result<(), TimetableError> {
    let header = reader.headers().map_err(|error| unreadable_row(file, &error))?;
    let is_missing = |column: &&&str| !header.iter().any(|found| found == **column);
    let missing: Vec<_> = COLUMNS.iter().filter(is_missing).map(|column| format!("`{column}`")).collect();
    if missing.is_empty() { Ok(()) } else { Err(TimetableError::Header { file: file.to_owned(), missing }) }
}

impl Row {
    fn into_flight(self, row_number: i64) -> Result<Flight, String> {
        let departed: Option<u16> = known("dep_time", &self.dep_time)?;
        let delay = known("dep_delay", &self.dep_delay)?;
        let hour: DateTime<Utc> = value("time_hour", &self.time_hour)?;
        let minute = value::<u8>("minute", &self.minute)?;
        Ok(Flight {
            row_number,
            number: value("flight", &self.flight)?,
            tail_number: known("tailnum", &self.tailnum)?,
            scheduled_at: hour
                .with_minute(minute.into())
                .ok_or(format!("`{minute}` in column `minute`: not a minute"))?,
            carrier: self.carrier,
            origin: self.origin,
            destination: self.dest,
            outcome: if departed.is_some() { Outcome::Departed { delay } } else { Outcome::Cancelled },
        })
    }
}

fn value<T: FromStr<Err: fmt::Display>>(column: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("`{text}` in column `{column}`: {error}"))
}

/// `NA` and nothing at all are a value that is not known.
fn known<T: FromStr<Err: fmt::Display>>(column: &str, text: &str) -> Result<Option<T>, String> {
    if matches!(text, "" | "NA") { Ok(None) } else { value(column, text).map(Some) }
}

fn unreadable_row(file: &Path, error: &csv::Error) -> TimetableError {
    let line = error.position().map_or(1, csv::Position::line);
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields where the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { err, .. } => format!("not UTF-8: {err}"),
        _ => error.to_string(),
    };
    TimetableError::Row { file: file.to_owned(), line, problem }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const HEADER: &str = "dep_time,dep_delay,carrier,flight,tailnum,origin,dest,minute,time_hour";

    fn read(rows: &str) -> Result<Timetable, String> {
        let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        fs::write(&file, rows).map_err(|error| error.to_string())?;
        Timetable::read(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn values_that_are_not_known_are_data() {
        let timetable = read(&format!("{HEADER}\nNA,NA,UA,623,NA,EWR,ORD,1,2013-01-02T21:00:00Z\n")).unwrap();
        assert!(matches!(timetable.flights[0].outcome, Outcome::Cancelled));
        assert_eq!(timetable.flights[0].tail_number, None);
        assert_eq!(timetable.flights[0].scheduled_at.to_string(), "2013-01-02 21:01:00 UTC");
    }

    #[test]
    fn a_malformed_value_is_named_by_line_and_column() {
        let rows = format!(
            "{HEADER}\n517,2,UA,1545,N14228,EWR,IAH,15,2013-01-01T10:00:00Z\n5x7,2,UA,1,N1,EWR,IAH,0,2013-01-01T10:00:00Z\n"
        );
        let error = read(&rows).err().unwrap();
        assert!(error.ends_with("line 3: `5x7` in column `dep_time`: invalid digit found in string"), "{error}");
    }

    #[test]
    fn a_short_row_is_named_by_line() {
        let error = read(&format!("{HEADER}\n517,2,UA\n")).err().unwrap();
        assert!(error.ends_with("line 2: 3 fields where the header has 9"), "{error}");
    }

    #[test]
    fn a_wrong_header_names_what_is_missing() {
        let error = read("a,b,carrier\n").err().unwrap();
        assert!(error.contains("line 1: no column `dep_time`"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Timetable::read(Path::new("no/such.csv")).err().unwrap().to_string();
        assert!(error.starts_with("`no/such.csv` cannot be read"), "{error}");
    }
}
