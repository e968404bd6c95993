//! Physical column names: SQL does not tell `Name` from `name`, so the second one is staged as `name~2`.

use std::collections::HashSet;

/// What the engine calls the place of a row in its parts. A column of such a name would hide that place, and is staged under
/// another name.
const ENGINE_NAMES: [&str; 2] = ["file_index", "file_row_number"];

/// One physical name for each column, in order: the first of those that differ only in the case of ASCII letters (which is
/// what the engine ignores) keeps its name, the others get `~2`, `~3` and so on.
pub(crate) fn physical_names(names: &[String]) -> Vec<String> {
    let lower = |name: &str| name.to_ascii_lowercase();
    // A name that stands in the file is never given away to another column.
    let mut taken: HashSet<String> = names.iter().map(|name| lower(name)).collect();
    let mut seen: HashSet<String> = ENGINE_NAMES.map(str::to_owned).into();
    let mut unique = |name: &String| {
        if seen.insert(lower(name)) {
            return name.clone();
        }
        let free = (2u64..).map(|n| format!("{name}~{n}")).find(|candidate| taken.insert(lower(candidate)));
        free.expect("numbers do not run out")
    };
    names.iter().map(&mut unique).collect()
}

/// The first of the names that parts cannot have, because recon's own columns begin so.
pub(crate) fn reserved<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    names.into_iter().find(|name| name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("__recon_")))
}

/// The first of the names that a file which is read where it lies cannot have either.
pub(crate) fn of_the_engine<'n>(names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    names.into_iter().find(|name| ENGINE_NAMES.iter().any(|own| own.eq_ignore_ascii_case(name)))
}

#[cfg(test)]
mod tests {
    use super::physical_names;

    fn physical(names: &[&str]) -> Vec<String> {
        physical_names(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn names_that_differ_in_case_are_numbered_in_order() {
        assert_eq!(physical(&["id", "Name", "name", "NAME"]), ["id", "Name", "name~2", "NAME~3"]);
    }

    #[test]
    fn a_name_of_the_file_is_not_given_to_another_column() {
        assert_eq!(physical(&["a", "A", "A~2"]), ["a", "A~3", "A~2"]);
        assert_eq!(physical(&["É", "é"]), ["É", "é"]);
    }

    #[test]
    fn the_engine_keeps_its_names() {
        assert_eq!(physical(&["File_Index", "file_row_number"]), ["File_Index~2", "file_row_number~2"]);
    }
}
