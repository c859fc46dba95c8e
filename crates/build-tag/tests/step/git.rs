//! `build-tag plan` in every kind of checkout that people have: what git tells, and what is counted from it.

use std::path::Path;

use serde_json::{Value, json};

use crate::project::{CONFIG, Project};

/// A repository on `main` with a tag of every kind and a merge behind it.
fn project() -> Project {
    let project = Project::with_git(CONFIG, "main");
    let commit = |message: &str| drop(project.git(&["commit", "-q", "--allow-empty", "-m", message]));
    project.git(&["tag", "v1.3.0"]);
    commit("second");
    project.git(&["tag", "-a", "-m", "1.4.0", "v1.4.0"]);
    // The highest version of a commit counts, wherever its name sorts.
    project.git(&["tag", "1.3.9"]);
    project.git(&["tag", "v1.4.0-rc.1"]);
    project.git(&["checkout", "-q", "-b", "side"]);
    commit("beside");
    project.git(&["checkout", "-q", "main"]);
    commit("third");
    project.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    project.git(&["tag", "nightly"]);
    project.git(&["tag", "api/v7.0.0"]);
    project
}

/// The plan of the checkout in this folder, on a laptop.
#[track_caller]
fn plan(project: &Project, folder: &Path) -> Value {
    let done = project.program(&[], &["plan", "--json", "--directory", folder.to_str().unwrap()]);
    assert_eq!(done.exit, Some(0), "{done:#?}");
    let plan: Value = serde_json::from_str(&done.stdout).unwrap();
    let sentence = format!("version {}: {}", text(&plan["version"]), text(&plan["versionBecause"]));
    assert!(done.stderr.contains(&sentence), "`{sentence}` is not in {}", done.stderr);
    plan
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Version, reason and ref of the plan in this folder, with `SHA` for the 12 digits of its commit.
#[track_caller]
fn check(project: &Project, folder: &Path, version: &str, because: &str, git_ref: &str) {
    let plan = plan(project, folder);
    let short = format!("{:.12}", text(&plan["commit"]));
    let found = (text(&plan["version"]), text(&plan["versionBecause"]), text(&plan["ref"]));
    assert_eq!(found, (version.replace("SHA", &short).as_str(), because, git_ref));
}

/// A clone in a folder beside, made with these options.
fn clone(project: &Project, options: &[&str]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clone").to_str().unwrap().to_owned();
    // Only a transport leaves commits behind; a clone by path copies all of them.
    let source = format!("file://{}", project.path().display());
    project.git(&[&["clone", "-q"][..], options, &[&source, &path]].concat());
    project.git(&["-C", &path, "remote", "set-url", "origin", "https://github.com/Acme/Shop"]);
    (folder, path)
}

const CUT: &str = "the checkout does not hold the whole history, and no version tag in what it holds; with all of it \
                   (`fetch-depth: 0`) versions are counted from the last one";

#[test]
fn a_version_is_counted_as_git_describe_counts() {
    let project = project();
    assert!(project.git(&["describe", "--tags", "--match", "v*"]).starts_with("v1.4.0-3-g"));
    let because = "3 commits after the tag `v1.4.0`";
    check(&project, project.path(), "1.4.1-main.3.gSHA", because, "refs/heads/main");
    project.git(&["checkout", "-q", "-b", "feat/x", "v1.4.0"]);
    let because = "0 commits after the tag `v1.4.0`";
    check(&project, project.path(), "1.4.1-feat-x.0.gSHA", because, "refs/heads/feat/x");
}

#[test]
fn a_repository_without_version_tags_says_so() {
    let project = Project::with_git(CONFIG, "main");
    project.git(&["tag", "nightly"]);
    let because = "no version tag is behind this commit";
    check(&project, project.path(), "0.0.0-main.gSHA", because, "refs/heads/main");
}

#[test]
fn a_shallow_clone_plans_and_says_what_it_lacks() {
    let project = project();
    let (_folder, path) = clone(&project, &["--depth", "1"]);
    check(&project, Path::new(&path), "0.0.0-main.gSHA", CUT, "refs/heads/main");
    // Tags that were fetched by name and name nothing here.
    let source = format!("file://{}", project.path().display());
    project.git(&["-C", &path, "fetch", "-q", "--depth", "1", &source, "refs/tags/v1.3.0:refs/tags/v1.3.0"]);
    check(&project, Path::new(&path), "0.0.0-main.gSHA", CUT, "refs/heads/main");
    let (_folder, path) = clone(&project, &["--depth", "3"]);
    let because = "3 commits after the tag `v1.4.0`";
    check(&project, Path::new(&path), "1.4.1-main.3.gSHA", because, "refs/heads/main");
}

#[test]
fn a_clone_knows_the_default_branch_of_its_origin() {
    let project = project();
    let (_folder, path) = clone(&project, &[]);
    let moving = |path: &Path| plan(&project, path)["tags"]["moving"].clone();
    assert_eq!(moving(Path::new(&path)), json!(["main", "latest"]));
    assert_eq!(moving(project.path()), json!(["main"]));
}

#[test]
fn a_detached_checkout_is_its_version_tag_or_nothing_that_is_pushed() {
    let project = project();
    project.git(&["checkout", "-q", "--detach"]);
    let because = "3 commits after the tag `v1.4.0`";
    check(&project, project.path(), "1.4.1-3.gSHA", because, "");
    assert_eq!(plan(&project, project.path())["push"], false);
    // The highest of the versions at this commit.
    project.git(&["checkout", "-q", "v1.4.0"]);
    check(&project, project.path(), "1.4.0", "the tag `v1.4.0` names it", "refs/tags/v1.4.0");
    let plan = plan(&project, project.path());
    assert_eq!((&plan["push"], &plan["tags"]["version"]["permanent"]), (&json!(true), &json!(["1.4.0"])));
    let (_folder, path) = clone(&project, &["--depth", "1", "--branch", "v1.3.0"]);
    check(&project, Path::new(&path), "1.3.0", "the tag `v1.3.0` names it", "refs/tags/v1.3.0");
}

#[test]
fn a_worktree_and_a_submodule_are_checkouts_of_their_own() {
    let project = project();
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    project.git(&["worktree", "add", "-q", "-b", "fix", tree.to_str().unwrap(), "v1.3.0"]);
    let because = "0 commits after the tag `v1.3.0`";
    check(&project, &tree, "1.3.1-fix.0.gSHA", because, "refs/heads/fix");

    let outer = Project::with_git(CONFIG, "trunk");
    let source = format!("file://{}", project.path().display());
    outer.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        "-b",
        "main",
        &source,
        "shop",
    ]);
    let shop = outer.path().join("shop");
    outer.git(&["-C", "shop", "remote", "set-url", "origin", "git@github.com:Acme/Shop.git"]);
    let because = "3 commits after the tag `v1.4.0`";
    check(&outer, &shop, "1.4.1-main.3.gSHA", because, "refs/heads/main");
    let because = "no version tag is behind this commit";
    check(&outer, outer.path(), "0.0.0-trunk.gSHA", because, "refs/heads/trunk");
}

#[test]
fn without_an_origin_the_registry_must_be_named() {
    let project = project();
    // A path on this machine is no owner and name, either.
    for change in [&["remote", "set-url", "origin", "/srv/acme/shop"][..], &["remote", "remove", "origin"]] {
        project.git(change);
        let done = project.program(&[], &["plan"]);
        done.check(2, "no registry is known for the images");
    }
    let config = CONFIG.replace("name: shop\n", "name: shop\nregistry: ghcr.io/acme/shop\n");
    std::fs::write(project.path().join("shipkit.yml"), config).unwrap();
    let because = "3 commits after the tag `v1.4.0`";
    check(&project, project.path(), "1.4.1-main.3.gSHA", because, "refs/heads/main");
}

#[test]
fn a_repository_without_a_commit_is_a_clear_error() {
    let project = Project::new(CONFIG);
    project.git(&["init", "-q", "-b", "main"]);
    project.program(&[], &["plan"]).check(2, "the git repository has no commit yet");
}

#[test]
fn in_a_run_the_version_is_that_of_the_events_commit() {
    let project = project();
    let event = json!({"ref": "refs/heads/release", "repository": {"full_name": "Acme/Shop"}});
    // Another commit than the one that is checked out, as the head of a pull request is.
    let commit = project.git(&["rev-parse", "side"]);
    let done = project.plan("workflow_dispatch", &event, &[("GITHUB_SHA", &commit)]);
    assert_eq!(done.output("version"), format!("1.4.1-release.1.g{commit:.12}"));
    assert!(done.summary.contains("The version: 1 commit after the tag \\`v1.4.0\\`."), "{}", done.summary);
    let nowhere = "e".repeat(40);
    let done = project.plan("workflow_dispatch", &event, &[("GITHUB_SHA", &nowhere)]);
    done.check(0, "version 0.0.0-release.geeeeeeeeeeee: the checkout does not hold this commit");
}
