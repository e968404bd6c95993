//! "Did you mean": the nearest of the words that would have been right.

/// The candidate that was most likely meant, if any is near enough.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(word);
    let farthest = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = plain(candidate);
            let distance = strsim::damerau_levenshtein(&wanted, &other);
            let begun = wanted.len() >= 3 && other.starts_with(&wanted);
            (distance <= farthest || begun).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A help line: the nearest candidate, else all of them.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
    what: &str,
) -> String {
    match closest(word, candidates.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => {
            let all: Vec<_> = candidates.into_iter().map(|c| format!("`{c}`")).collect();
            format!("{what}: {}", all.join(", "))
        }
    }
}

fn plain(word: &str) -> String {
    word.to_lowercase().replace(['-', ' '], "_")
}
