//! `matches`: patterns for branches and tags in `shipkit.yml`, a subset of GitHub's.

/// Whether `name` fits `pattern`: `*` stands for any text without `/`, `**` for any text, all else for itself.
///
/// GitHub's filter patterns also know `?`, `+`, `[]` and `!`; the configuration refuses those
/// ([`is_supported`]), because half of a pattern language would match what nobody meant.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some(star) = pattern.find('*') else { return pattern == name };
    let (literal, rest) = pattern.split_at(star);
    let Some(name) = name.strip_prefix(literal) else { return false };
    let (rest, may_cross) = match rest.strip_prefix("**") {
        Some(rest) => (rest, true),
        None => (rest.strip_prefix('*').unwrap_or(rest), false),
    };
    let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
    ends.take_while(|end| may_cross || !name.get(..*end).is_some_and(|taken| taken.contains('/')))
        .any(|end| name.get(end..).is_some_and(|left| matches(rest, left)))
}

/// Whether a pattern uses only what [`matches`] knows. At most four stars, so that matching stays cheap.
#[must_use]
pub fn is_supported(pattern: &str) -> bool {
    !pattern.is_empty()
        && !pattern.contains(['?', '+', '[', ']', '!', '\\'])
        && pattern.replace("**", "*").matches('*').count() <= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, fits: &[&str], fits_not: &[&str]) {
        for name in fits {
            assert!(matches(pattern, name), "{pattern} should fit {name}");
        }
        for name in fits_not {
            assert!(!matches(pattern, name), "{pattern} should not fit {name}");
        }
    }

    #[test]
    fn a_star_stops_at_a_slash_and_two_do_not() {
        check("main", &["main"], &["main2", "a/main", ""]);
        check("feat/*", &["feat/a", "feat/"], &["feat/a/b", "feat"]);
        check("feat/**", &["feat/a", "feat/a/b"], &["fix/a"]);
        check("v*", &["v1.2.3", "v"], &["1.2", "v/1"]);
        check("v*.*", &["v1.2", "v1.2.3"], &["v1"]);
        check("**", &["", "a/b"], &[]);
    }

    #[test]
    fn a_pattern_that_would_be_half_understood_is_refused() {
        for pattern in ["", "v[0-9]", "!main", "a?", "a+", "*a*b*c*d*e"] {
            assert!(!is_supported(pattern), "{pattern}");
        }
        assert!(is_supported("release/**"));
    }
}
