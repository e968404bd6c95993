//! `${NAME}` in strings of datasets: secrets and places come from the environment.
//!
//! Only datasets are interpolated. What an entity means (its SQL, its rules) must be in the spec's text alone, because the
//! digest of that text is what tells a changed spec from the same one.

/// Why a string cannot be interpolated.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The environment has no such variable.
    Unset(String),
    /// A `${` without its `}`.
    Unclosed,
    /// What stands in the braces is no variable's name.
    NotAName(String),
}

/// The string with every `${NAME}` replaced and every `$${` turned into a plain `${`.
pub(super) fn interpolate(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Fault> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$${") {
            out.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let (name, after) = after.split_once('}').ok_or(Fault::Unclosed)?;
            if !is_name(name) {
                return Err(Fault::NotAName(name.to_owned()));
            }
            out.push_str(&env(name).ok_or_else(|| Fault::Unset(name.to_owned()))?);
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
