//! `Budget`: how large an image may be, and the rules about that.

use super::size::human;
use super::traces::listed;
use super::{Baseline, ImageFacts};
use crate::verdict::Outcome;

/// The most that an image may take; what is not given is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of all layers as the registry stores them.
    pub compressed: Option<u64>,
    /// Bytes of all layers unpacked.
    pub unpacked: Option<u64>,
    /// Bytes unpacked beyond what the baseline had.
    pub growth: Option<u64>,
    /// Bytes of files that a later layer replaces or removes.
    pub wasted: Option<u64>,
    /// How many layers it has.
    pub layers: Option<u64>,
}

/// `size`: compressed and unpacked.
pub(super) fn size(facts: &ImageFacts, budget: &Budget) -> Outcome {
    let both = format!("{} compressed, {} unpacked", human(facts.compressed), human(facts.unpacked));
    let limits =
        [(facts.compressed, budget.compressed, "compressed"), (facts.unpacked, budget.unpacked, "unpacked")];
    let said = |is_said: fn(u64, u64) -> bool| {
        let said = limits.iter().filter_map(|(size, limit, what)| {
            let limit = limit.filter(|limit| is_said(*size, *limit))?;
            Some(format!("{} {what}", human(limit)))
        });
        said.collect::<Vec<_>>().join(" and ")
    };
    let over = said(|size, limit| limit < size);
    if !over.is_empty() {
        return Outcome::fail(format!("it is larger than its budget of {over}: {both}"));
    }
    let all = said(|_, _| true);
    Outcome::pass(if all.is_empty() { both } else { format!("{both}, budget {all}") })
}

/// `growth`, where it is limited.
pub(super) fn growth(facts: &ImageFacts, baseline: Option<&Baseline>, limit: u64) -> Outcome {
    let Some(Baseline { what, unpacked, .. }) = baseline else {
        return Outcome::skipped("there is nothing that it could have grown from");
    };
    let grown = facts.unpacked.saturating_sub(*unpacked);
    let said = format!("{} unpacked beyond the {} of {what}", human(grown), human(*unpacked));
    if grown <= limit {
        return Outcome::pass(format!("{said}, budget {}", human(limit)));
    }
    Outcome::fail(format!("it has {said}, over the budget of {}", human(limit)))
}

/// `wasted`, where it is limited.
pub(super) fn wasted(facts: &ImageFacts, limit: u64) -> Outcome {
    let traces = &facts.traces;
    if traces.wasted <= limit {
        return Outcome::pass(format!("{} wasted, budget {}", human(traces.wasted), human(limit)));
    }
    let worst: Vec<_> = traces
        .most_wasted
        .iter()
        .map(|one| format!("{} in `{}` ({})", human(one.bytes), one.path, one.origin))
        .collect();
    Outcome::fail(format!(
        "later layers replace or remove {} of its files, over the budget of {}; most of it is {}",
        human(traces.wasted),
        human(limit),
        listed(&worst)
    ))
}

/// `layers`, where their number is limited.
pub(super) fn layers(facts: &ImageFacts, limit: u64) -> Outcome {
    if facts.layers <= limit {
        return Outcome::pass(format!("{} layers, budget {limit}", facts.layers));
    }
    Outcome::fail(format!("it has {} layers, over the budget of {limit}", facts.layers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Origin, Traces, Wasted};
    use crate::verdict::Verdict;

    fn facts() -> ImageFacts {
        let wasted = |path: &str, bytes| Wasted {
            path: path.to_owned(),
            bytes,
            origin: Origin { layer: 1, made_by: Some("RUN x".to_owned()) },
        };
        let most_wasted = vec![wasted("a", 600_000), wasted("b", 400_000)];
        let traces = Traces { wasted: 1_000_000, most_wasted, ..Traces::default() };
        ImageFacts {
            compressed: 10_000_000,
            unpacked: 30_000_000,
            layers: 3,
            traces,
            ..ImageFacts::default()
        }
    }

    #[test]
    fn a_budget_is_kept_to_the_last_byte_and_says_which_it_is() {
        for (compressed, unpacked, cause) in [
            (None, None, "10.0 MB compressed, 30.0 MB unpacked"),
            (Some(10_000_000), None, "10.0 MB compressed, 30.0 MB unpacked, budget 10.0 MB compressed"),
            (
                Some(10_000_000),
                Some(30_000_000),
                "10.0 MB compressed, 30.0 MB unpacked, budget 10.0 MB compressed and 30.0 MB unpacked",
            ),
        ] {
            let budget = Budget { compressed, unpacked, ..Budget::default() };
            assert_eq!(size(&facts(), &budget), Outcome::pass(cause));
        }
        for (compressed, unpacked, over) in [
            (Some(9_999_999), None, "9.9 MB compressed"),
            (None, Some(29_999_999), "29.9 MB unpacked"),
            (Some(1), Some(30_000_000), "1 B compressed"),
            (Some(1), Some(2), "1 B compressed and 2 B unpacked"),
        ] {
            let budget = Budget { compressed, unpacked, ..Budget::default() };
            let cause =
                format!("it is larger than its budget of {over}: 10.0 MB compressed, 30.0 MB unpacked");
            assert_eq!(size(&facts(), &budget), Outcome::fail(cause));
        }
    }

    #[test]
    fn waste_is_told_with_what_wastes_most() {
        assert_eq!(wasted(&facts(), 1_000_000), Outcome::pass("1.0 MB wasted, budget 1.0 MB"));
        let cause = "later layers replace or remove 1.0 MB of its files, over the budget of 999.9 kB; most of it is 600.0 kB \
                     in `a` (layer 1, made by `RUN x`); 400.0 kB in `b` (layer 1, made by `RUN x`)";
        assert_eq!(wasted(&facts(), 999_999), Outcome::fail(cause));
    }

    #[test]
    fn growth_is_what_is_beyond_the_baseline() {
        let of = |unpacked, limit| {
            let baseline = Baseline { what: "what `x` has".to_owned(), unpacked, ..Baseline::default() };
            growth(&facts(), Some(&baseline), limit)
        };
        let pass = "10.0 MB unpacked beyond the 20.0 MB of what `x` has, budget 10.0 MB";
        assert_eq!(of(20_000_000, 10_000_000), Outcome::pass(pass));
        let fail = "it has 10.0 MB unpacked beyond the 20.0 MB of what `x` has, over the budget of 9.9 MB";
        assert_eq!(of(20_000_000, 9_999_999), Outcome::fail(fail));
        assert_eq!(of(40_000_000, 0).verdict, Verdict::Pass);
        assert_eq!(growth(&facts(), None, 0).verdict, Verdict::Skipped);
    }

    #[test]
    fn layers_are_counted() {
        assert_eq!(layers(&facts(), 3).verdict, Verdict::Pass);
        assert_eq!(layers(&facts(), 2), Outcome::fail("it has 3 layers, over the budget of 2"));
    }
}
