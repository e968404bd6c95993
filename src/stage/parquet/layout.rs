//! What a Parquet footer says: columns, types, rows; and whether the engine will read all of that as it is meant.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use arrow::datatypes::DataType;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, LogicalType, TimeUnit, Type as Physical};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::ColumnDescriptor;

use crate::error::{Context, Error, Result};
use crate::stage::names::{of_the_engine, reserved};
use crate::stage::sink::PartColumn;
use crate::store::files::Random;

/// Four bytes of length and the magic close every file.
const TAIL_BYTES: u64 = 8;

/// Digits of the widest decimal that the engine keeps exactly.
const DECIMAL_DIGITS_MAX: i32 = 38;

/// A file's columns and rows.
#[derive(Debug)]
pub(super) struct Layout {
    path: PathBuf,
    columns: Vec<Column>,
    pub(super) rows: u64,
    /// Leaf columns whose values may be finer than the microseconds that the engine keeps of their type.
    pub(super) finer: Vec<usize>,
}

#[derive(Debug)]
struct Column {
    name: String,
    physical: String,
    /// Its type in words that are the same exactly when the types are.
    ty: String,
}

impl Layout {
    /// Reads and checks the footer of a file.
    ///
    /// # Errors
    /// A file that is not Parquet, is damaged, cut short or encrypted, or has columns that cannot be read exactly.
    pub(super) fn read(path: &Path, file: &Random) -> Result<Self> {
        let damaged = || format!("{} is not a whole Parquet file", path.display());
        let data_bytes = data_bytes(file, path)?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let footer = ArrowReaderMetadata::load(file, options).or_failed(damaged)?;
        let metadata = footer.metadata();
        for group in metadata.row_groups() {
            for chunk in group.columns() {
                check_chunk(chunk, data_bytes, path)?;
            }
        }
        let rows = u64::try_from(metadata.file_metadata().num_rows()).or_failed(damaged)?;
        let leaves = metadata.file_metadata().schema_descr().columns();
        for leaf in leaves {
            check_leaf(leaf, path)?;
        }
        let finer = (0..leaves.len()).filter(|&i| is_finer(&leaves[i])).collect();
        let columns = columns(footer.schema().fields(), metadata, path)?;
        Ok(Self { path: path.to_path_buf(), columns, rows, finer })
    }

    /// Checks that `other` has the same columns, in whatever order.
    ///
    /// # Errors
    /// A column that only one of the two has, or that is of different types.
    pub(super) fn admits(&self, other: &Self) -> Result<()> {
        let (first, path) = (self.path.display(), other.path.display());
        let theirs: HashMap<&str, &Column> =
            other.columns.iter().map(|column| (column.name.as_str(), column)).collect();
        for column in &self.columns {
            let name = &column.name;
            let Some(their) = theirs.get(name.as_str()) else {
                return Err(Error::failed(format!("{path} has no column `{name}`, which {first} has")));
            };
            if their.ty != column.ty {
                let what = format!("column `{name}` is {} in {path}, but {} in {first}", their.ty, column.ty);
                return Err(Error::failed(what)
                    .help("the files of one dataset need the same types; widths are not reconciled yet"));
            }
            if their.physical != column.physical {
                let what = format!("column `{name}` stands elsewhere in {path} than in {first}");
                return Err(Error::failed(what).help(
                    "where names differ only in case, all files of a dataset need their columns in the same order",
                ));
            }
        }
        match other.columns.iter().find(|column| self.columns.iter().all(|ours| ours.name != column.name)) {
            Some(column) => {
                Err(Error::failed(format!("{first} has no column `{}`, which {path} has", column.name)))
            }
            None => Ok(()),
        }
    }

    /// The columns as the engine will show them.
    pub(super) fn part_columns(&self) -> Vec<PartColumn> {
        let column = |column: &Column| PartColumn {
            physical: column.physical.clone(),
            attribute: column.name.clone(),
            tag: String::new(),
        };
        self.columns.iter().map(column).collect()
    }
}

/// How many bytes stand before the footer.
fn data_bytes(file: &Random, path: &Path) -> Result<u64> {
    let unread = || format!("cannot read {}", path.display());
    let total = file.len();
    let not_whole = || Error::failed(format!("{} is not a whole Parquet file", path.display()));
    let (Some(tail_at), true) = (total.checked_sub(TAIL_BYTES), total >= TAIL_BYTES + 4) else {
        return Err(not_whole()
            .help("it is too short for one: copy or write it again, or take it out of the dataset"));
    };
    let tail = file.get_bytes(tail_at, TAIL_BYTES as usize).or_failed(unread)?;
    let [a, b, c, d, ref magic @ ..] = tail[..] else { return Err(not_whole()) };
    if magic == b"PARE" {
        return Err(Error::failed(format!("{} is encrypted", path.display())).help("decrypt it first"));
    }
    if magic != b"PAR1" {
        return Err(not_whole()
            .help("it does not end as Parquet files do: is it cut short, or another kind of file?"));
    }
    tail_at.checked_sub(u64::from(u32::from_le_bytes([a, b, c, d]))).ok_or_else(not_whole)
}

/// A footer can be whole while what it speaks of is not there.
fn check_chunk(chunk: &ColumnChunkMetaData, data_bytes: u64, path: &Path) -> Result<()> {
    let column = chunk.column_path().string();
    let start =
        chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset()).min(chunk.data_page_offset());
    let end = start.checked_add(chunk.compressed_size()).and_then(|end| u64::try_from(end).ok());
    if start < 0 || chunk.compressed_size() < 0 || end.is_none_or(|end| end > data_bytes) {
        let what =
            format!("{} is damaged: the data of column `{column}` lie outside of the file", path.display());
        return Err(Error::failed(what).help("copy it again from where it came"));
    }
    if chunk.compression() == Compression::LZO {
        let what =
            format!("column `{column}` of {} is compressed with LZO, which is not supported", path.display());
        return Err(Error::failed(what).help("write the file again with another compression"));
    }
    Ok(())
}

fn check_leaf(leaf: &ColumnDescriptor, path: &Path) -> Result<()> {
    let digits = leaf.type_precision();
    if digits > DECIMAL_DIGITS_MAX {
        let (column, path) = (leaf.path().string(), path.display());
        let what = format!(
            "column `{column}` of {path} holds decimals of {digits} digits, but only {DECIMAL_DIGITS_MAX} can be read exactly"
        );
        return Err(Error::failed(what).help("write the column as text"));
    }
    Ok(())
}

/// The engine has nanoseconds for timestamps and times without a zone only.
fn is_finer(leaf: &ColumnDescriptor) -> bool {
    leaf.physical_type() == Physical::INT96
        || matches!(
            leaf.logical_type_ref(),
            Some(
                LogicalType::Timestamp { is_adjusted_to_u_t_c: true, unit: TimeUnit::NANOS }
                    | LogicalType::Time { is_adjusted_to_u_t_c: true, unit: TimeUnit::NANOS }
            )
        )
}

fn columns(
    fields: &arrow::datatypes::Fields,
    metadata: &ParquetMetaData,
    path: &Path,
) -> Result<Vec<Column>> {
    let fail = |what: String| Err(Error::failed(format!("{} {what}", path.display())));
    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    if names.is_empty() {
        return fail("has no columns".to_owned());
    }
    if let Some(i) = names.iter().position(|name| name.is_empty()) {
        return fail(format!("has an empty column name (column {})", i + 1));
    }
    if let Some(name) = (1..names.len()).find(|&i| names[..i].contains(&names[i])).map(|i| names[i]) {
        return fail(format!("has more than one column `{name}`"));
    }
    let all = || names.iter().copied();
    if let Some(name) = reserved(all()).or_else(|| of_the_engine(all())) {
        return fail(format!("has the column `{name}`, a name that recon or its engine uses itself"));
    }
    let roots = metadata.file_metadata().schema_descr().root_schema().get_fields();
    let physical = engine_names(&names);
    let column = |(field, physical): (&arrow::datatypes::FieldRef, String)| {
        let logical = roots.iter().find(|root| root.name() == field.name()).and_then(|root| {
            // These look like plain text or bytes in Arrow, but the engine gives them types of their own.
            match root.get_basic_info().logical_type_ref()? {
                LogicalType::Uuid => Some("UUID"),
                LogicalType::Json => Some("JSON"),
                LogicalType::Bson => Some("BSON"),
                _ => None,
            }
        });
        let ty = logical.map_or_else(|| describe(field.data_type()), str::to_owned);
        Column { name: field.name().clone(), physical, ty }
    };
    Ok(fields.iter().zip(physical).map(column).collect())
}

/// The names that DuckDB 1.5 shows: a name that is taken, but for the case of ASCII letters, is lengthened by `_` and how
/// often it was asked for, and again if that is taken too.
fn engine_names(names: &[&str]) -> Vec<String> {
    let mut asked: HashMap<String, usize> = HashMap::new();
    let mut shown = Vec::with_capacity(names.len());
    for &name in names {
        let mut name = name.to_owned();
        while let Some(times) = asked.get_mut(&name.to_ascii_lowercase()) {
            name = format!("{name}_{times}");
            *times += 1;
        }
        asked.insert(name.to_ascii_lowercase(), 1);
        shown.push(name);
    }
    shown
}

/// A type without the parts that do not matter: whether values may be NULL, and what a list calls its elements.
fn describe(ty: &DataType) -> String {
    match ty {
        DataType::List(element) | DataType::LargeList(element) => {
            format!("list<{}>", describe(element.data_type()))
        }
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", field.name(), describe(field.data_type())))
                .collect();
            format!("struct<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                let pair: Vec<String> = pair.iter().map(|field| describe(field.data_type())).collect();
                format!("map<{}>", pair.join(", "))
            }
            other => format!("map<{}>", describe(other)),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::engine_names;

    /// What `select * from read_parquet(…)` of DuckDB 1.5.6 answers for files with these columns.
    #[test]
    fn names_are_those_of_the_engine() {
        assert_eq!(
            engine_names(&["name", "Name", "name_1", "NAME"]),
            ["name", "Name_1", "name_1_1", "NAME_2"]
        );
        assert_eq!(engine_names(&["a", "A", "A_1", "a_2"]), ["a", "A_1", "A_1_1", "a_2"]);
        assert_eq!(engine_names(&["a_1", "a", "A"]), ["a_1", "a", "A_1_1"]);
        assert_eq!(
            engine_names(&["A_1", "A_2", "A", "a", "a_1", "a_2"]),
            ["A_1", "A_2", "A", "a_1_1", "a_1_2", "a_2_1"]
        );
        assert_eq!(engine_names(&["x", "X", "xX", "X_1", "x_1_1"]), ["x", "X_1", "xX", "X_1_1", "x_1_1_1"]);
        assert_eq!(engine_names(&["É", "é"]), ["É", "é"]);
    }
}
