//! The spec's text, and how it gets onto the disk: whole or not at all, and never in the place of another.

use std::io::Write;
use std::path::Path;

use super::find::{Described, Entity, Found};
use super::mapping::{Field, How, Place};
use super::sample::Column;
use crate::error::{Context, Error, Result};
use crate::reconcile::report::terminal::{plain, thousands};

/// The text of a spec.
pub(super) fn text(found: &Found<'_>, source: &str, target: &str) -> String {
    let mut out = format!(
        "# Written by `recon init` for {} (source) and {} (target).\n\
         # What it found stands beside each line: look it over, then run `recon check`, `recon stage` and `recon diff`.\n",
        plain(source),
        plain(target)
    );
    for dataset in &found.datasets {
        out.push('\n');
        out.push_str(&about(dataset));
        let table = dataset.table.as_deref().map(|table| ("table", table));
        let options: Vec<(&str, &str)> = table.into_iter().collect();
        out.push_str(&dataset_table(&dataset.name, dataset.location, &options));
    }
    for entity in &found.entities {
        out.push('\n');
        out.push_str(&entity_table(entity, found));
    }
    if !found.left_out.is_empty() {
        out.push_str("\n# In no entity, so not compared:\n");
        found.left_out.iter().for_each(|what| out.push_str(&format!("# - {}\n", plain(what))));
    }
    out
}

/// The table of a dataset.
pub(super) fn dataset_table(
    name: &str,
    location: &super::location::Location,
    more: &[(&str, &str)],
) -> String {
    let mut out = format!("[datasets.{}]\nkind = {}\n", toml_key(name), toml_text(location.kind));
    let own = location.options.iter().map(|(key, value)| (*key, value.as_str()));
    for (key, value) in own.chain(more.iter().copied()) {
        out.push_str(&format!("{key} = {}\n", toml_text(value)));
    }
    out
}

fn about(dataset: &Described<'_>) -> String {
    let sample = &dataset.sample;
    let mut out = match (sample.rows, sample.is_whole) {
        (0, _) => "# It has no rows.\n".to_owned(),
        (n, true) => format!("# All its rows were read: {}.\n", thousands(n)),
        (n, false) => {
            format!("# Its first {} rows were read; what the others hold is not known.\n", thousands(n))
        }
    };
    if sample.failures > 0 {
        out.push_str(&format!(
            "# {} rows did not parse; `recon stage` says which.\n",
            thousands(sample.failures)
        ));
    }
    if let Some((variable, _)) = &dataset.location.secret {
        out.push_str(&format!(
            "# The URL has a password, so it stays out of this file: export {variable}=…\n"
        ));
    }
    out
}

fn entity_table(entity: &Entity, found: &Found<'_>) -> String {
    let name = toml_key(&entity.name);
    let [a, b] = entity.datasets.map(|at| &found.datasets[at]);
    let mut out =
        format!("[entities.{name}]\nsource = {}\ntarget = {}\n", toml_text(&a.name), toml_text(&b.name));
    for (option, group) in ["where", "target_where"].into_iter().zip(&entity.groups) {
        if let Some(group) = group.as_ref().filter(|group| !group.condition.is_empty()) {
            out.push_str(&format!("{option} = {}\n", toml_text(&group.condition)));
        }
    }
    match &entity.key {
        Some(key) => {
            let sure = if key.is_sure { "" } else { "Not sure, look at it: " };
            let fields: Vec<String> = key.fields.iter().map(|field| toml_text(field)).collect();
            out.push_str(&format!("# {sure}{}.\nkey = [{}]\n", plain(&key.why), fields.join(", ")));
        }
        None => out.push_str(
            "# TO FILL IN: nothing looks like a key. Without one whole rows are compared, and no pairs of records.\n\
             # key = [\"…\"]\n",
        ),
    }
    let mapping = &entity.mapping;
    if mapping.fields.is_empty() {
        out.push_str(&format!(
            "# TO FILL IN: no two columns have the same name. Say which correspond:\n\
             # [entities.{name}.fields]\n# target_column = \"source_column\"\n"
        ));
    } else {
        out.push_str(&format!("\n[entities.{name}.fields]\n"));
        mapping.fields.iter().for_each(|field| out.push_str(&field_line(field, entity, [a, b])));
    }
    let sides = [(&mapping.only_source, a, 0), (&mapping.only_target, b, 1)];
    for ((columns, dataset, side), word) in sides.into_iter().zip(["source", "target"]) {
        if !columns.is_empty() {
            out.push_str(&format!("# Only in the {word}, not compared:\n"));
        }
        for column in columns {
            let ty = type_of(column, dataset, entity.rows[side]);
            out.push_str(&format!("#   {}  {ty}\n", toml_key(&column.name)));
        }
    }
    out
}

/// A field and, behind it, what is known of it.
fn field_line(field: &Field, entity: &Entity, [source, target]: [&Described<'_>; 2]) -> String {
    let mut options = Vec::new();
    let is_own_name =
        field.source.column().is_some_and(|column| column.name == field.name && !column.is_inside);
    if !is_own_name {
        options.push(format!("from = {}", toml_text(&field.source.sql())));
    }
    if field.target.column().is_none_or(|column| column.is_inside) {
        options.push(format!("to = {}", toml_text(&field.target.sql())));
    }
    if let Some(ty) = field.ty {
        options.push(format!("type = {}", toml_text(&ty.to_string())));
    }
    let value = match options.as_slice() {
        // The field's own name, whatever characters it has.
        [] if is_plain(&field.name) => toml_text(&field.name),
        [] => "{}".to_owned(),
        [from] if from.starts_with("from = ") => toml_text(&field.source.sql()),
        options => format!("{{ {} }}", options.join(", ")),
    };
    let of = |place: &Place, dataset: &Described<'_>, rows| match place {
        Place::Column(column) => type_of(column, dataset, rows),
        Place::Rest { .. } => "text of the key".to_owned(),
    };
    let types = [of(&field.source, source, entity.rows[0]), of(&field.target, target, entity.rows[1])];
    let types = if types[0] == types[1] { types[0].clone() } else { types.join(" → ") };
    let how = match field.how {
        How::Name => String::new(),
        How::Spelling => "; the names differ in spelling".to_owned(),
        How::Entity => "; by the entity's name".to_owned(),
        How::Values { found, of } => {
            format!("; {} of {} different values are in the other column", thousands(found), thousands(of))
        }
        How::Guess => "; a guess, look at it".to_owned(),
    };
    let remark = field.remark.as_ref().map_or_else(String::new, |remark| format!("; {}", plain(remark)));
    format!("{} = {value}  # {types}{how}{remark}\n", toml_key(&field.name))
}

/// The type of a column; of an attribute also how many of the items have it.
pub(super) fn type_of(column: &Column, dataset: &Described<'_>, rows: u64) -> String {
    let ty = plain(&column.store.describe());
    match dataset.sample.dataset.kind.is_schemaless() {
        true => format!("{ty}, in {}", share(column.present, rows)),
        false => ty,
    }
}

/// A share in percent, in which neither all nor nothing is rounded.
pub(super) fn share(part: u64, of: u64) -> String {
    if of == 0 || part == of {
        return format!("{} %", if of == 0 { 0 } else { 100 });
    }
    let percent = part as f64 * 100.0 / of as f64;
    match percent {
        _ if part == 0 => "0 %".to_owned(),
        p if p < 0.1 => "less than 0.1 %".to_owned(),
        p => format!("{:.1} %", p.min(99.9)),
    }
}

/// A text as a TOML string. JSON's strings are ones but for U+007F, which TOML wants escaped.
pub(super) fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn toml_key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { toml_text(name) }
}

/// Whether SQL takes the name as it is.
pub(super) fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What of a name can be the name of a dataset.
pub(super) fn bare(name: &str) -> String {
    let kept: String = name.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect();
    let kept = kept.trim_matches('_');
    if kept.is_empty() { "record".to_owned() } else { kept.to_owned() }
}

/// The error for a spec that is there already.
pub(super) fn is_there(path: &Path) -> Error {
    Error::usage(format!("{} is there already, and init overwrites nothing", path.display()))
        .help("name another with `--spec PATH`, or move it away")
}

/// Writes a spec that is not there yet.
///
/// # Errors
/// A file of that name (exit 2), which stays as it is; a folder that is not there, a disk that is full (exit 4).
pub(super) fn create(path: &Path, text: &str) -> Result<()> {
    let fail = || format!("cannot write {}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As any other file of the user's, umask applied: there is no secret in it.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let mut builder = tempfile::Builder::new();
    let mut file = builder.prefix(".recon-init-").permissions(mode).tempfile_in(folder).or_failed(fail)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).or_failed(fail)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Err(is_there(path)),
        Err(error) => Err(Error::failed(fail()).caused_by(error.error)),
    }
}
