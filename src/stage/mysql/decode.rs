//! Values of MySQL's text protocol to cells.

use std::str::from_utf8;

use crate::stage::table::ColumnBuilder;
use crate::value::column::ColumnType;
use crate::value::time::{Moment, ParsedTimestamp, parse_date, parse_timestamp};

/// Appends a value's cell.
///
/// # Errors
/// A text that is no such value, or a value that cannot be carried; nothing was appended then.
pub(super) fn append(bytes: &[u8], ty: &ColumnType, to: &mut ColumnBuilder) -> Result<(), String> {
    let text = || from_utf8(bytes).map_err(|e| format!("invalid UTF-8 at byte {}", e.valid_up_to() + 1));
    let wrong = |what: &str| format!("not {what}");
    match (ty, to) {
        (_, ColumnBuilder::Bytes(b)) => b.append_value(bytes),
        (_, ColumnBuilder::Int(b)) => b.append_value(text()?.parse().map_err(|_| wrong("an integer"))?),
        (_, ColumnBuilder::UnsignedInt(b)) => {
            b.append_value(text()?.parse().map_err(|_| wrong("an integer"))?)
        }
        // The text is that of a double which holds the float exactly.
        (_, ColumnBuilder::Float32(b)) => {
            b.append_value(text()?.parse::<f64>().map_err(|_| wrong("a float"))? as f32);
        }
        (_, ColumnBuilder::Float64(b)) => b.append_value(text()?.parse().map_err(|_| wrong("a float"))?),
        (_, ColumnBuilder::Date(b)) => match parse_date(text()?) {
            Some(Moment::At(days)) => b.append_value(i32::try_from(days).map_err(|_| wrong("a date"))?),
            _ => return Err(no_day(bytes)),
        },
        (_, ColumnBuilder::Timestamp(b)) => match parse_timestamp(text()?) {
            Some(ParsedTimestamp { local: Moment::At(nanos), offset_s: None }) => {
                b.append_value(i64::try_from(nanos / 1_000).map_err(|_| wrong("a timestamp"))?);
            }
            _ => return Err(no_day(bytes)),
        },
        (_, ColumnBuilder::Text(b)) => b.append_value(text()?),
        _ => return Err("a value of another type than the column's".to_owned()),
    }
    Ok(())
}

/// MySQL keeps dates with zeros in them, which are no days.
fn no_day(bytes: &[u8]) -> String {
    if bytes.windows(3).any(|w| w == b"-00") || bytes.starts_with(b"0000") {
        return "a zero date, which is no day; read the column as text with a query: cast(… as char)"
            .to_owned();
    }
    "not a date".to_owned()
}
