//! What a report says, before it is a page or Markdown: a verdict and sections in their order.

use serde::Serialize;

/// A report.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// Its title.
    pub title: String,
    /// What it is about, in a line.
    pub subtitle: String,
    /// The result.
    pub verdict: Verdict,
    /// Its parts.
    pub sections: Vec<Section>,
    /// By what it was made.
    pub footer: String,
}

/// How a result is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// As it should be.
    Good,
    /// Not known, or not whole.
    Warn,
    /// Not as it should be.
    Bad,
    /// Neither.
    Plain,
}

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// How to look at it.
    pub tone: Tone,
    /// In a word or two.
    pub word: String,
    /// What that means, in sentences.
    pub meaning: String,
}

/// A count with its name.
#[derive(Clone, Debug, Serialize)]
pub struct Tile {
    /// Its name.
    pub label: String,
    /// The count.
    pub count: u64,
    /// How to look at it where it is not 0; the plain ones are no share of the others' sum.
    pub tone: Tone,
    /// What there is to say besides.
    pub note: Option<String>,
}

/// What became of a field.
#[derive(Clone, Debug, Serialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// The spec's word for its rule.
    pub rule: String,
    /// `compared`, `ignored` or `not_compared`.
    pub status: String,
    /// Pairs that were compared.
    pub compared: u64,
    /// Pairs that differ.
    pub unequal: u64,
    /// Pairs that differ and are equal by the rule.
    pub equal_by_rule: u64,
    /// Of the unequal, pairs with one value.
    pub null_mismatch: u64,
    /// Largest |target − source|.
    pub max_delta: Option<String>,
    /// Why it was not compared, or what the mismatches have in common.
    pub note: Option<String>,
}

/// A column of a table.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Whether it holds counts.
    pub number: bool,
    /// Whether it holds values of the data.
    pub value: bool,
}

impl Column {
    /// A column of words.
    pub fn words(name: &str) -> Self {
        Self { name: name.to_owned(), number: false, value: false }
    }

    /// A column of counts.
    pub fn counts(name: &str) -> Self {
        Self { number: true, ..Self::words(name) }
    }

    /// A column of values.
    pub fn values(name: &str) -> Self {
        Self { value: true, ..Self::words(name) }
    }
}

/// A part of a report.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Section {
    /// What has to be seen first.
    Notice {
        /// Its title.
        title: String,
        /// What there is to see.
        items: Vec<String>,
    },
    /// Counts.
    Tiles {
        /// Its title.
        title: String,
        /// What there is to say of them.
        note: Option<String>,
        /// The counts.
        tiles: Vec<Tile>,
    },
    /// The fields of an entity.
    Fields {
        /// Its title.
        title: String,
        /// In the spec's order.
        fields: Vec<Field>,
    },
    /// A table of few rows.
    Table {
        /// Its title.
        title: String,
        /// What there is to say of it.
        note: Option<String>,
        /// Its columns.
        columns: Vec<Column>,
        /// Its rows, of one cell a column.
        rows: Vec<Vec<Option<String>>>,
    },
    /// Where something is, and how much of it.
    Bars {
        /// Its title.
        title: String,
        /// What there is to say of it.
        note: Option<String>,
        /// What the bars stand for.
        label: String,
        /// By place.
        bars: Vec<(String, u64)>,
    },
    /// Records a second over time.
    Pace {
        /// Its title.
        title: String,
        /// What there is to say of it.
        note: Option<String>,
        /// Seconds since the begin, and records a second until then.
        points: Vec<(f64, u64)>,
    },
    /// Names and what they stand for.
    Facts {
        /// Its title.
        title: String,
        /// In order.
        facts: Vec<(String, Option<String>)>,
    },
    /// A text as it is.
    Code {
        /// Its title.
        title: String,
        /// What there is to say of it.
        note: Option<String>,
        /// The text.
        text: String,
    },
    /// The records that are not matched; only a page has them.
    Records {
        /// Its title.
        title: String,
        /// What there is to say of it.
        notes: Vec<String>,
    },
    /// Lines to sign on.
    Signatures {
        /// Who signs.
        roles: Vec<String>,
    },
}

/// The words at the foot of every report.
pub fn footer() -> String {
    format!("Written by recon {}.", env!("CARGO_PKG_VERSION"))
}
