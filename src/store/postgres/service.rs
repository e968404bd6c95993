//! Connection service files, which sqlx does not read.
//!
//! Format: <https://www.postgresql.org/docs/current/libpq-pgservice.html>; what the URL says goes before the file, and the file
//! before the other variables.

use std::env::{home_dir, var, var_os};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};
use crate::spec::Url;

/// The URL with what its service, if it names one, says besides.
///
/// # Errors
/// A service that no file defines; a file that cannot be read (exit 2).
pub(super) fn filled_in(url: &Url) -> Result<Url> {
    let named = url.parameters().find(|(name, _)| *name == "service").map(|(_, service)| service.to_owned());
    let Some(service) = named.or_else(|| var("PGSERVICE").ok()).filter(|service| !service.is_empty()) else {
        return Ok(url.clone());
    };
    let files = files();
    for file in files.iter().filter(|file| file.exists()) {
        let text = std::fs::read_to_string(file).or_failed(|| format!("cannot read {}", file.display()))?;
        if let Some(pairs) = section(&text, &service) {
            return filled(url, &pairs, file);
        }
    }
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    Err(Error::usage(format!("{}: no connection service `{service}` is defined", url.shown()))
        .help(format!("looked for [{service}] in {}; PGSERVICEFILE names another file", files.join(", "))))
}

/// The user's own file, then the system's.
fn files() -> Vec<PathBuf> {
    let own = var_os("PGSERVICEFILE")
        .map(PathBuf::from)
        .or_else(|| home_dir().map(|home| home.join(".pg_service.conf")));
    own.into_iter().chain(var_os("PGSYSCONFDIR").map(|d| PathBuf::from(d).join("pg_service.conf"))).collect()
}

/// The `name=value` lines of a section.
fn section<'a>(text: &'a str, wanted: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.find(|line| line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) == Some(wanted))?;
    let pairs = lines.take_while(|line| !line.starts_with('['));
    Some(
        pairs
            .map(|line| line.split_once('=').unwrap_or((line, "")))
            .map(|(n, v)| (n.trim(), v.trim()))
            .collect(),
    )
}

fn filled(url: &Url, pairs: &[(&str, &str)], file: &Path) -> Result<Url> {
    let given = given(url);
    let mut whole = url.secret().to_owned();
    let mut separator = if whole.contains('?') { '&' } else { '?' };
    for (name, value) in pairs {
        if *name == "service" || *name == "ldap" || name.is_empty() {
            return Err(Error::usage(format!("{}: a service cannot say `{name}`", file.display()))
                .help("it has lines like `host=db.example.org`"));
        }
        if !given.contains(name) {
            write!(whole, "{separator}{name}={}", encoded(value)).expect("a text grows");
            separator = '&';
        }
    }
    Ok(Url::new(whole))
}

/// What a URL says itself, by the names of its parameters.
fn given(url: &Url) -> Vec<&str> {
    let head = url.secret().split('?').next().unwrap_or_default();
    let rest = head.split_once("://").map_or(head, |(_, rest)| rest);
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (host, ""),
    };
    let parts =
        [("user", user), ("password", password), ("host", host), ("port", port), ("dbname", database)];
    let own = parts.into_iter().filter(|(_, value)| !value.is_empty());
    own.chain(url.parameters()).map(|(name, _)| name).collect()
}

/// As a URL writes a value: everything but letters and digits by its bytes.
fn encoded(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => text.push(byte.into()),
            false => write!(text, "%{byte:02X}").expect("a text grows"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_says_what_the_url_does_not() {
        let text = "# ours\n[other]\nhost=x\n\n[shop]\nhost = db.example.org\nport=5433\nuser=me\npassword=p&w=1\n[last]\nport=1\n";
        let pairs = section(text, "shop").unwrap();
        let whole = |url: &str| filled(&Url::new(url), &pairs, Path::new("f")).unwrap().secret().to_owned();
        assert_eq!(
            whole("postgres:///db?service=shop"),
            "postgres:///db?service=shop&host=db%2Eexample%2Eorg&port=5433&user=me&password=p%26w%3D1"
        );
        assert_eq!(whole("postgres://you@[::1]/?port=1"), "postgres://you@[::1]/?port=1&password=p%26w%3D1");
        assert!(section(text, "none").is_none());
        assert!(filled(&Url::new("postgres:///"), &[("service", "x")], Path::new("f")).is_err());
    }
}
