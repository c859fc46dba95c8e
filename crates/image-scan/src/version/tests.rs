//! Single rules, and that an order is one.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::{Scheme, Version};

#[track_caller]
fn order(scheme: Scheme, left: &str, right: &str) -> Ordering {
    let read = |text| Version::parse(scheme, text).unwrap();
    read(left).order(&read(right)).unwrap()
}

/// Each version is before the next, and equal to itself.
#[track_caller]
fn check(scheme: Scheme, rising: &[&str]) {
    for (index, left) in rising.iter().enumerate() {
        for (place, right) in rising.iter().enumerate() {
            assert_eq!(order(scheme, left, right), index.cmp(&place), "{left} and {right}");
        }
    }
}

#[test]
fn each_ecosystem_has_its_own_order() {
    check(
        Scheme::Debian,
        &["1.0~rc1-1", "1.0-1~deb12u1", "1.0-1", "1.0-1+deb12u1", "1.0a-1", "1.0+b-1", "1:0.1"],
    );
    let alpine =
        ["1.0_alpha", "1.0_rc2", "1.0", "1.0-r0", "1.0-r10", "1.0_git2-r0", "1.0_p1", "1.0a", "1.01", "1.1"];
    check(Scheme::Alpine, &alpine);
    check(Scheme::Semver, &["1.0.0-1", "1.0.0-a", "1.0.0-a.1", "1.0.0", "1.0.1", "1.10", "v2"]);
    check(Scheme::Pypi, &["1.0.dev1", "1.0a1", "1.0rc1", "1.0", "1.0+local", "1.0.post1", "1.1", "1!0.1"]);
    check(
        Scheme::Maven,
        &[
            "1.0-alpha-1",
            "1.0-b2",
            "1.0-rc1",
            "1.0-SNAPSHOT",
            "1.0.RELEASE",
            "1.0-sp",
            "1.0-x",
            "1.0-1",
            "1.0.1",
        ],
    );
}

#[test]
fn go_has_pseudo_versions_and_releases_of_its_own() {
    let modules = [
        "v0.0.0-20190101000000-abcdefabcdef",
        "v0.0.0-20240101000000-000000000000",
        "v0.0.0",
        "1.2.3-rc.1.0.20240101000000-0",
    ];
    check(Scheme::Go, &modules);
    check(Scheme::Go, &["go1.21", "go1.22beta1", "go1.22rc2", "go1.22rc10", "go1.22", "go1.22.1"]);
    assert_eq!(order(Scheme::Go, "go1.22rc1", "1.22.0-rc.1"), Ordering::Equal);
    assert_eq!(order(Scheme::Go, "v2.0.0+incompatible", "2.0.0"), Ordering::Equal);
}

#[test]
fn what_is_no_version_is_told() {
    let check = |scheme, texts: &[&str]| {
        for text in texts {
            let refused = Version::parse(scheme, text).unwrap_err();
            assert_eq!((refused.scheme, refused.text.as_str()), (scheme, *text));
        }
    };
    check(Scheme::Debian, &["", ":1", "a:1", "1:", "1-", "one", "1_2", "1 2", "1.0-ä", "<end-of-life>"]);
    check(Scheme::Alpine, &["", "-r1", "1.0A", "1.0_what", "1-r1-r2", "1~", "1-1", "1.0ab", "1.0_p1.2"]);
    check(Scheme::Semver, &["", "v", "1.x", "1.2.3-", "1.2.3-a..b", "1..2", "latest", "1.2.3+ü", "^1.2.3"]);
    check(Scheme::Pypi, &["", "2004d", "1.0-final", "trunk"]);
    check(Scheme::Go, &["", "(devel)", "go1.22-custom", "go1.22gamma1", "go"]);
    check(Scheme::Maven, &["", "${revision}", "[1,2)", "1 2"]);
    assert!(Version::parse(Scheme::Debian, &"1".repeat(1000)).is_err());
}

#[test]
fn schemes_go_by_the_name_of_the_ecosystem() {
    assert_eq!(Scheme::of_ecosystem("Debian:12"), Some(Scheme::Debian));
    assert_eq!(Scheme::of_ecosystem("Ubuntu:Pro:22.04:LTS"), Some(Scheme::Debian));
    assert_eq!(Scheme::of_ecosystem("crates.io"), Some(Scheme::Semver));
    assert_eq!(Scheme::of_ecosystem("Rocky Linux:9"), None);
    let (debian, maven) = (Version::parse(Scheme::Debian, "1"), Version::parse(Scheme::Maven, "1"));
    assert_eq!(debian.unwrap().order(&maven.unwrap()), None);
}

/// Versions that are much alike, so that the last differences decide.
fn texts(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Debian => "([01]:)?[0-2][0-2a.+~]{0,4}(-[01a~.+]{1,3})?",
        Scheme::Alpine => "[01]?(\\.[0-2]{0,2}){0,2}[ab]?[01]?(_(rc|pre|p|git)[01]?){0,2}(~[0a])?(-r[01]?)?",
        Scheme::Semver | Scheme::Go => "v?[01](\\.[01]){0,2}(-[01a]{1,2}(\\.[01a-]{1,2}){0,2})?(\\+[01])?",
        Scheme::Pypi => {
            "([01]!)?[01](\\.[01]){0,2}((a|b|rc)[01])?(\\.post[01])?(\\.dev[01])?(\\+[01a](\\.[01a])?)?"
        }
        // The usual shapes: odd ones are in circles with Maven, too.
        Scheme::Maven => "[01](\\.[01]){0,2}(-(a|alpha|rc|cr|snapshot|sp|ga|x)(-?[12])?)?",
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_order_is_total(
        (scheme, texts) in prop::sample::select(vec![
            Scheme::Debian, Scheme::Alpine, Scheme::Semver, Scheme::Pypi, Scheme::Go, Scheme::Maven,
        ]).prop_flat_map(|scheme| (Just(scheme), prop::collection::vec(texts(scheme), 12)))
    ) {
        let versions = texts.iter().filter_map(|text| Version::parse(scheme, text).ok()).collect::<Vec<_>>();
        let order = |left: &Version, right: &Version| left.order(right).unwrap();
        for left in &versions {
            prop_assert_eq!(order(left, left), Ordering::Equal);
            for right in &versions {
                prop_assert_eq!(order(left, right), order(right, left).reverse(), "{:?} {:?}", left, right);
                for third in &versions {
                    let (first, second) = (order(left, right), order(right, third));
                    if first == second || second == Ordering::Equal {
                        prop_assert_eq!(order(left, third), first, "{:?} {:?} {:?}", left, right, third);
                    }
                }
            }
        }
    }

    #[test]
    fn no_text_breaks_a_reader(text in "\\PC{0,24}|[-0-9a-z.+~_:!]{0,12}") {
        for scheme in [Scheme::Debian, Scheme::Alpine, Scheme::Semver, Scheme::Pypi, Scheme::Go, Scheme::Maven] {
            if let Ok(version) = Version::parse(scheme, &text) {
                prop_assert_eq!(version.order(&version), Some(Ordering::Equal));
            }
        }
    }
}
