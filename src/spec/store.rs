//! What of a live dataset is read.

use std::fmt;

/// What of a SQL database is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A table or a view.
    Table(TableName),
    /// A query.
    Query(String),
}

impl What {
    /// A name for messages and for the ledger.
    pub fn shown(&self) -> String {
        match self {
            Self::Table(table) => table.to_string(),
            Self::Query(_) => "the query".to_owned(),
        }
    }
}

/// A table's name in SQL identifier syntax, part by part: `public."Odd.Name"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// The parts, the table last.
    pub parts: Vec<Identifier>,
}

/// One part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identifier {
    /// Its text, without the quotes.
    pub text: String,
    /// Whether it was quoted, so that its case counts everywhere.
    pub quoted: bool,
}

impl TableName {
    /// How to write one.
    pub const HELP: &str = "write it as in SQL: `images`, `public.images`, `public.\"Odd.Name\"`";

    /// Reads a name; parts may stand in double quotes, back ticks or square brackets, a quote inside written twice.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.trim();
        loop {
            let (part, after) = part(rest)?;
            parts.push(part);
            rest = match after.strip_prefix('.') {
                Some(rest) => rest,
                None if after.is_empty() => return Ok(Self { parts }),
                None => {
                    return Err("a quote is missing".to_owned());
                }
            };
        }
    }

    /// The table's own part.
    pub fn table(&self) -> &Identifier {
        self.parts.last().expect("a name has at least one part")
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.parts.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            match part.quoted {
                true => write!(f, "\"{}\"", part.text.replace('"', "\"\""))?,
                false => f.write_str(&part.text)?,
            }
        }
        Ok(())
    }
}

fn part(text: &str) -> Result<(Identifier, &str), String> {
    let close = match text.chars().next() {
        Some(quote @ ('"' | '`')) => quote,
        Some('[') => ']',
        _ => {
            let end = text.find('.').unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            if name.is_empty() || name.contains(|c: char| c.is_whitespace() || "\"`';()".contains(c)) {
                return Err("this is no table's name: quote what is not a plain identifier".to_owned());
            }
            return Ok((Identifier { text: name.to_owned(), quoted: false }, rest));
        }
    };
    let (mut name, mut rest) = (String::new(), &text[1..]);
    loop {
        let at = rest.find(close).ok_or_else(|| format!("`{close}` is missing at the end of a name"))?;
        name.push_str(&rest[..at]);
        rest = &rest[at + close.len_utf8()..];
        match rest.strip_prefix(close) {
            Some(after) => {
                name.push(close);
                rest = after;
            }
            None if name.is_empty() => return Err("a name is empty".to_owned()),
            None => return Ok((Identifier { text: name, quoted: true }, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_in_sql() {
        let parts = |text: &str| {
            TableName::parse(text)
                .map(|n| n.parts.into_iter().map(|p| (p.text, p.quoted)).collect::<Vec<_>>())
        };
        let name = |text: &str, quoted| (text.to_owned(), quoted);
        assert_eq!(parts("images"), Ok(vec![name("images", false)]));
        assert_eq!(parts(r#"public."Odd.""Name"#).unwrap_err(), "`\"` is missing at the end of a name");
        assert_eq!(
            parts(r#"public."Odd.""Name""""#),
            Ok(vec![name("public", false), name("Odd.\"Name\"", true)])
        );
        assert_eq!(parts("`a``;drop`"), Ok(vec![name("a`;drop", true)]));
        assert_eq!(parts("[a b].c"), Ok(vec![name("a b", true), name("c", false)]));
        for wrong in ["", "a b", "a.", ".a", "a;drop table b", "\"a\"b", "\"\""] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
        let odd = TableName::parse(r#"public."Odd.""Name""""#).unwrap();
        assert_eq!(odd.to_string(), r#"public."Odd.""Name""""#);
    }
}
