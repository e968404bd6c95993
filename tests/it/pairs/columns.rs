//! The table that every store holds: a column of every type, with the value that it has and the one that it gets when it changes.

/// What a column holds. The text of its values is the one of the constants below; each store writes it in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    /// Integers that need all 64 bits.
    Unsigned,
    /// `decimal(38,10)`.
    Decimal,
    Double,
    /// Single precision where a store has it.
    Single,
    Bool,
    /// `2024-02-29T23:59:59.000001Z`.
    Instant,
    /// `2024-02-29T23:59:59.000001`.
    Moment,
    Day,
    Clock,
    Uuid,
    /// Hex digits.
    Bytes,
    Json,
    /// A JSON array of texts.
    List,
    /// A JSON array of texts, in an order that each store chooses for itself.
    Set,
}

impl Kind {
    /// As a spec names it.
    pub(super) fn declared(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Int | Self::Unsigned => "int",
            Self::Decimal => "decimal(38,10)",
            Self::Double | Self::Single => "float",
            Self::Bool => "bool",
            Self::Instant | Self::Moment => "timestamp",
            Self::Day => "date",
            Self::Clock => "time",
            Self::Uuid => "uuid",
            Self::Bytes => "bytes",
            Self::Json => "json",
            Self::List => "list",
            Self::Set => "set<string>",
        }
    }
}

/// A column: name, kind, value and other value, `None` being NULL.
pub(super) type Column = (&'static str, Kind, Option<&'static str>, Option<&'static str>);

pub(super) const COLUMNS: &[Column] = &[
    (
        "words",
        Kind::Text,
        Some("a 'b' \"c\" \\ d,\té\u{1F600}\r\nlast"),
        Some("a 'b' \"c\" \\ d,\té\u{1F600}\nlast"),
    ),
    ("composed", Kind::Text, Some("é"), Some("e\u{301}")),
    ("padded", Kind::Text, Some(" x "), Some(" x")),
    ("empty", Kind::Text, Some(""), None),
    ("no_words", Kind::Text, None, Some("")),
    ("digits", Kind::Text, Some("02"), Some("2")),
    ("truth", Kind::Text, Some("true"), Some("TRUE")),
    ("least", Kind::Int, Some("-9223372036854775808"), Some("-9223372036854775807")),
    ("beyond_doubles", Kind::Int, Some("9007199254740993"), Some("9007199254740992")),
    ("unknown_int", Kind::Int, Some("0"), None),
    ("widest", Kind::Unsigned, Some("18446744073709551615"), Some("18446744073709551614")),
    (
        "exact",
        Kind::Decimal,
        Some("-9999999999999999999999999999.0000000001"),
        Some("-9999999999999999999999999999.0000000002"),
    ),
    ("small", Kind::Decimal, Some("0.0000000001"), Some("0.0000000000")),
    ("ratio", Kind::Double, Some("0.1"), Some("0.10000000000000002")),
    ("largest", Kind::Double, Some("1.7976931348623157e308"), Some("1.7976931348623155e308")),
    ("smallest", Kind::Double, Some("2.2250738585072014e-308"), Some("2.225073858507202e-308")),
    ("special", Kind::Double, Some("NaN"), Some("Infinity")),
    ("single", Kind::Single, Some("0.1"), Some("0.10000001")),
    ("flag", Kind::Bool, Some("true"), Some("false")),
    ("unknown_flag", Kind::Bool, Some("false"), None),
    ("instant", Kind::Instant, Some("2024-02-29T23:59:59.000001Z"), Some("2024-02-29T23:59:59.000002Z")),
    ("moment", Kind::Moment, Some("1969-12-31T23:59:59.999999"), Some("1969-12-31T23:59:59.999998")),
    ("endless", Kind::Moment, Some("infinity"), Some("-infinity")),
    ("day", Kind::Day, Some("1000-01-01"), Some("9999-12-31")),
    ("clock", Kind::Clock, Some("23:59:59.999999"), Some("00:00:00")),
    (
        "id",
        Kind::Uuid,
        Some("0123abcd-0000-4000-8000-00000000000f"),
        Some("0123abcd-0000-4000-8000-00000000000e"),
    ),
    ("bytes", Kind::Bytes, Some("00ff275c0a"), Some("00ff275c0b")),
    ("no_bytes", Kind::Bytes, Some(""), Some("00")),
    (
        "document",
        Kind::Json,
        Some(r#"{"b":[1,null,"é\""],"a":{"n":9007199254740993,"f":true}}"#),
        Some(r#"{"b":[1,null,"é\""],"a":{"n":9007199254740992,"f":true}}"#),
    ),
    ("list", Kind::List, Some(r#"["b","a","b","é,\"{}"]"#), Some(r#"["a","b","b","é,\"{}"]"#)),
    ("several", Kind::Set, Some(r#"["c","a","b,"]"#), Some(r#"["c","a","b"]"#)),
];
