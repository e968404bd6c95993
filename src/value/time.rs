//! Instants, dates, times and intervals, exact to the nanosecond, with infinities.
//!
//! Calendar arithmetic on the proleptic Gregorian calendar after Howard Hinnant, "chrono-compatible low-level date
//! algorithms" (<https://howardhinnant.github.io/date_algorithms.html>); texts after ISO 8601 and PostgreSQL's output.

use std::fmt::{self, Write as _};

/// Nanoseconds in a second.
pub const SECOND_NS: i128 = 1_000_000_000;
/// Nanoseconds in a day.
pub const DAY_NS: i128 = 86_400 * SECOND_NS;

/// A point on an axis that has two ends. Ordered as time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// PostgreSQL's `-infinity`.
    NegInfinity,
    /// Units since 1970-01-01 (nanoseconds for timestamps, days for dates).
    At(i128),
    /// PostgreSQL's `infinity`.
    Infinity,
}

/// Months, days and microseconds, which do not convert into each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interval {
    /// Whole months.
    pub months: i64,
    /// Whole days.
    pub days: i64,
    /// Microseconds.
    pub micros: i64,
}

/// A timestamp's text, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedTimestamp {
    /// Nanoseconds since 1970-01-01T00:00:00 on the clock that the text shows.
    pub local: Moment,
    /// Seconds east of UTC, where the text says so.
    pub offset_s: Option<i32>,
}

/// Days since 1970-01-01 of a civil date.
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The civil date (year, month, day) of days since 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A cursor over ASCII text.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn eat(&mut self, wanted: &[u8]) -> Option<u8> {
        let byte = *self.0.first()?;
        wanted.contains(&byte).then(|| {
            self.0 = &self.0[1..];
            byte
        })
    }

    fn digits(&mut self, min: usize, max: usize) -> Option<i64> {
        let n = self.0.iter().take(max).take_while(|b| b.is_ascii_digit()).count();
        if n < min {
            return None;
        }
        let value = self.0[..n].iter().fold(0, |sum, d| sum * 10 + i64::from(d - b'0'));
        self.0 = &self.0[n..];
        Some(value)
    }

    fn below(&mut self, limit: i64) -> Option<i64> {
        self.digits(2, 2).filter(|value| *value < limit)
    }

    /// `YYYY-MM-DD` with a sign and up to nine digits for far years.
    fn date(&mut self) -> Option<i64> {
        let negative = self.eat(b"+-") == Some(b'-');
        let year = self.digits(4, 9)?;
        self.eat(b"-")?;
        let month = self.digits(2, 2)? as u32;
        self.eat(b"-")?;
        let day = self.digits(2, 2)? as u32;
        let mut year = if negative { -year } else { year };
        if let Some(rest) = self.0.strip_suffix(b" BC") {
            self.0 = rest;
            year = 1 - year;
        }
        let days = (1..=12).contains(&month).then(|| days_from_civil(year, month, day))?;
        (civil_from_days(days) == (year, month, day)).then_some(days)
    }

    /// `HH:MM[:SS[.fraction]]` in nanoseconds; the fraction's digits beyond the ninth must be zero.
    fn time(&mut self) -> Option<i128> {
        let hours = self.below(24)?;
        self.eat(b":")?;
        let minutes = self.below(60)?;
        let seconds = if self.eat(b":").is_some() { self.below(60)? } else { 0 };
        let mut nanos = i128::from((hours * 60 + minutes) * 60 + seconds) * SECOND_NS;
        if self.eat(b".,").is_some() {
            let shown = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
            let fraction = self.digits(1, 9)?;
            nanos += i128::from(fraction) * 10i128.pow(9 - shown.min(9) as u32);
            while self.eat(b"0").is_some() {}
        }
        Some(nanos)
    }

    /// `Z`, `±HH`, `±HHMM`, `±HH:MM`, `±HH:MM:SS` in seconds; `Some(None)` at the end of the text.
    fn offset(&mut self) -> Option<Option<i32>> {
        if self.0.is_empty() {
            return Some(None);
        }
        if self.eat(b"zZ").is_some() {
            return Some(Some(0));
        }
        let negative = self.eat(b"+-")? == b'-';
        let mut seconds = self.below(24)? * 3600;
        if !self.0.is_empty() {
            self.eat(b":");
            seconds += self.below(60)? * 60;
            if self.eat(b":").is_some() {
                seconds += self.below(60)?;
            }
        }
        Some(Some(if negative { -seconds as i32 } else { seconds as i32 }))
    }

    fn end<T>(&self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

fn infinity(text: &str) -> Option<Moment> {
    match text {
        "infinity" | "+infinity" | "Infinity" => Some(Moment::Infinity),
        "-infinity" | "-Infinity" => Some(Moment::NegInfinity),
        _ => None,
    }
}

/// Reads a timestamp: a date, alone or followed by `T` or a space, a time and perhaps an offset; `infinity`, `-infinity`.
pub fn parse_timestamp(text: &str) -> Option<ParsedTimestamp> {
    usual_timestamp(text.as_bytes()).or_else(|| any_timestamp(text))
}

/// Reads what most timestamps look like, `YYYY-MM-DDTHH:MM:SS[.fraction][Z]` with a `T` or a space; `None` says only that it
/// looks otherwise.
fn usual_timestamp(text: &[u8]) -> Option<ParsedTimestamp> {
    let (stem, mut rest) = text.split_first_chunk::<19>()?;
    let is_usual = stem.iter().zip(b"0000-00-00T00:00:00").all(|(byte, shape)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b' '),
        other => byte == other,
    });
    let number =
        |from: usize, to: usize| stem[from..to].iter().fold(0, |sum, d| sum * 10 + u32::from(d - b'0'));
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    // A day that every month has needs no calendar.
    let in_range =
        (1..=12).contains(&month) && (1..=28).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !is_usual || !in_range {
        return None;
    }
    let mut nanos = 0;
    if let [b'.', fraction @ ..] = rest {
        let shown = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        let digits = fraction.get(..shown).filter(|digits| (1..=9).contains(&digits.len()))?;
        nanos = digits.iter().fold(0, |sum, d| sum * 10 + i64::from(d - b'0')) * 10i64.pow(9 - shown as u32);
        rest = &fraction[shown..];
    }
    let offset_s = match rest {
        [] => None,
        b"Z" => Some(0),
        _ => return None,
    };
    let seconds =
        days_from_civil(year.into(), month, day) * 86_400 + i64::from((hour * 60 + minute) * 60 + second);
    Some(ParsedTimestamp { local: Moment::At(i128::from(seconds) * SECOND_NS + i128::from(nanos)), offset_s })
}

fn any_timestamp(text: &str) -> Option<ParsedTimestamp> {
    if let Some(local) = infinity(text) {
        return Some(ParsedTimestamp { local, offset_s: None });
    }
    let mut cursor = Cursor(text.as_bytes());
    // PostgreSQL writes ` BC` after the time; the year must know it.
    let bc = text.ends_with(" BC") && text.len() > 13;
    if bc {
        cursor.0 = &cursor.0[..text.len() - 3];
    }
    let mut days = cursor.date()?;
    if bc {
        let (year, month, day) = civil_from_days(days);
        days = days_from_civil(1 - year, month, day);
    }
    let midnight = i128::from(days) * DAY_NS;
    if cursor.0.is_empty() {
        return Some(ParsedTimestamp { local: Moment::At(midnight), offset_s: None });
    }
    cursor.eat(b"Tt ")?;
    let time = cursor.time()?;
    let offset_s = cursor.offset()?;
    cursor.end(ParsedTimestamp { local: Moment::At(midnight + time), offset_s })
}

/// Reads a date in days since 1970-01-01.
pub fn parse_date(text: &str) -> Option<Moment> {
    if let Some(moment) = infinity(text) {
        return Some(moment);
    }
    let mut cursor = Cursor(text.as_bytes());
    let days = cursor.date()?;
    cursor.end(Moment::At(days.into()))
}

/// Reads a time of day in nanoseconds and its offset in seconds, where it has one.
pub fn parse_time(text: &str) -> Option<(i64, Option<i32>)> {
    // The end of a day is a time of its own in PostgreSQL.
    if let Some(rest) = text.strip_prefix("24:00:00") {
        let (0, offset_s) = parse_time(&format!("00:00:00{rest}"))? else { return None };
        return Some((i64::try_from(DAY_NS).ok()?, offset_s));
    }
    let mut cursor = Cursor(text.as_bytes());
    let nanos = cursor.time()?;
    let offset = cursor.offset()?;
    cursor.end((i64::try_from(nanos).ok()?, offset))
}

/// Reads `[-]H…H:MM:SS[.f…]` with any number of hours, in nanoseconds.
pub fn parse_long_time(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (hours, rest) = text.split_once(':')?;
    if hours.is_empty() || !hours.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Minutes and seconds are those of a clock.
    let (nanos, None) = parse_time(&format!("00:{rest}"))? else { return None };
    let hours = hours.parse::<i64>().ok()?.checked_mul(3_600 * SECOND_NS as i64)?;
    Some(sign * hours.checked_add(nanos)?)
}

/// Reads an interval: ISO 8601 (`P1Y2M3DT4H5M6.7S`) or PostgreSQL's words (`1 year 2 mons -3 days 04:05:06.7`).
pub fn parse_interval(text: &str) -> Option<Interval> {
    match text.strip_prefix('P') {
        Some(rest) => iso_interval(rest),
        None => worded_interval(text),
    }
}

fn iso_interval(text: &str) -> Option<Interval> {
    let (date, time) = text.split_once('T').map_or((text, None), |(d, t)| (d, Some(t)));
    let mut sum = Interval::default();
    let parts = |text: &str| -> Option<Vec<(String, char)>> {
        let mut parts = Vec::new();
        let mut number = String::new();
        for c in text.chars() {
            if c.is_ascii_digit() || matches!(c, '-' | '+' | '.') {
                number.push(c);
            } else {
                parts.push((std::mem::take(&mut number), c));
            }
        }
        number.is_empty().then_some(parts)
    };
    let date_parts = parts(date)?;
    let time_parts = time.map_or(Some(Vec::new()), parts)?;
    if date_parts.is_empty() && time_parts.is_empty() {
        return None;
    }
    for (number, unit) in date_parts {
        let n: i64 = number.parse().ok()?;
        match unit {
            'Y' => sum.months = sum.months.checked_add(n.checked_mul(12)?)?,
            'M' => sum.months = sum.months.checked_add(n)?,
            'W' => sum.days = sum.days.checked_add(n.checked_mul(7)?)?,
            'D' => sum.days = sum.days.checked_add(n)?,
            _ => return None,
        }
    }
    for (number, unit) in time_parts {
        let unit = match unit {
            'H' => 3_600_000_000,
            'M' => 60_000_000,
            'S' => 1_000_000,
            _ => return None,
        };
        sum.micros = sum.micros.checked_add(micros(&number, unit)?)?;
    }
    Some(sum)
}

fn worded_interval(text: &str) -> Option<Interval> {
    let mut sum = Interval::default();
    let mut words = text.split_ascii_whitespace().peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        if let Some((hours, rest)) = word.split_once(':') {
            let (minutes, seconds) = rest.split_once(':').unwrap_or((rest, "0"));
            let sign = if hours.starts_with('-') { -1 } else { 1 };
            let hours: i64 = hours.trim_start_matches(['-', '+']).parse().ok()?;
            let minutes: i64 = minutes.parse().ok().filter(|m| (0..60).contains(m))?;
            let clock = (hours.checked_mul(60)? + minutes).checked_mul(60_000_000)?;
            sum.micros = sum.micros.checked_add(sign * clock.checked_add(micros(seconds, 1_000_000)?)?)?;
            continue;
        }
        let n: i64 = word.parse().ok()?;
        match words.next()?.trim_end_matches('s') {
            "year" => sum.months = sum.months.checked_add(n.checked_mul(12)?)?,
            "mon" | "month" => sum.months = sum.months.checked_add(n)?,
            "week" => sum.days = sum.days.checked_add(n.checked_mul(7)?)?,
            "day" => sum.days = sum.days.checked_add(n)?,
            _ => return None,
        }
    }
    Some(sum)
}

/// A decimal number of units of `unit` microseconds, exact.
fn micros(text: &str, unit: i64) -> Option<i64> {
    let number = super::Number::parse(text).ok()?.times(&super::Number::from(unit));
    number.to_scaled(0).and_then(|n| i64::try_from(n).ok())
}

fn write_fraction(out: &mut String, nanos: i128) {
    if nanos != 0 {
        let digits = format!("{nanos:09}");
        out.push('.');
        out.push_str(digits.trim_end_matches('0'));
    }
}

fn write_clock(out: &mut String, nanos_of_day: i128) {
    let seconds = nanos_of_day / SECOND_NS;
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    write_fraction(out, nanos_of_day % SECOND_NS);
}

fn write_offset(out: &mut String, offset_s: i32) {
    let (sign, s) = if offset_s < 0 { ('-', -offset_s) } else { ('+', offset_s) };
    let _ = write!(out, "{sign}{:02}:{:02}", s / 3600, s / 60 % 60);
    if s % 60 != 0 {
        let _ = write!(out, ":{:02}", s % 60);
    }
}

/// `YYYY-MM-DD`, or `infinity`.
pub fn format_date(days: Moment) -> String {
    match days {
        Moment::Infinity => "infinity".to_owned(),
        Moment::NegInfinity => "-infinity".to_owned(),
        Moment::At(days) => {
            let (year, month, day) = civil_from_days(days as i64);
            match year {
                0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
                _ => format!("{}{:06}-{month:02}-{day:02}", if year < 0 { '-' } else { '+' }, year.abs()),
            }
        }
    }
}

/// ISO 8601 with only the digits that are there, and `Z` for an instant.
pub fn format_timestamp(nanos: Moment, zoned: bool) -> String {
    let Moment::At(at) = nanos else { return format_date(nanos) };
    let mut out = format_date(Moment::At(at.div_euclid(DAY_NS)));
    out.push('T');
    write_clock(&mut out, at.rem_euclid(DAY_NS));
    if zoned {
        out.push('Z');
    }
    out
}

/// `[-]HH:MM:SS[.fraction]`, with an offset where there is one.
pub fn format_time(nanos: i64, offset_s: Option<i32>) -> String {
    let mut out = if nanos < 0 { "-".to_owned() } else { String::new() };
    write_clock(&mut out, nanos.unsigned_abs().into());
    if let Some(offset_s) = offset_s {
        write_offset(&mut out, offset_s);
    }
    out
}

impl fmt::Display for Interval {
    /// ISO 8601, as in `P14M3DT5.5S`; an empty one is `PT0S`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('P')?;
        if self.months != 0 {
            write!(f, "{}M", self.months)?;
        }
        if self.days != 0 {
            write!(f, "{}D", self.days)?;
        }
        if self.micros != 0 || (self.months == 0 && self.days == 0) {
            write!(f, "T{}S", super::Number::from_scaled(self.micros.into(), 6))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Option<(i128, Option<i32>)> {
        parse_timestamp(text).map(|p| match p.local {
            Moment::At(ns) => (ns, p.offset_s),
            _ => panic!("infinite"),
        })
    }

    #[test]
    fn timestamps() {
        assert_eq!(at("1970-01-01T00:00:01Z"), Some((SECOND_NS, Some(0))));
        assert_eq!(at("1970-01-01 00:00:01.000000001"), Some((SECOND_NS + 1, None)));
        assert_eq!(at("1970-01-01T00:00+05:30"), Some((0, Some(19_800))));
        assert_eq!(at("1970-01-02"), Some((DAY_NS, None)));
        assert_eq!(at("1969-12-31T23:59:59.5-0800"), Some((-SECOND_NS / 2, Some(-28_800))));
        assert_eq!(at("1970-01-01T00:00:00.1234567890"), Some((123_456_789, None)));
        assert_eq!(parse_timestamp("infinity").map(|p| p.local), Some(Moment::Infinity));
        assert_eq!(at("0001-01-01 00:00:00 BC"), Some((i128::from(days_from_civil(0, 1, 1)) * DAY_NS, None)));
        for bad in [
            "2024-02-30",
            "2023-02-29",
            "2024-1-1",
            "2024-01-01T24:00",
            "2024-01-01T23:59:60Z",
            "2024-01-01T",
            "2024-01-01T00:00:00.1234567891",
            "2024-01-01T00:00:00Zx",
            "2024-13-01",
            "",
            "now",
            "2024-01-01T00:00:00.Z",
        ] {
            assert_eq!(parse_timestamp(bad), None, "{bad}");
        }
    }

    #[test]
    fn texts_have_only_the_digits_that_are_there() {
        assert_eq!(format_timestamp(Moment::At(SECOND_NS + 1_000), true), "1970-01-01T00:00:01.000001Z");
        assert_eq!(format_timestamp(Moment::At(-1), false), "1969-12-31T23:59:59.999999999");
        assert_eq!(format_time(1, Some(-19_800)), "00:00:00.000000001-05:30");
    }

    #[test]
    fn intervals() {
        let want = Interval { months: 14, days: -3, micros: 14_706_700_000 };
        assert_eq!(parse_interval("P1Y2M-3DT4H5M6.7S"), Some(want));
        assert_eq!(parse_interval("1 year 2 mons -3 days 04:05:06.7"), Some(want));
        assert_eq!(want.to_string(), "P14M-3DT14706.7S");
        assert_eq!(parse_interval(&want.to_string()), Some(want));
        for bad in ["", "P", "1", "1 fortnight", "PT1X", "P1", "PT0.0000001S"] {
            assert_eq!(parse_interval(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn days_and_back(days in -200_000_000i64..200_000_000) {
            let (y, m, d) = civil_from_days(days);
            prop_assert_eq!(days_from_civil(y, m, d), days);
        }

        #[test]
        fn the_usual_form_is_read_as_every_other(
            (year, month, day) in (0u32..=9999, 0u32..=13, 0u32..=32),
            (hour, minute, second) in (0u32..=25, 0u32..=61, 0u32..=61),
            separator in "[T tx]",
            rest in "([.,][0-9]{0,11})?(Z|z|[+]01:00| BC)?",
            at in 0usize..40,
            other in any::<char>(),
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{rest}");
            let mut broken: Vec<char> = text.chars().collect();
            let at = at % broken.len();
            broken[at] = other;
            for text in [text, broken.iter().collect()] {
                if let Some(parsed) = usual_timestamp(text.as_bytes()) {
                    prop_assert_eq!(any_timestamp(&text), Some(parsed), "{}", text);
                }
            }
        }

        #[test]
        fn usual_timestamps_are_read_the_short_way(s in -62_000_000_000i64..250_000_000_000, zoned in any::<bool>()) {
            let text = format_timestamp(Moment::At(i128::from(s) * SECOND_NS + 120_000_000), zoned);
            let parsed = usual_timestamp(text.as_bytes());
            prop_assert!(parsed.is_some() || !(1..=28).contains(&text[8..10].parse().unwrap_or(31)), "{}", text);
            prop_assert!(parsed.is_none() || parsed == any_timestamp(&text), "{}", text);
        }

        #[test]
        fn timestamp_text_and_back(ns in -(1i128 << 70)..(1i128 << 70)) {
            let text = format_timestamp(Moment::At(ns), true);
            prop_assert_eq!(at(&text), Some((ns, Some(0))), "{}", text);
        }
    }
}
