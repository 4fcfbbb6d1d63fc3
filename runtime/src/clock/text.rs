//! Times as text of fixed width, which sorts as the times do: how databases without a type for them keep them.

use super::Timestamp;

/// The first and the last microsecond whose year has four digits.
const RANGE: (i64, i64) = (-62_167_219_200_000_000, 253_402_300_799_999_999);
const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// `2013-01-01 10:00:00.000000`. Years beyond 0 to 9999 become the nearest end of that range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, diesel::expression::AsExpression)]
#[diesel(sql_type = crate::stores::schema::UtcTimestamp)]
pub(crate) struct TimestampText([u8; 26]);

impl TimestampText {
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<Timestamp> for TimestampText {
    fn from(time: Timestamp) -> Self {
        let micros = time.as_micros().clamp(RANGE.0, RANGE.1);
        let seconds = micros.div_euclid(MICROS_PER_SECOND);
        let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let (year, month, day) = civil(seconds.div_euclid(SECONDS_PER_DAY));
        let mut text = *b"0000-00-00 00:00:00.000000";
        write(&mut text[0..4], year);
        write(&mut text[5..7], month);
        write(&mut text[8..10], day);
        write(&mut text[11..13], second_of_day / 3600);
        write(&mut text[14..16], second_of_day / 60 % 60);
        write(&mut text[17..19], second_of_day % 60);
        write(&mut text[20..26], micros.rem_euclid(MICROS_PER_SECOND));
        Self(text)
    }
}

/// Writes a number into digits that are zero so far.
fn write(digits: &mut [u8], mut number: i64) {
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar extended to all times.
///
/// Years are counted from March, so that the leap day is a year's last, in eras of 400 years, which are all alike.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + if month <= 2 { next_year } else { 0 }, month, day_of_month)
}

/// Reads text of exactly that form; `None` for any other.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let bytes: &[u8; 26] = text.as_bytes().try_into().ok()?;
    let separators = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':'), (19, b'.')];
    if separators.iter().any(|&(at, separator)| bytes[at] != separator) {
        return None;
    }
    let (year, month, day) = (read(&bytes[0..4])?, read(&bytes[5..7])?, read(&bytes[8..10])?);
    let (hour, minute, second) = (read(&bytes[11..13])?, read(&bytes[14..16])?, read(&bytes[17..19])?);
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !in_range {
        return None;
    }
    let seconds = days(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    Some(Timestamp(seconds * MICROS_PER_SECOND + read(&bytes[20..26])?))
}

fn read(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

/// The inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_day_reads_as_the_calendar_has_it() {
        let days = (-719_528..2_932_896).step_by(17).chain([-1, 0, 58, 59, 11_016, 11_017, 19_782, 2_932_896]);
        for day in days {
            let time = Timestamp(day * SECONDS_PER_DAY * MICROS_PER_SECOND + 3_723_000_045);
            let text = TimestampText::from(time);
            assert_eq!(text.as_str(), time.to_datetime().format("%Y-%m-%d %H:%M:%S%.6f").to_string());
            assert_eq!(parse(text.as_str()), Some(time));
        }
    }

    #[test]
    fn years_that_do_not_fit_become_the_nearest_that_do() {
        assert_eq!(TimestampText::from(Timestamp(i64::MAX)).as_str(), "9999-12-31 23:59:59.999999");
        assert_eq!(TimestampText::from(Timestamp(i64::MIN)).as_str(), "0000-01-01 00:00:00.000000");
    }

    #[test]
    fn text_of_another_form_is_left_to_the_calendar() {
        for text in ["", "2013-01-01T10:00:00.000000", "2013-13-01 10:00:00.000000", "2013-01-01 10:00:00.00000x"] {
            assert_eq!(parse(text), None);
        }
    }
}
