//! From a path to a checked spec.

use std::io::ErrorKind;
use std::path::Path;

use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;
use toml::de::DeTable;
use xxhash_rust::xxh3::xxh3_128;

use super::Spec;
use super::check::check;
use super::interpolate::{Fault, interpolate};
use super::place::{Problem, SpecText, shown};
use super::raw::RawSpec;
use super::unknown::unknown_keys;
use crate::error::{Error, Result};

/// Reads and checks a spec file. `env` is asked for the variables of `${NAME}`.
///
/// # Errors
/// A file that is missing, unreadable or wrong in any way: always of kind usage (exit 2), with the place where there is one.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Spec> {
    let bytes = std::fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::usage(format!("there is no spec file {}", path.display()))
            .help("name another with `--spec PATH`, or let `recon init SOURCE TARGET` write one"),
        ErrorKind::IsADirectory => {
            Error::usage(format!("the spec must be a file, and {} is a folder", path.display()))
                .help("name the file in it, as in `--spec FOLDER/recon.toml`")
        }
        _ => Error::usage(format!("cannot read the spec file {}", path.display())).caused_by(error),
    })?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse(text, path, env),
        Err(error) => {
            let at = error.valid_up_to();
            let text = String::from_utf8_lossy(&bytes);
            let message = "this is not valid UTF-8".to_owned();
            let help = Some("save the file as UTF-8".to_owned());
            Err(SpecText { path, text: &text }.error(vec![Problem { span: at..at, message, help }]))
        }
    }
}

/// Checks the text of a spec. `path` is named in errors, and its folder is where relative locations start.
///
/// # Errors
/// Anything that is wrong with the text: of kind usage (exit 2), with the place.
pub fn parse(text: &str, path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Spec> {
    let digest = digest_of(text.as_bytes());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let place = SpecText { path, text };
    let document = DeTable::parse(text).map_err(|error| place.error(vec![toml_problem(&error)]))?;
    let unknown = unknown_keys(document.get_ref());
    if !unknown.is_empty() {
        return Err(place.error(unknown));
    }
    let raw: RawSpec = toml::from_str(text).map_err(|error| place.error(vec![toml_problem(&error)]))?;
    let (datasets, entities, hooks) = check(&raw, place, document.get_ref(), env)?;
    Ok(Spec { path: path.to_owned(), digest, datasets, entities, hooks, text: text.to_owned() })
}

/// Digest and text of a spec file as they may be shown, whether or not it is right; `None` where it cannot be read.
pub fn as_shown(path: &Path) -> Option<(String, String)> {
    let bytes = std::fs::read(path).ok()?;
    Some((digest_of(&bytes), shown(path, &String::from_utf8_lossy(&bytes))))
}

fn digest_of(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

/// A text with every `${NAME}` replaced, as in the strings of a dataset.
///
/// # Errors
/// A variable that is not set, a `${` that is no variable: of kind usage (exit 2). The text itself is not repeated.
pub fn interpolated(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    interpolate(text, env).map_err(|fault| match fault {
        Fault::Unset(name) => Error::usage(format!("the environment variable `{name}` is not set")).help(
            format!("set it (`export {name}=…`), or write `$${{{name}}}` where the text itself is meant"),
        ),
        Fault::NotAName(_) | Fault::Unclosed => Error::usage("a `${` that is no `${NAME}`")
            .help("write `${NAME}`, or `$${` where the text `${` itself is meant"),
    })
}

/// The zone that a dataset's `timezone` names: an IANA name or a fixed offset such as `+02:00`.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    // Without a sign it would also be read as a POSIX rule, which nobody means.
    if name.starts_with(['+', '-']) {
        DateTimeParser::new().parse_time_zone(name).ok()
    } else {
        TimeZone::get(name).ok()
    }
}

/// A syntax or type error in the words of TOML rather than serde's.
fn toml_problem(error: &toml::de::Error) -> Problem {
    let message = error.message().replace("a sequence", "an array").replace("a map", "a table");
    let (message, help) =
        match message.strip_prefix("invalid type: ").and_then(|m| m.split_once(", expected ")) {
            Some((found, wanted)) => (format!("expected {wanted}, found {found}"), None),
            None => (message, Some("this is not valid TOML: see https://toml.io".to_owned())),
        };
    let help = help.or_else(|| Some("`recon schema` prints what belongs where".to_owned()));
    Problem { span: error.span().unwrap_or(0..0), message, help }
}
