//! `Bounds`: between which samples a percentile lies, whatever the distribution of the samples is.

/// The 95th percentile: nineteen of twenty are below it.
pub(crate) const P95: f64 = 0.95;

/// With fewer samples the 95th percentile has no upper bound: with 58 good ones the doubt is still 0.95^58, more than 5 %.
pub(crate) const FEWEST: u32 = 59;

/// What samples show about a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It is within the limit.
    Within,
    /// It is over the limit.
    Over,
    /// Neither for sure.
    Neither,
}

/// The ranks, from 1, of the samples in order that bound the percentile that has this share below it, each with 95 % confidence: how
/// many of `n` samples are below it is binomial with that share, so that order statistics bound it without anything known about the
/// distribution (David and Nagaraja, Order Statistics, 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The highest sample that it is hardly below; `None` if there are no samples.
    pub(crate) lower: Option<u32>,
    /// The lowest sample that it is hardly above; `None` if there are too few.
    pub(crate) upper: Option<u32>,
}

impl Bounds {
    /// For a share of a half or more, and up to a thousand samples (of the 95th percentile, ten thousand): with more, the share to that
    /// power is no number any more.
    pub(crate) fn of(samples: u32, share: f64) -> Self {
        let mut bounds = Self { lower: None, upper: None };
        let odds = share / (1.0 - share);
        // How likely exactly, and at least, `rank` samples are below the percentile.
        let (mut exactly, mut at_least) = (share.powf(f64::from(samples)), 0.0);
        for rank in (1..=samples).rev() {
            at_least += exactly;
            if at_least <= 0.05 {
                bounds.upper = Some(rank);
            }
            if 0.95 <= at_least {
                bounds.lower = Some(rank);
                break;
            }
            // From C(n, k) share^k (1-share)^(n-k) to the same for k - 1.
            exactly *= f64::from(rank) / (odds * f64::from(samples - rank + 1));
        }
        bounds
    }
}

/// What it shows about a limit that at least this share of all has to be within that `within` of `samples` are.
pub(crate) fn shown(samples: u32, within: u32, share: f64) -> Shown {
    let Bounds { lower, upper } = Bounds::of(samples, share);
    if upper.is_some_and(|rank| rank <= within) {
        Shown::Within
    } else if lower.is_some_and(|rank| within < rank) {
        Shown::Over
    } else {
        Shown::Neither
    }
}

/// The largest share of bad ones that `good` of `samples` do not rule out with 95 % confidence, to a hundredth of a percent: the upper
/// bound of Clopper and Pearson (Biometrika 26, 1934), which without bad ones is about 3 of so many samples.
pub(crate) fn doubt(samples: u32, good: u32) -> f64 {
    let is_ruled_out = |points: &u32| shown(samples, good, 1.0 - f64::from(*points) / 1e4) == Shown::Within;
    (1..=5_000).find(is_ruled_out).map_or(1.0, |points| f64::from(points) / 1e4)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;

    #[track_caller]
    fn check(samples: u32, lower: Option<u32>, upper: Option<u32>) {
        assert_eq!(Bounds::of(samples, P95), Bounds { lower, upper }, "{samples}");
    }

    #[test]
    fn the_bounds_of_some_numbers_of_samples() {
        check(0, None, None);
        check(1, Some(1), None);
        check(FEWEST - 1, Some(52), None);
        check(FEWEST, Some(53), Some(59));
        check(100, Some(91), Some(99));
        check(200, Some(185), Some(196));
        check(300, Some(279), Some(292));
        check(400, Some(373), Some(388));
        check(1000, Some(938), Some(962));
        assert!(Bounds::of(10_000, P95).upper.is_some());
    }

    #[test]
    fn a_limit_is_kept_or_broken_only_beyond_doubt() {
        for (samples, within, expected) in [
            (0, 0, Shown::Neither),
            (FEWEST - 1, FEWEST - 1, Shown::Neither),
            (FEWEST, FEWEST, Shown::Within),
            (FEWEST, FEWEST - 1, Shown::Neither),
            (FEWEST, 53, Shown::Neither),
            (FEWEST, 52, Shown::Over),
            (300, 292, Shown::Within),
            (300, 291, Shown::Neither),
            (300, 279, Shown::Neither),
            (300, 278, Shown::Over),
            (300, 0, Shown::Over),
        ] {
            assert_eq!(shown(samples, within, P95), expected, "{within} of {samples}");
        }
    }

    /// Each is the largest share with which so few bad ones come in one of twenty runs: 1 - 0.05^(1/n) without any (about 3/n).
    #[test]
    fn what_is_not_ruled_out() {
        for (samples, good, most) in
            [(300, 300, 0.01), (400, 400, 0.0075), (299, 299, 0.01), (298, 298, 0.0101), (100, 100, 0.0296)]
        {
            assert!(
                (doubt(samples, good) - most).abs() < 1e-9,
                "{good} of {samples}: {}",
                doubt(samples, good)
            );
        }
        // By the tables of Clopper and Pearson, one-sided.
        for (samples, good, most) in [(20, 19, 0.2161), (50, 48, 0.1206), (100, 95, 0.1023)] {
            assert!(
                (doubt(samples, good) - most).abs() < 1.5e-4,
                "{good} of {samples}: {}",
                doubt(samples, good)
            );
        }
        assert!((doubt(0, 0) - 1.0).abs() < 1e-9 && (doubt(10, 2) - 1.0).abs() < 1e-9);
    }

    /// A number of any size, its lowest part first.
    #[derive(Clone, PartialEq, Eq)]
    struct Large(Vec<u32>);

    impl Large {
        fn of(small: u32) -> Self {
            Self(vec![small])
        }

        /// `self + other * factor`.
        fn plus(&self, other: &Self, factor: u32) -> Self {
            let mut carried = 0_u64;
            let mut parts = Vec::new();
            let at = |number: &Self, place: usize| number.0.get(place).copied().map_or(0, u64::from);
            for place in 0..=self.0.len().max(other.0.len()) {
                carried += at(self, place) + at(other, place) * u64::from(factor);
                parts.push(u32::try_from(carried & u64::from(u32::MAX)).unwrap());
                carried >>= 32;
            }
            assert_eq!(carried, 0);
            while parts.last() == Some(&0) {
                parts.pop();
            }
            Self(parts)
        }

        fn times(&self, factor: u32) -> Self {
            Self(Vec::new()).plus(self, factor)
        }

        fn cmp(&self, other: &Self) -> Ordering {
            let by_parts = || self.0.iter().rev().cmp(other.0.iter().rev());
            self.0.len().cmp(&other.0.len()).then_with(by_parts)
        }
    }

    /// By exact whole numbers: `(1 + 19)^n`, written out by Pascal's rule, has at place `k` how many of `20^n` equally likely
    /// outcomes have `k` samples below the percentile.
    #[test]
    fn the_bounds_are_those_of_exact_sums() {
        let mut row = vec![Large::of(1)];
        let mut all = Large::of(1);
        for samples in 1..=400_u32 {
            let left = |k: usize| row.get(k).cloned().unwrap_or(Large(Vec::new()));
            let right = |k: usize| k.checked_sub(1).map_or(Large(Vec::new()), left);
            row = (0..=row.len()).map(|k| left(k).plus(&right(k), 19)).collect();
            all = all.times(20);
            let mut at_least = Large(Vec::new());
            let mut expected = Bounds { lower: None, upper: None };
            for rank in (1..=samples).rev() {
                at_least = at_least.plus(&row[usize::try_from(rank).unwrap()], 1);
                let twenty_times = at_least.times(20);
                if twenty_times.cmp(&all) != Ordering::Greater {
                    expected.upper = Some(rank);
                }
                if twenty_times.cmp(&all.times(19)) != Ordering::Less {
                    expected.lower = Some(rank);
                    break;
                }
            }
            assert_eq!(Bounds::of(samples, P95), expected, "{samples}");
        }
    }
}
