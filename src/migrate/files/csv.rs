//! CSV (RFC 4180) by the dataset's options: NULL is an unquoted empty cell, the empty text is `""`.

use super::kept::Kept;
use super::{Format, Part, check_places};
use crate::error::{Error, Result};
use crate::mapping::resolve::StoreType;
use crate::migrate::Fault;
use crate::migrate::mapped::Mapped;
use crate::spec::{BytesEncoding, CsvOptions};
use crate::value::{Value, base64_text, hex};

/// Some readers take it for a mark of the encoding at a file's start.
const BYTE_ORDER_MARK: char = '\u{feff}';

pub(super) struct CsvFormat<'a> {
    options: &'a CsvOptions,
    mapped: &'a Mapped<'a>,
    kept: Vec<Kept>,
    /// The cells of a record in their order: the column that each is of, if one is written to it.
    cells: Vec<(String, Option<usize>)>,
}

impl<'a> CsvFormat<'a> {
    pub(super) fn new(options: &'a CsvOptions, mapped: &'a Mapped<'a>) -> Result<Self> {
        check_places(mapped, &options.uri)?;
        let of = |name: &str| mapped.columns.iter().position(|c| c.name == name);
        let cells = match (&options.columns, options.header) {
            (_, true) => mapped.columns.iter().enumerate().map(|(i, c)| (c.name.clone(), Some(i))).collect(),
            (Some(names), false) => {
                if let Some(column) = mapped.columns.iter().find(|c| !names.contains(&c.name)) {
                    let what = format!("{}: `columns` does not name `{}`", options.uri, column.name);
                    return Err(
                        Error::usage(what).help("add it, map the field with `to`, or ignore it in the spec")
                    );
                }
                names.iter().map(|name| (name.clone(), of(name))).collect()
            }
            (None, false) => {
                let what = format!(
                    "{}: without a header nothing says in which order columns are written",
                    options.uri
                );
                return Err(
                    Error::usage(what).help("name them with `columns = [\"…\"]` in the target's dataset")
                );
            }
        };
        let kept = Kept::all(mapped, &vec![StoreType::Untyped; mapped.columns.len()])?;
        Ok(Self { options, mapped, kept, cells })
    }

    fn write(&self, text: Option<&str>, out: &mut Vec<u8>) {
        let Some(text) = text else { return };
        let CsvOptions { delimiter, quote, .. } = *self.options;
        let is_special = |byte: u8| byte == delimiter || byte == quote || byte == b'\n' || byte == b'\r';
        let bare = !text.is_empty()
            && !text.starts_with(BYTE_ORDER_MARK)
            && !text.bytes().any(is_special)
            && !self.options.null_tokens.iter().any(|token| token == text);
        if bare {
            return out.extend_from_slice(text.as_bytes());
        }
        out.push(quote);
        for byte in text.bytes() {
            if byte == quote {
                out.push(quote);
            }
            out.push(byte);
        }
        out.push(quote);
    }

    fn row<'t>(&self, cells: impl Iterator<Item = Option<&'t str>>, out: &mut Vec<u8>) {
        for (i, cell) in cells.enumerate() {
            if i > 0 {
                out.push(self.options.delimiter);
            }
            self.write(cell, out);
        }
        out.push(b'\n');
    }
}

impl Format for CsvFormat<'_> {
    fn extension(&self) -> &'static str {
        ".csv"
    }

    fn facts(&self) -> String {
        let CsvOptions { delimiter, quote, header, null_tokens, encoding, .. } = self.options;
        let names: Vec<&String> = self.cells.iter().map(|(name, _)| name).collect();
        format!("{delimiter} {quote} {header} {null_tokens:?} {encoding:?} {names:?}")
    }

    fn begin(&self) -> Box<dyn Part + '_> {
        let mut out = Vec::new();
        if self.options.header {
            self.row(self.cells.iter().map(|(name, _)| Some(name.as_str())), &mut out);
        }
        Box::new(CsvPart { format: self, out })
    }
}

struct CsvPart<'a> {
    format: &'a CsvFormat<'a>,
    out: Vec<u8>,
}

impl Part for CsvPart<'_> {
    fn push(&mut self, values: &[Value<'_>]) -> Result<(), Fault> {
        let format = self.format;
        let bytes: fn(&[u8]) -> String = match format.options.encoding {
            BytesEncoding::Hex => hex,
            BytesEncoding::Base64 => base64_text,
        };
        let mut texts = Vec::with_capacity(values.len());
        for ((column, kept), value) in format.mapped.columns.iter().zip(&format.kept).zip(values) {
            texts.push(kept.text(column, value, bytes)?);
        }
        let cell = |(_, at): &(String, Option<usize>)| at.and_then(|at| texts[at].as_deref());
        format.row(format.cells.iter().map(cell), &mut self.out);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        Ok(self.out)
    }
}
