//! Values as MySQL's SQL writes them, so that a column finds exactly them.

use crate::value::Value;
use crate::value::column::ColumnType;
use crate::value::time::{format_time, format_timestamp};

/// A text.
pub(super) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// A value for a column of this type (compared as it is selected, see `column` beside this); `None` where none is sure to find it.
/// NULL finds nothing.
pub(super) fn of(value: &Value<'_>, ty: &ColumnType) -> Option<String> {
    let is_number = matches!(
        ty,
        ColumnType::Int
            | ColumnType::UnsignedInt
            | ColumnType::BoolInt
            | ColumnType::Number
            | ColumnType::Decimal(_)
    );
    Some(match value {
        Value::Number(number) if is_number => number.to_string(),
        // Selected as a double, which has all the digits of a float.
        Value::Float32(single) if *ty == ColumnType::Float32 => double(f64::from(*single))?,
        Value::Float64(double_) if *ty == ColumnType::Float64 => double(*double_)?,
        Value::Bytes(bytes) if *ty == ColumnType::Bytes => {
            format!("x'{}'", bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())
        }
        // The session's clock is UTC's, and an offset is no part of the text.
        Value::Timestamp { at, .. } if matches!(ty, ColumnType::Timestamp { .. }) => {
            text(&format_timestamp(*at, false).replace('T', " "))
        }
        Value::Date(_) if *ty == ColumnType::Date => text(&value.display()?),
        Value::Time(nanos) if matches!(ty, ColumnType::LongTime | ColumnType::Time) => {
            text(&format_time(*nanos, None))
        }
        Value::Bool(value) => u8::from(*value).to_string(),
        Value::Text(_) | Value::Uuid(_) | Value::Number(_) => text(&value.display()?),
        Value::Null | Value::Absent => "null".to_owned(),
        _ => return None,
    })
}

/// All its digits, as a double's literal.
fn double(value: f64) -> Option<String> {
    value.is_finite().then(|| format!("{value:e}"))
}
