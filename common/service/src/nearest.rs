//! The known name that is nearest to one that is not known: for refusals that help.

/// The name of `known` that takes the fewest edits (a character put in, left out, changed, or two neighbours exchanged) to
/// become `name`; `None` when every name is so far away that it could not have been meant, or when nothing is known.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<char> = name.chars().take(MAX_CHARS).collect();
    known
        .into_iter()
        .map(|other| (distance(&name, other), other))
        .min()
        .filter(|(edits, other)| *edits <= other.chars().count().max(name.len()) / 2)
        .map(|(_, other)| other)
}

/// Names are compared by so many of their first characters: a hostile one must not cost more.
const MAX_CHARS: usize = 64;

/// The number of edits, by the restricted Damerau-Levenshtein rule.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().take(MAX_CHARS).collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = usize::from(a[i - 1] != b[j - 1]);
                let mut least = (rows[i - 1][j - 1] + changed)
                    .min(rows[i - 1][j] + 1)
                    .min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_what_was_meant() {
        let known = ["timeout_ms", "content", "w", "expected_seq"];
        for (typed, meant) in [
            ("timeout", Some("timeout_ms")),
            ("contnet", Some("content")),
            ("Content", Some("content")),
            ("expectedSeq", Some("expected_seq")),
            ("w", Some("w")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
        assert_eq!(nearest("w", []), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), known), None);
    }

    #[test]
    fn neighbours_exchanged_are_one_edit() {
        let edits = |a: &str, b| distance(&a.chars().collect::<Vec<_>>(), b);
        assert_eq!(edits("DEFUALT", "DEFAULT"), 1);
        assert_eq!(edits("abc", "abc"), 0);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
