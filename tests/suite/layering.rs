//! Who may use whom: `core <- adapters and smoke <- binaries`, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// The package that only tests may use.
const TESTS: &str = "shipkit-tests";
/// The package that works without a runtime.
const CORE: &str = "shipkit-core";

/// Every package of the workspace, and the packages of the workspace that it may use. A new package fails until it has
/// a row here; a row that allows more than ARCHITECTURE.md says needs a change there first.
const MAY_USE: &[(&str, &[&str])] = &[
    ("shipkit-core", &[]),
    ("shipkit-runner", &["shipkit-core"]),
    ("shipkit-registry", &["shipkit-core"]),
    ("shipkit-docker", &["shipkit-core"]),
    ("shipkit-kubernetes", &["shipkit-core"]),
    ("shipkit-github", &["shipkit-core"]),
    ("shipkit-smoke", &["shipkit-core"]),
    ("build-tag", &["shipkit-core", "shipkit-runner", "shipkit-registry", "shipkit-github"]),
    ("image-scan", &["shipkit-core", "shipkit-runner", "shipkit-registry"]),
    ("smoke-test", &["shipkit-core", "shipkit-runner", "shipkit-registry", "shipkit-smoke"]),
    (
        "deploy-promote",
        &[
            "shipkit-core",
            "shipkit-runner",
            "shipkit-registry",
            "shipkit-docker",
            "shipkit-kubernetes",
            "shipkit-github",
            "shipkit-smoke",
        ],
    ),
    ("shipkit", &["shipkit-runner", "build-tag", "image-scan", "deploy-promote", "smoke-test"]),
    ("shipkit-tests", &["shipkit-core", "shipkit-registry", "shipkit-smoke"]),
    ("shipkit-fuzz", &["shipkit-core", "shipkit-registry", "image-scan"]),
];

/// What the tests of a package may use besides: the prober shows that a change of traffic loses nothing.
const MAY_TEST_WITH: &[(&str, &str)] = &[("shipkit-docker", "shipkit-smoke")];

/// The packages that use a binary: the four programs as one file, and what fuzzes the parsers of one.
const ABOVE: [&str; 2] = ["shipkit", "shipkit-fuzz"];

/// Crates that talk to a network or run futures: none of them below core.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "futures-executor",
    "mio",
    "async-io",
    "hyper",
    "h2",
    "reqwest",
    "ureq",
    "axum",
    "rustls",
    "socket2",
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo describes the workspace; a fresh checkout needs `cargo fetch` once")
}

/// What is wrong with an edge, if anything is.
fn wrong(from: &str, to: &str, kind: DependencyKind) -> Option<String> {
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == from) else {
        return Some(format!("`{from}` has no row in MAY_USE"));
    };
    let may_test_with = to == TESTS || MAY_TEST_WITH.contains(&(from, to));
    let is_for_tests = may_test_with && kind == DependencyKind::Development;
    (!is_for_tests && !allowed.contains(&to)).then(|| format!("`{from}` must not use `{to}` ({kind:?})"))
}

#[test]
fn every_package_has_a_row_and_every_row_a_package() {
    let metadata = metadata();
    let packages: BTreeSet<&str> =
        metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let rows: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    assert_eq!(packages, rows);
}

#[test]
fn packages_use_only_what_their_row_allows() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let wrong: Vec<String> = packages
        .iter()
        .flat_map(|package| package.dependencies.iter().map(move |used| (package.name.as_str(), used)))
        .filter(|(_, used)| ours.contains(used.name.as_str()))
        .filter_map(|(user, used)| wrong(user, &used.name, used.kind))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_table_holds_the_direction() {
    let rows: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let is_binary = |name: &str| !name.starts_with("shipkit-");
    for (user, allowed) in rows.iter().filter(|(user, _)| !ABOVE.contains(user)) {
        for used in *allowed {
            assert!(rows.contains_key(used), "`{used}` is no package");
            assert!(!is_binary(used) && *used != TESTS, "`{user}` must not use `{used}`");
            assert!(
                is_binary(user) || *user == TESTS || *used == CORE,
                "`{user}` is no binary and uses `{used}`"
            );
        }
    }
}

#[test]
fn a_forbidden_edge_is_noticed() {
    for (user, used, kind) in [
        ("shipkit-core", "shipkit-runner", DependencyKind::Normal),
        ("shipkit-docker", "shipkit-registry", DependencyKind::Development),
        ("shipkit-docker", "shipkit-smoke", DependencyKind::Normal),
        ("shipkit-github", "shipkit-runner", DependencyKind::Build),
        ("smoke-test", "deploy-promote", DependencyKind::Normal),
        ("build-tag", "shipkit-tests", DependencyKind::Normal),
        ("brand-new", "shipkit-core", DependencyKind::Normal),
    ] {
        assert!(wrong(user, used, kind).is_some(), "{user} -> {used}");
    }
    assert_eq!(wrong("build-tag", "shipkit-tests", DependencyKind::Development), None);
}

#[test]
fn core_holds_no_network_and_no_runtime() {
    let metadata = metadata();
    let below = below(&metadata, CORE);
    assert!(below.contains("serde"), "the walk found nothing: {below:?}");
    let found: Vec<&&str> = NOT_IN_CORE.iter().filter(|name| below.contains(**name)).collect();
    assert!(found.is_empty(), "core's dependencies hold {found:?}");
    let control = self::below(&metadata, "shipkit-github");
    assert!(control.contains("tokio") && control.contains("hyper"), "{control:?}");
}

/// The names of all packages that a package needs to run.
fn below(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let nodes = &metadata.resolve.as_ref().expect("cargo resolves").nodes;
    let first =
        metadata.packages.iter().find(|package| package.name.as_str() == name).expect("the package exists");
    let mut seen: BTreeSet<PackageId> = BTreeSet::new();
    let mut next = vec![first.id.clone()];
    while let Some(id) = next.pop() {
        let node = nodes.iter().find(|node| node.id == id).expect("every package has a node");
        let normal = |kinds: &[cargo_metadata::DepKindInfo]| {
            kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
        };
        let used = node.deps.iter().filter(|used| normal(&used.dep_kinds)).map(|used| used.pkg.clone());
        next.extend(used.filter(|id| seen.insert(id.clone())));
    }
    seen.iter().map(|id| metadata[id].name.to_string()).collect()
}
