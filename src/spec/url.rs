//! A database's URL, and what of it may be shown.
//!
//! A password may hold any character, and not everybody percent-encodes it: `postgres://me:a?b@host/db` has, by the rules, the host
//! `me` and the parameter `b@host/db`. So a URL of which it is not certain which part is the password is refused, and
//! nothing of it is shown.

use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

use crate::error::{Error, Result};

/// Parameters whose values are no secret.
const HARMLESS: [&str; 31] = [
    "compress",
    "connect_timeout",
    "danger_accept_invalid_certs",
    "danger_skip_domain_validation",
    "dbname",
    "host",
    "hostaddr",
    "max_allowed_packet",
    "pool_max",
    "pool_min",
    "port",
    "prefer_socket",
    "secure_auth",
    "service",
    "socket",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "stmt_cache_size",
    "tcp_connect_timeout_ms",
    "tcp_keepalive_time_ms",
    "tcp_nodelay",
    "tcp_user_timeout_ms",
    "user",
];
/// Parameters whose values may hold an `@` as it is.
const WITH_AT: [&str; 4] = ["application_name", "options", "password", "user"];

/// A database's URL. It may hold a password, so it is never shown whole: [`Url::shown`] leaves out what may be one. `Debug` adds a
/// digest of the parameters that are left out but for passwords, so that two URLs that lead to different rows are told apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(String);

/// The parts of a URL, as they are written.
struct Parts<'a> {
    scheme: &'a str,
    user: &'a str,
    password: Option<&'a str>,
    host: &'a str,
    path: &'a str,
    query: &'a str,
}

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
        parameters(self.0.split_once('?').map_or("", |(_, query)| query))
    }

    /// The same URL with only those parameters whose names are wanted.
    pub fn with(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let Some((head, query)) = self.0.split_once('?') else { return self.clone() };
        let name = |pair: &&str| wanted(pair.split_once('=').map_or(*pair, |(name, _)| name));
        let kept: Vec<&str> = query.split('&').filter(name).collect();
        Self(if kept.is_empty() { head.to_owned() } else { format!("{head}?{}", kept.join("&")) })
    }

    /// Whether it is certain which part is what.
    ///
    /// # Errors
    /// A URL of which another part than the password may be one (exit 2). Nothing of it is repeated.
    pub fn check(&self) -> Result<()> {
        if parts(&self.0).is_some_and(|parts| parts.are_certain()) {
            return Ok(());
        }
        Err(Error::usage("user, password, host and database of the `url` cannot be told apart").help(
            "percent-encode what the password holds: `@` is %40, `/` is %2F, `?` is %3F, `#` is %23, `:` is %3A, `%` is %25; \
             the form is `SCHEME://USER:PASSWORD@HOST:PORT/DATABASE`",
        ))
    }

    /// Whether it holds a password, or something that may be one. A `${NAME}` in the place of one is none.
    pub fn has_password(&self) -> bool {
        let text = without_variables(&self.0);
        let Some(parts) = parts(&text) else { return false };
        !parts.are_certain()
            || parts.password.is_some_and(|password| !password.is_empty())
            || parts.query.split('&').any(|pair| match pair.split_once('=') {
                Some((name, value)) => !HARMLESS.contains(&name) && !value.is_empty(),
                None => !pair.is_empty() && !HARMLESS.contains(&pair),
            })
    }

    /// The URL without its password, and with those parameters only that cannot hold one.
    pub fn shown(&self) -> String {
        let Some(parts) = parts(&self.0) else { return "…".to_owned() };
        let Parts { scheme, user, host, path, query, .. } = parts;
        if !parts.are_certain() {
            return format!("{scheme}://…");
        }
        let at = if user.is_empty() { "" } else { "@" };
        let kept: Vec<String> = parameters(query)
            .filter(|(name, value)| is_harmless(name, value))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mark = if kept.is_empty() { "" } else { "?" };
        format!("{scheme}://{user}{at}{host}{path}{mark}{}", kept.join("&"))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_left_out = |(name, value): &(&str, &str)| {
            !is_harmless(name, value) && !name.to_ascii_lowercase().contains("pass")
        };
        let left_out: Vec<(&str, &str)> = self.parameters().filter(is_left_out).collect();
        f.write_str(&self.shown())?;
        match left_out.is_empty() {
            true => Ok(()),
            false => write!(f, " {:032x}", xxh3_128(format!("{left_out:?}").as_bytes())),
        }
    }
}

impl Parts<'_> {
    /// Whether every character that divides a URL stands where only that can be meant.
    fn are_certain(&self) -> bool {
        let port = match self.host.rsplit_once(':') {
            Some((_, port)) if !port.contains(']') => port,
            _ => "",
        };
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.[]%".contains(&b));
        port.bytes().all(|b| b.is_ascii_digit())
            && !self.path.contains(['@', '#'])
            && !self.query.contains('#')
            && parameters(self.query)
                .all(|(name, value)| plain(name) && (!value.contains('@') || WITH_AT.contains(&name)))
    }
}

fn parts(url: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) =
        user.split_once(':').map_or((user, None), |(user, password)| (user, Some(password)));
    Some(Parts { scheme, user, password, host, path, query })
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether a parameter may be shown.
fn is_harmless(name: &str, value: &str) -> bool {
    HARMLESS.contains(&name) && !value.contains('@')
}

/// The text without every `${NAME}`.
fn without_variables(text: &str) -> String {
    let (mut kept, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        kept.push_str(before);
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    kept + rest
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
            ("postgres://me:s3cret@[::1]:5432/db", "postgres://me@[::1]:5432/db"),
            ("postgres://me:s3cret@[::1]/db?connect_timeout=5", "postgres://me@[::1]/db?connect_timeout=5"),
            ("mysql://me@host/db?pasword=s3cret&ssl-mode=required", "mysql://me@host/db?ssl-mode=required"),
            ("postgres://host/db?options=-c%20a=s3cret", "postgres://host/db"),
            ("postgres://host/db?password=s3@cret&port=1", "postgres://host/db?port=1"),
            ("postgres://host/db?user=me@there", "postgres://host/db"),
            ("host=127.0.0.1 password=s3cret", "…"),
        ] {
            assert_eq!(Url::new(url).shown(), shown);
            assert!(!format!("{:?}", Url::new(url)).contains("cret"));
        }
    }

    /// Whatever stands unescaped in a password, and wherever: the URL is refused, or all of the password is known to be one.
    #[test]
    fn no_part_of_a_password_is_shown() {
        let odd = [
            "?",
            "/",
            "@",
            "#",
            ":",
            "&",
            "=",
            "%",
            "[",
            "]",
            "?a=",
            "/a?b=",
            "@a/",
            "#a@",
            "?sslmode=",
            ":1/",
            "?a&b=@",
        ];
        let mut refused = 0;
        for first in odd {
            for second in ["", "?", "/", "@", "#", ":", "&c=", "1"] {
                for (before, after) in [
                    ("postgres://lp:", "@127.0.0.1:5432/db"),
                    ("mysql://lp:", "@h/db?ssl-mode=required"),
                    ("postgres://lp:", "@[::1]:1/db?user=lp"),
                    ("mysql://:", "@h:3306/"),
                    ("postgres://h/db?password=", "&sslmode=require"),
                ] {
                    for start in ["p4ss", ""] {
                        let url = Url::new(format!("{before}{start}{first}w0rd{second}zz{after}"));
                        let shown = url.shown();
                        assert!(
                            ["p4ss", "w0rd", "zz"].iter().all(|part| !shown.contains(part)),
                            "{}: {shown}",
                            url.secret()
                        );
                        let whole = url.check().err().map(|why| why.report()).unwrap_or_default();
                        assert!(
                            !whole.contains("w0rd") && (whole.is_empty() || whole.contains("%3F")),
                            "{whole}"
                        );
                        refused += usize::from(!whole.is_empty());
                        assert!(url.has_password(), "{}", url.secret());
                    }
                }
            }
        }
        assert!(refused > 100, "{refused}");
    }

    #[test]
    fn what_can_be_told_apart_is_taken() {
        for (url, taken) in [
            ("postgres://", true),
            ("postgres:///db?host=/run&user=me@there", true),
            ("postgres://me:p%40ss%2Fw%3Fo%23rd@host:5432/db", true),
            ("postgres://%2Frun%2Fpg/db?options[a]=b", true),
            ("mysql://me:p@ss@host/db", true),
            ("postgres://me:pa?ss@host/db", false),
            ("postgres://me:pa/ss@host/db", false),
            ("postgres://me:12/ss@host/db", false),
            ("postgres://me:pa#ss@host/db", false),
            ("mysql://me:s3@cr3t/x@host/db", false),
            ("mysql://me:s3cret", false),
            ("postgres://host/db#x", false),
            ("host=127.0.0.1", false),
        ] {
            assert_eq!(Url::new(url).check().is_ok(), taken, "{url}");
        }
    }

    #[test]
    fn what_is_not_shown_still_tells_urls_apart() {
        let debug = |query: &str| format!("{:?}", Url::new(format!("postgres://me@host/db?{query}")));
        assert_ne!(debug("options=-csearch_path%3Da"), debug("options=-csearch_path%3Db"));
        assert_eq!(debug("password=a"), debug("password=b"));
        assert_eq!(debug("sslmode=require"), "postgres://me@host/db?sslmode=require");
        assert!(!debug("options=-csearch_path%3Da").contains("search_path"));
    }

    #[test]
    fn a_variable_in_the_place_of_a_password_is_none() {
        for (url, has) in [
            ("postgres://me:s3cret@host/db", true),
            ("postgres://me:a@b@host/db", true),
            ("postgres://me:${PW}@host/db", false),
            ("postgres://me:${PW}x@host/db", true),
            ("postgres://me@${HOST}:${PORT}/db", false),
            ("postgres://me@host:5432/db?sslmode=require", false),
            ("postgres://me@host/db?password=x", true),
            ("postgres://me@host/db?pasword=x", true),
            ("postgres://me@host/db?sslPassword=${PW}", false),
            ("postgres://me:pa?ss@host/db", true),
            ("mysql://host/a:b", false),
            ("${DATABASE_URL}", false),
        ] {
            assert_eq!(Url::new(url).has_password(), has, "{url}");
        }
    }
}
