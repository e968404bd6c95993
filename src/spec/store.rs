//! Where a live dataset is and what of it is read.

use std::fmt;

/// A database's URL. It may hold a password, so it is never shown whole: `Debug` and [`Url::shown`] leave the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(pub(super) String);

impl Url {
    /// A URL as the spec gives it.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole URL, for the driver alone.
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// The parameters after the question mark, as they are written.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let query = self.0.split_once('?').map_or("", |(_, query)| query);
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// Whether it holds a password. A `${NAME}` in the place of one is none.
    pub fn has_password(&self) -> bool {
        let (head, query) = self.0.split_once('?').unwrap_or((self.0.as_str(), ""));
        let authority = head.split_once("://").map_or(head, |(_, rest)| rest);
        let is_literal = |secret: &str| {
            let mut rest = secret;
            while let Some((_, after)) = rest.strip_prefix("${").and_then(|r| r.split_once('}')) {
                rest = after;
            }
            !rest.is_empty()
        };
        let of_user = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
        let in_query = query.split('&').filter(|pair| pair.to_ascii_lowercase().contains("pass"));
        of_user.is_some_and(|(_, password)| is_literal(password))
            || in_query.filter_map(|pair| pair.split_once('=')).any(|(_, value)| is_literal(value))
    }

    /// The URL without its password, and without the parameters that may hold one.
    pub fn shown(&self) -> String {
        let (head, query) = self.0.split_once('?').map_or((self.0.as_str(), None), |(h, q)| (h, Some(q)));
        let head = match head.split_once("://") {
            Some((scheme, rest)) => match rest.rsplit_once('@') {
                Some((user, host)) => {
                    let user = user.split_once(':').map_or(user, |(user, _)| user);
                    format!("{scheme}://{user}@{host}")
                }
                None => head.to_owned(),
            },
            None => head.to_owned(),
        };
        let kept: Vec<&str> = query
            .into_iter()
            .flat_map(|query| query.split('&'))
            .filter(|pair| !pair.to_ascii_lowercase().contains("pass"))
            .collect();
        if kept.is_empty() { head } else { format!("{head}?{}", kept.join("&")) }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

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
                    return Err("a quote is missing: write it as in SQL, `public.\"Odd.Name\"`".to_owned());
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
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("postgres://me:s3cret@host:5432/db", "postgres://me@host:5432/db"),
            (
                "postgres://me:p@ss@host/db?sslmode=require&password=x",
                "postgres://me@host/db?sslmode=require",
            ),
            ("mysql://host/db", "mysql://host/db"),
            ("postgres:///db?host=/run", "postgres:///db?host=/run"),
        ] {
            assert_eq!(Url::new(url).shown(), shown);
            assert!(!format!("{:?}", Url::new(url)).contains("cret"));
        }
    }

    #[test]
    fn a_variable_in_the_place_of_a_password_is_none() {
        for (url, has) in [
            ("postgres://me:s3cret@host/db", true),
            ("postgres://me:a@b@host/db", true),
            ("postgres://me:${PW}@host/db", false),
            ("postgres://me:${PW}x@host/db", true),
            ("postgres://me@host:5432/db?sslmode=require", false),
            ("postgres://me@host/db?password=x", true),
            ("postgres://me@host/db?sslPassword=${PW}", false),
            ("mysql://host/a:b", false),
            ("${DATABASE_URL}", false),
        ] {
            assert_eq!(Url::new(url).has_password(), has, "{url}");
        }
    }

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
