//! Parquet (<https://parquet.apache.org/docs/file-format/>): each column of one type, which follows from its field's class and its
//! source's type and not from the values, so that all files of a folder have the same columns.
//!
//! Numbers without a size, times with an offset and intervals are text, since Parquet has no such types; JSON documents, sets and lists
//! are JSON.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int64Array, StringArray, Time64MicrosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression as Codec, ConvertedType, LogicalType, Type as Physical, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::{SchemaDescriptor, Type};

use super::kept::{Kept, plan_of};
use super::{Format, Part, check_places};
use crate::error::{Context, Result};
use crate::mapping::resolve::StoreType;
use crate::migrate::Fault;
use crate::migrate::mapped::{Column, Mapped, Origin};
use crate::query::single_path;
use crate::spec::{Compression, Provenance};
use crate::value::cast::{Class, Zone};
use crate::value::kind::DecimalSize;
use crate::value::time::Moment;
use crate::value::{Value, base64_text};

/// Digits of the widest decimal.
const DIGITS_MAX: u32 = 38;
const NANOS_PER_MICRO: i128 = 1_000;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Unsigned,
    Decimal(DecimalSize),
    Float32,
    Float64,
    Bool,
    Text,
    Json,
    Bytes,
    Date,
    Time,
    Micros { zoned: bool },
    Nanos,
}

impl Kind {
    fn of(mapped: &Mapped<'_>, column: &Column) -> Self {
        let Some(class) = column.class() else {
            return match column.source {
                Origin::Provenance(Provenance::At) => Self::Micros { zoned: true },
                _ => Self::Text,
            };
        };
        let store =
            plan_of(mapped, column).and_then(|field| field.source.as_ref()).map(|access| access.store());
        let sized = |size: DecimalSize| match size.precision <= DIGITS_MAX {
            true => Self::Decimal(size),
            false => Self::Text,
        };
        match class {
            Class::Int if is_unsigned(mapped, column) => Self::Unsigned,
            Class::Int => Self::Int,
            Class::Decimal(size) => sized(size),
            Class::Number => match store {
                Some(StoreType::Decimal(size)) => sized(*size),
                _ => Self::Text,
            },
            Class::Float32 => Self::Float32,
            Class::Float64 => Self::Float64,
            Class::Bool => Self::Bool,
            Class::Bytes => Self::Bytes,
            Class::Date => Self::Date,
            Class::Time => Self::Time,
            Class::Json | Class::Set(_) | Class::List => Self::Json,
            Class::Timestamp(zone) => {
                let zoned = match store {
                    Some(StoreType::Timestamp { zoned }) => {
                        *zoned || mapped.plan.source.dataset.timezone.is_some()
                    }
                    // Of texts only an instant is a moment to everybody.
                    _ => true,
                };
                match (zoned || zone == Zone::Instant, column.precision.map(|precision| precision.unit_ns)) {
                    (false, Some(1)) => Self::Nanos,
                    // Of instants the engine keeps microseconds.
                    (true, Some(1)) => Self::Text,
                    (zoned, _) => Self::Micros { zoned },
                }
            }
            Class::Any | Class::Text | Class::TimeTz | Class::Interval | Class::Uuid => Self::Text,
        }
    }

    /// What a comparison will take it for.
    fn store(self) -> StoreType {
        match self {
            Self::Int | Self::Unsigned => StoreType::Int,
            Self::Decimal(size) => StoreType::Decimal(size),
            Self::Float32 => StoreType::Float32,
            Self::Float64 => StoreType::Float64,
            Self::Bool => StoreType::Bool,
            Self::Text => StoreType::Text,
            Self::Json => StoreType::Json,
            Self::Bytes => StoreType::Bytes,
            Self::Date => StoreType::Date,
            Self::Time => StoreType::Time,
            Self::Micros { zoned } => StoreType::Timestamp { zoned },
            Self::Nanos => StoreType::Timestamp { zoned: false },
        }
    }

    fn arrow(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Unsigned => DataType::UInt64,
            Self::Decimal(size) => DataType::Decimal128(size.precision as u8, size.scale as i8),
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Text | Self::Json => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Micros { zoned } => DataType::Timestamp(TimeUnit::Microsecond, zoned.then(|| "UTC".into())),
            Self::Nanos => DataType::Timestamp(TimeUnit::Nanosecond, None),
        }
    }
}

/// Whether the source says that its column holds integers which need all 64 bits.
fn is_unsigned(mapped: &Mapped<'_>, column: &Column) -> bool {
    let field = mapped.plan.entity.fields.iter().flatten().find(|field| field.name == column.field);
    let path = field.and_then(|field| single_path(&field.from.text)).unwrap_or_default();
    let of = mapped.plan.source.columns.iter().find(|c| path == [c.name.as_str()]);
    let ty = of.and_then(|c| c.physical.first()).map_or("", |(ty, _)| ty.as_str());
    ty == "unsigned int"
}

pub(super) struct ParquetFormat<'a> {
    mapped: &'a Mapped<'a>,
    kinds: Vec<Kind>,
    kept: Vec<Kept>,
    schema: SchemaRef,
    compression: Compression,
}

impl<'a> ParquetFormat<'a> {
    pub(super) fn new(mapped: &'a Mapped<'a>, compression: Option<Compression>) -> Result<Self> {
        check_places(mapped, &mapped.plan.target.dataset.kind.place())?;
        let kinds: Vec<Kind> = mapped.columns.iter().map(|column| Kind::of(mapped, column)).collect();
        let stores: Vec<StoreType> = kinds.iter().map(|kind| kind.store()).collect();
        let kept = Kept::all(mapped, &stores)?;
        let columns = mapped.columns.iter().zip(&kinds);
        let fields: Vec<Field> = columns.map(|(c, kind)| Field::new(&c.name, kind.arrow(), true)).collect();
        let compression = compression.unwrap_or(Compression::Zstd);
        Ok(Self { mapped, kinds, kept, schema: Arc::new(Schema::new(fields)), compression })
    }

    /// The schema of the files: JSON says that it is JSON.
    fn descriptor(&self) -> parquet::errors::Result<SchemaDescriptor> {
        let plain = ArrowSchemaConverter::new().convert(&self.schema)?;
        let mut fields = plain.root_schema().get_fields().to_vec();
        for (field, kind) in fields.iter_mut().zip(&self.kinds).filter(|(_, kind)| **kind == Kind::Json) {
            debug_assert_eq!(*kind, Kind::Json);
            let json = Type::primitive_type_builder(field.name(), Physical::BYTE_ARRAY)
                .with_repetition(parquet::basic::Repetition::OPTIONAL)
                .with_logical_type(Some(LogicalType::Json))
                .with_converted_type(ConvertedType::JSON);
            *field = Arc::new(json.build()?);
        }
        let root = Type::group_type_builder(plain.root_schema().name()).with_fields(fields).build()?;
        Ok(SchemaDescriptor::new(Arc::new(root)))
    }

    fn write(&self, columns: &[Vec<Cell>]) -> parquet::errors::Result<Vec<u8>> {
        let codec = match self.compression {
            Compression::None => Codec::UNCOMPRESSED,
            Compression::Gzip => Codec::GZIP(Default::default()),
            Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
        };
        let properties = WriterProperties::builder().set_compression(codec).build();
        let options =
            ArrowWriterOptions::new().with_properties(properties).with_parquet_schema(self.descriptor()?);
        let arrays = self.kinds.iter().zip(columns).map(|(kind, cells)| array(*kind, cells));
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays.collect::<Result<_, _>>()?)?;
        let mut writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&self.schema), options)?;
        writer.write(&batch)?;
        writer.into_inner()
    }
}

impl Format for ParquetFormat<'_> {
    fn extension(&self) -> &'static str {
        ".parquet"
    }

    fn facts(&self) -> String {
        let columns = self.mapped.columns.iter().zip(&self.kinds);
        columns.map(|(column, kind)| format!("{:?} {kind:?}\n", column.name)).collect()
    }

    fn begin(&self) -> Box<dyn Part + '_> {
        Box::new(ParquetPart { format: self, columns: vec![Vec::new(); self.kinds.len()] })
    }
}

struct ParquetPart<'a> {
    format: &'a ParquetFormat<'a>,
    columns: Vec<Vec<Cell>>,
}

impl Part for ParquetPart<'_> {
    fn push(&mut self, values: &[Value<'_>]) -> Result<(), Fault> {
        let format = self.format;
        let mut cells = Vec::with_capacity(values.len());
        for (i, value) in values.iter().enumerate() {
            cells.push(cell(&format.mapped.columns[i], format.kinds[i], &format.kept[i], value)?);
        }
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        self.format.write(&self.columns).or_failed(|| "cannot make a Parquet file".to_owned())
    }
}

/// A value as its column holds it.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Null,
    Whole(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    Bytes(Vec<u8>),
}

fn cell(column: &Column, kind: Kind, kept: &Kept, value: &Value<'_>) -> Result<Cell, Fault> {
    let refused = |code: &str, message: String| Err(Fault::permanent(code, Some(&column.field), message));
    let whole = |number: i128, least: i128, most: i128| match (least..=most).contains(&number) {
        true => Ok(Cell::Whole(number)),
        false => refused(
            "range",
            "beyond what Parquet's type holds; `type = \"string\"` would write it as text".to_owned(),
        ),
    };
    if matches!(value, Value::Timestamp { .. }) {
        kept.check(column, value.clone(), value)?;
    }
    Ok(match (kind, value) {
        (_, Value::Null | Value::Absent) => Cell::Null,
        (Kind::Int, Value::Number(n)) => match n.to_scaled(0) {
            Some(n) => whole(n, i64::MIN.into(), i64::MAX.into())?,
            None => whole(i128::MAX, 0, 0)?,
        },
        (Kind::Unsigned, Value::Number(n)) => match n.to_scaled(0) {
            Some(n) => whole(n, 0, u64::MAX.into())?,
            None => whole(i128::MAX, 0, 0)?,
        },
        (Kind::Decimal(size), Value::Number(n)) if n.fits(size.precision, size.scale) => {
            Cell::Whole(n.to_scaled(size.scale).unwrap_or_default())
        }
        (Kind::Float32, Value::Float32(f)) => Cell::Float(f64::from(*f)),
        (Kind::Float64, Value::Float64(f)) => Cell::Float(*f),
        (Kind::Bool, Value::Bool(flag)) => Cell::Bool(*flag),
        (Kind::Bytes, Value::Bytes(bytes)) => Cell::Bytes(bytes.to_vec()),
        (Kind::Date, Value::Date(day)) => match day {
            // Where the engine has the infinities.
            Moment::Infinity => Cell::Whole(i32::MAX.into()),
            Moment::NegInfinity => Cell::Whole((-i32::MAX).into()),
            Moment::At(days) => whole(*days, (1 - i32::MAX).into(), (i32::MAX - 1).into())?,
        },
        (Kind::Time, Value::Time(nanos)) => {
            micros(column, i128::from(*nanos)).and_then(|n| whole(n, 0, 86_400_000_000))?
        }
        (Kind::Micros { zoned }, Value::Timestamp { at, zoned: is }) => match at {
            Moment::Infinity => Cell::Whole(i64::MAX.into()),
            Moment::NegInfinity => Cell::Whole((-i64::MAX).into()),
            Moment::At(_) if zoned != *is => return refused("zone", zone_words(zoned)),
            Moment::At(ns) if column.class().is_none() => Cell::Whole(ns.div_euclid(NANOS_PER_MICRO)),
            Moment::At(ns) => whole(micros(column, *ns)?, (1 - i64::MAX).into(), (i64::MAX - 1).into())?,
        },
        (Kind::Nanos, Value::Timestamp { at: Moment::At(ns), zoned }) => match zoned {
            true => return refused("zone", zone_words(false)),
            false => whole(*ns, (1 - i64::MAX).into(), (i64::MAX - 1).into())?,
        },
        (Kind::Text, value) => Cell::Text(kept.text(column, value, base64_text)?.unwrap_or_default()),
        (Kind::Json, value) => {
            let text = crate::value::json::canonical(value);
            kept.check(column, Value::Text(text.as_str().into()), value)?;
            Cell::Text(text)
        }
        (kind, value) => {
            let (what, store) = (value.kind_name(), kind.store().describe());
            return refused("range", format!("a {what} that no {store} of Parquet holds exactly"));
        }
    })
}

fn micros(column: &Column, nanos: i128) -> Result<i128, Fault> {
    if nanos % NANOS_PER_MICRO == 0 {
        return Ok(nanos / NANOS_PER_MICRO);
    }
    let message = "finer than a microsecond; `precision = \"us\"` cuts it, `precision = \"ns\"` keeps it";
    match column.precision {
        Some(precision) if precision.unit_ns >= NANOS_PER_MICRO => Ok(nanos.div_euclid(NANOS_PER_MICRO)),
        _ => Err(Fault::permanent("precision", Some(&column.field), message)),
    }
}

fn zone_words(zoned: bool) -> String {
    match zoned {
        true => "a timestamp without an offset, for a column of instants; give its dataset a `timezone`, or the field `type = \"string\"`",
        false => "a timestamp with an offset, for a column without",
    }
    .to_owned()
}

fn array(kind: Kind, cells: &[Cell]) -> Result<ArrayRef, arrow::error::ArrowError> {
    let whole = || cells.iter().map(|cell| if let Cell::Whole(n) = cell { Some(*n) } else { None });
    let float = || cells.iter().map(|cell| if let Cell::Float(f) = cell { Some(*f) } else { None });
    // Each was held against its type's bounds.
    let int = || whole().map(|n| n.map(|n| n as i64));
    Ok(match kind {
        Kind::Int => Arc::new(int().collect::<Int64Array>()),
        Kind::Unsigned => Arc::new(whole().map(|n| n.map(|n| n as u64)).collect::<UInt64Array>()),
        Kind::Decimal(size) => {
            let all: Decimal128Array = whole().collect();
            Arc::new(all.with_precision_and_scale(size.precision as u8, size.scale as i8)?)
        }
        Kind::Float32 => Arc::new(float().map(|f| f.map(|f| f as f32)).collect::<Float32Array>()),
        Kind::Float64 => Arc::new(float().collect::<Float64Array>()),
        Kind::Bool => {
            let all = cells.iter().map(|cell| if let Cell::Bool(flag) = cell { Some(*flag) } else { None });
            Arc::new(all.collect::<BooleanArray>())
        }
        Kind::Text | Kind::Json => {
            let all =
                cells.iter().map(|cell| if let Cell::Text(text) = cell { Some(text.as_str()) } else { None });
            Arc::new(all.collect::<StringArray>())
        }
        Kind::Bytes => {
            let all = cells
                .iter()
                .map(|cell| if let Cell::Bytes(bytes) = cell { Some(bytes.as_slice()) } else { None });
            Arc::new(all.collect::<BinaryArray>())
        }
        Kind::Date => Arc::new(whole().map(|n| n.map(|n| n as i32)).collect::<Date32Array>()),
        Kind::Time => Arc::new(int().collect::<Time64MicrosecondArray>()),
        Kind::Micros { zoned } => {
            let all: TimestampMicrosecondArray = int().collect();
            Arc::new(if zoned { all.with_timezone("UTC") } else { all })
        }
        Kind::Nanos => Arc::new(int().collect::<TimestampNanosecondArray>()),
    })
}
