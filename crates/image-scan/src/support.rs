//! Until when those who make a distribution or a runtime publish fixes for it.
//!
//! The table is of 2026-11-28. Debian and Ubuntu were compared with the package distro-info-data 0.58: Debian with LTS, and without what is
//! paid for (ELTS, ESM). Who decides of the others is alpinelinux.org/releases, `schedule.json` of nodejs/Release, and the Python
//! Developer's Guide ("Status of Python versions", whose months are taken to end on their last day); their days were not all compared
//! with these. What is not in the table is left out: of that nothing is said.

use jiff::civil::{Date, date};
pub(crate) use shipkit_core::policy::{EndOfLife, Support};

/// What the table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    Debian,
    Ubuntu,
    Alpine,
    Node,
    Python,
}

impl Product {
    /// A distribution by its `ID` (`os-release(5)`).
    pub(crate) fn of_system(id: &str) -> Option<Self> {
        match id {
            "debian" => Some(Self::Debian),
            "ubuntu" => Some(Self::Ubuntu),
            "alpine" => Some(Self::Alpine),
            _ => None,
        }
    }

    /// The part of a version by which its fixes end: `3.21` of Alpine 3.21.2.
    pub(crate) fn branch(self, version: &str) -> String {
        let count = match self {
            Self::Debian | Self::Node => 1,
            Self::Ubuntu | Self::Alpine | Self::Python => 2,
        };
        version.split('.').take(count).collect::<Vec<_>>().join(".")
    }

    /// The last day with fixes for this version; none where it is not known.
    fn until(self, version: &str) -> Option<Date> {
        let branch = self.branch(version);
        let known = self.table().iter().find(|(known, _)| *known == branch);
        known.map(|(_, until)| *until)
    }

    /// How long there are fixes for this version, under this name.
    pub(crate) fn support(self, version: &str, what: String) -> Support {
        Support { what, until: self.until(version) }
    }

    const fn table(self) -> &'static [(&'static str, Date)] {
        match self {
            Self::Debian => DEBIAN,
            Self::Ubuntu => UBUNTU,
            Self::Alpine => ALPINE,
            Self::Node => NODE,
            Self::Python => PYTHON,
        }
    }
}

const DEBIAN: &[(&str, Date)] = &[
    ("7", date(2018, 5, 31)),
    ("8", date(2020, 6, 30)),
    ("9", date(2022, 6, 30)),
    ("10", date(2024, 6, 30)),
    ("11", date(2026, 8, 31)),
    ("12", date(2028, 6, 30)),
    ("13", date(2030, 6, 30)),
];

const UBUNTU: &[(&str, Date)] = &[
    ("14.04", date(2019, 4, 25)),
    ("14.10", date(2015, 7, 23)),
    ("15.04", date(2016, 2, 4)),
    ("15.10", date(2016, 7, 28)),
    ("16.04", date(2021, 4, 30)),
    ("16.10", date(2017, 7, 20)),
    ("17.04", date(2018, 1, 13)),
    ("17.10", date(2018, 7, 19)),
    ("18.04", date(2023, 5, 31)),
    ("18.10", date(2019, 7, 18)),
    ("19.04", date(2020, 1, 23)),
    ("19.10", date(2020, 7, 17)),
    ("20.04", date(2025, 5, 29)),
    ("20.10", date(2021, 7, 22)),
    ("21.04", date(2022, 1, 20)),
    ("21.10", date(2022, 7, 14)),
    ("22.04", date(2027, 6, 1)),
    ("22.10", date(2023, 7, 20)),
    ("23.04", date(2024, 1, 25)),
    ("23.10", date(2024, 7, 11)),
    ("24.04", date(2029, 5, 31)),
    ("24.10", date(2025, 7, 10)),
    ("25.04", date(2026, 1, 15)),
    ("25.10", date(2026, 7, 9)),
    ("26.04", date(2031, 5, 29)),
    ("26.10", date(2027, 7, 15)),
];

const ALPINE: &[(&str, Date)] = &[
    ("3.13", date(2022, 11, 1)),
    ("3.14", date(2023, 5, 1)),
    ("3.15", date(2023, 11, 1)),
    ("3.16", date(2024, 5, 23)),
    ("3.17", date(2024, 11, 22)),
    ("3.18", date(2025, 5, 9)),
    ("3.19", date(2025, 11, 1)),
    ("3.20", date(2026, 4, 1)),
    ("3.21", date(2026, 11, 1)),
    ("3.22", date(2027, 5, 1)),
    ("3.23", date(2027, 11, 1)),
];

const NODE: &[(&str, Date)] = &[
    ("8", date(2019, 12, 31)),
    ("9", date(2018, 6, 30)),
    ("10", date(2021, 4, 30)),
    ("11", date(2019, 6, 1)),
    ("12", date(2022, 4, 30)),
    ("13", date(2020, 6, 1)),
    ("14", date(2023, 4, 30)),
    ("15", date(2021, 6, 1)),
    ("16", date(2023, 9, 11)),
    ("17", date(2022, 6, 1)),
    ("18", date(2025, 4, 30)),
    ("19", date(2023, 6, 1)),
    ("20", date(2026, 4, 30)),
    ("21", date(2024, 6, 1)),
    ("22", date(2027, 4, 30)),
    ("23", date(2025, 6, 1)),
    ("24", date(2028, 4, 30)),
];

const PYTHON: &[(&str, Date)] = &[
    ("2.7", date(2020, 1, 1)),
    ("3.5", date(2020, 9, 30)),
    ("3.6", date(2021, 12, 23)),
    ("3.7", date(2023, 6, 27)),
    ("3.8", date(2024, 10, 7)),
    ("3.9", date(2025, 10, 31)),
    ("3.10", date(2026, 10, 31)),
    ("3.11", date(2027, 10, 31)),
    ("3.12", date(2028, 10, 31)),
    ("3.13", date(2029, 10, 31)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(product: Product, version: &str, today: Date, expected: Option<Date>) {
        let support = product.support(version, "it".to_owned());
        assert_eq!(support.end_of_life(today).map(|end| end.since), expected, "{support:?}");
    }

    #[test]
    fn fixes_end_after_the_last_day_with_them() {
        let last = date(2025, 4, 30);
        check(Product::Node, "18.20.8", date(2025, 4, 30), None);
        check(Product::Node, "18.20.8", date(2025, 5, 1), Some(last));
        let today = date(2026, 11, 28);
        check(Product::Debian, "11", today, Some(date(2026, 8, 31)));
        check(Product::Debian, "12", today, None);
        check(Product::Ubuntu, "20.04", today, Some(date(2025, 5, 29)));
        check(Product::Ubuntu, "24.04", today, None);
        check(Product::Alpine, "3.20.6", today, Some(date(2026, 4, 1)));
        check(Product::Alpine, "3.22.1", today, None);
        check(Product::Python, "3.9", today, Some(date(2025, 10, 31)));
        check(Product::Python, "3.12.4", today, None);
    }

    #[test]
    fn of_a_version_that_is_not_in_the_table_nothing_is_said() {
        let far = date(2999, 1, 1);
        for (product, version) in [
            (Product::Node, "99.0.0"),
            (Product::Debian, ""),
            (Product::Alpine, "3"),
            (Product::Ubuntu, "24"),
        ] {
            check(product, version, far, None);
        }
    }
}
