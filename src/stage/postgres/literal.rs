//! Values as PostgreSQL's SQL writes them, without a type: the server reads them as the columns' types, and can use their index.

use crate::query;
use crate::value::Value;
use crate::value::time::Moment;

/// A value to look a column up by; `None` where its text is not one that PostgreSQL reads. NULL finds nothing. The session takes
/// a backslash for itself (`connect.rs`).
pub(super) fn of(value: &Value<'_>) -> Option<String> {
    if matches!(value, Value::List(_) | Value::Set(_) | Value::Map(_)) {
        return None;
    }
    let Some(text) = value.display() else { return Some("null".to_owned()) };
    let is_day = matches!(value, Value::Date(Moment::At(_)) | Value::Timestamp { at: Moment::At(_), .. });
    Some(query::literal(&if is_day { day(&text)? } else { text.into_owned() }))
}

/// ISO 8601 counts years from 1 BC, the year 0; PostgreSQL says which era it is.
fn day(text: &str) -> Option<String> {
    let (is_negative, rest) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => (false, text),
    };
    let (year, rest) = rest.split_once('-')?;
    let year: i64 = year.parse().ok()?;
    Some(match (is_negative, year) {
        (false, 1..) => format!("{year:04}-{rest}"),
        _ => format!("{:04}-{rest} BC", year + 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_have_their_era() {
        for (iso, postgres) in [
            ("2024-02-29", "2024-02-29"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("0000-12-31", "0001-12-31 BC"),
            ("-000043-03-15", "0044-03-15 BC"),
            ("+012345-01-01T10:00:00.5", "12345-01-01T10:00:00.5"),
        ] {
            assert_eq!(day(iso).as_deref(), Some(postgres));
        }
    }
}
