//! Lock files of every kind, and what is in a folder with them.

use std::collections::BTreeMap;
use std::process::Command;

use super::*;

/// What a lock says: `name version` each, with `dev` where it is for development, then what is left out, then doubts.
#[track_caller]
fn check(lock: &Lock, expected: &[&str]) {
    let packages = lock
        .packages
        .iter()
        .map(|one| format!("{} {}{}", one.name, one.version, if one.is_dev { " dev" } else { "" }));
    let left_out = lock.left_out.iter().map(|(what, count)| format!("-{count} {what}"));
    let told: Vec<_> =
        packages.chain(left_out).chain(lock.doubts.iter().map(|doubt| format!("? {doubt}"))).collect();
    assert_eq!(told, expected);
}

#[test]
fn npm_2_and_3_list_folders() {
    let text = r#"{"name": "shop", "lockfileVersion": 3, "packages": {
        "": {"name": "shop", "dependencies": {"ws": "^8.0.0"}},
        "node_modules/@a/b": {"version": "1.0.0", "resolved": "https://registry.npmjs.org/@a/b/-/b-1.0.0.tgz", "dev": true},
        "node_modules/@a/b/node_modules/ws": {"version": "7.0.0", "devOptional": true},
        "node_modules/alias": {"name": "real", "version": "2.0.0"},
        "node_modules/api": {"resolved": "packages/api", "link": true},
        "node_modules/git": {"version": "1.0.0", "resolved": "git+ssh://git@github.com/a/git.git#abc"},
        "node_modules/local": {"version": "1.0.0", "resolved": "file:local.tgz"},
        "node_modules/odd": {},
        "node_modules/tarball": {"version": "1.0.0", "resolved": "https://codeload.example/x.tgz"},
        "packages/api": {"name": "@shop/api", "version": "0.1.0"},
        "packages/api/node_modules/ws": {"version": "6.0.0"}}}"#;
    check(
        &npm::read(text).unwrap(),
        &[
            "@a/b 1.0.0 dev",
            "ws 7.0.0",
            "real 2.0.0",
            "tarball 1.0.0",
            "ws 6.0.0",
            "-1 from git or an address",
            "-2 links, files and folders",
            "-1 members of workspaces",
            "? `odd` in version `` is no package",
        ],
    );
    // Version 2 says the same twice.
    let both = r#"{"lockfileVersion": 2, "packages": {"node_modules/ws": {"version": "8.0.0"}}, "dependencies": {"ws": {"version": "8.0.0"}}}"#;
    check(&npm::read(both).unwrap(), &["ws 8.0.0"]);
}

#[test]
fn npm_1_nests_dependencies() {
    let text = r#"{"name": "shop", "lockfileVersion": 1, "dependencies": {
        "@a/b": {"version": "1.0.0", "resolved": false, "dev": true,
            "dependencies": {"ws": {"version": "7.0.0", "dev": true}}},
        "alias": {"version": "npm:@r/real@2.0.0"},
        "git": {"version": "git+https://github.com/a/git.git#abc", "from": "git+https://github.com/a/git.git"},
        "short": {"version": "github:a/b#abc"},
        "tarball": {"version": "https://example.com/x.tgz"},
        "local": {"version": "file:../local"}}}"#;
    check(
        &npm::read(text).unwrap(),
        &[
            "@a/b 1.0.0 dev",
            "ws 7.0.0 dev",
            "@r/real 2.0.0",
            "-3 from git or an address",
            "-1 links, files and folders",
        ],
    );
    check(&npm::read(r#"{"name": "empty", "lockfileVersion": 1}"#).unwrap(), &[]);
    for bad in ["", "{}", "[]", r#"{"packages": 7}"#] {
        npm::read(bad).unwrap_err();
    }
    let deep = format!("{}1{}", r#"{"dependencies": {"a": "#.repeat(10_000), "}}".repeat(10_000));
    npm::read(&deep).unwrap_err();
}

#[test]
fn yarn_1_has_blocks_of_lines() {
    let text = "# yarn lockfile v1\n\n\n\"@a/b@^1.0.0\", \"@a/b@^1.1.0\":\n  version \"1.1.0\"\n  resolved \"https://x\"\n  dependencies:\n    version \"^9.0.0\"\n\nws@^8.0.0:\n  version \"8.0.0\"\r\n\n\"alias@npm:@r/real@^2.0.0\":\n  version \"2.0.0\"\n\n\"git@git+https://github.com/a/git.git\":\n  version \"1.0.0\"\n\nshort@a/b#main:\n  version \"1.0.0\"\n\n\"local@file:../x\":\n  version \"0.0.0\"\n\nany@*, any@latest:\n  version \"3.0.0\"\n";
    check(
        &yarn::read(text).unwrap(),
        &[
            "@a/b 1.1.0",
            "ws 8.0.0",
            "@r/real 2.0.0",
            "any 3.0.0",
            "-2 from git or an address",
            "-1 links, files and folders",
        ],
    );
    check(&yarn::read("# yarn lockfile v1\n").unwrap(), &[]);
    for bad in ["ws@1:\n", "ws@1:\nb@1:\n  version \"1\"\n", "{}", "  version \"1\"\n"] {
        yarn::read(bad).unwrap_err();
    }
}

#[test]
fn yarn_2_and_later_say_what_a_name_was_resolved_to() {
    let text = r#"__metadata:
  version: 8
  cacheKey: 10c0

"@a/b@npm:^1.0.0, @a/b@npm:^1.1.0":
  version: 1.1.0
  resolution: "@a/b@npm:1.1.0"
  dependencies:
    ws: "npm:^8.0.0"
  languageName: node
  linkType: hard

"alias@npm:real@^2.0.0":
  version: 2.0.0
  resolution: "real@npm:2.0.0"

"typescript@patch:typescript@npm%3A^5.0.0#optional!builtin<compat/typescript>":
  version: 5.0.2
  resolution: "typescript@patch:typescript@npm%3A5.0.2#optional!builtin<compat/typescript>::version=5.0.2&hash=1"

"shop@workspace:.":
  version: 0.0.0-use.local
  resolution: "shop@workspace:."

"git@https://github.com/a/git.git":
  version: 1.0.0
  resolution: "git@https://github.com/a/git.git#commit=abc"

"local@portal:../x::locator=shop%40workspace%3A.":
  version: 0.0.0-use.local
  resolution: "local@portal:../x::locator=shop%40workspace%3A."
"#;
    check(
        &yarn::read(text).unwrap(),
        &[
            "@a/b 1.1.0",
            "real 2.0.0",
            "typescript 5.0.2",
            "-1 from git or an address",
            "-1 links, files and folders",
            "-1 members of workspaces",
        ],
    );
    yarn::read("__metadata:\n  version: 8\nws@npm:1:\n  version: 1.0.0\n").unwrap_err();
}

#[test]
fn pnpm_5_names_packages_by_paths() {
    let text = r"lockfileVersion: 5.4
packages:
  /@a/b/1.0.0_react@18.2.0:
    resolution: {integrity: sha512-x}
    dev: true
  /ws/8.0.0:
    resolution: {integrity: sha512-x}
    dev: false
  registry.example.com/own/1.2.3:
    resolution: {integrity: sha512-x, tarball: https://x}
  github.com/a/git/abc:
    resolution: {tarball: https://codeload.github.com/a/git/tar.gz/abc}
    name: git
    version: 1.0.0
  file:../x:
    resolution: {directory: ../x, type: directory}
";
    let expected = [
        "@a/b 1.0.0 dev",
        "ws 8.0.0",
        "own 1.2.3",
        "-1 from git or an address",
        "-1 links, files and folders",
    ];
    check(&pnpm::read(text).unwrap(), &expected);
}

#[test]
fn pnpm_6_to_9_name_packages_by_versions() {
    let text = r"lockfileVersion: '6.0'
packages:
  /@a/b@1.0.0(react@18.2.0)(@c/d@1.0.0):
    resolution: {integrity: sha512-x}
    dev: true
  /ws@8.0.0:
    resolution: {integrity: sha512-x}
  '@github.com/a/git/abc':
    resolution: {tarball: https://codeload.github.com/a/git/tar.gz/abc}
    name: git
    version: 1.0.0
";
    check(&pnpm::read(text).unwrap(), &["@a/b 1.0.0 dev", "ws 8.0.0", "-1 from git or an address"]);
    let text = r"lockfileVersion: '9.0'
importers:
  .:
    dependencies:
      ws: {specifier: ^8.0.0, version: 8.0.0}
packages:
  '@a/b@1.0.0':
    resolution: {integrity: sha512-x}
  ws@8.0.0:
    resolution: {integrity: sha512-x}
  git@https://codeload.github.com/a/git/tar.gz/abc:
    resolution: {tarball: https://codeload.github.com/a/git/tar.gz/abc}
    version: 1.0.0
  local@file:../x:
    resolution: {directory: ../x, type: directory}
snapshots:
  '@a/b@1.0.0(ws@8.0.0)': {}
";
    let expected = ["@a/b 1.0.0", "ws 8.0.0", "-1 from git or an address", "-1 links, files and folders"];
    check(&pnpm::read(text).unwrap(), &expected);
    check(&pnpm::read("lockfileVersion: '9.0'\n").unwrap(), &[]);
    for bad in ["", "{}", "lockfileVersion: '10.0'", "a: [", "lockfileVersion: &a '9.0'\nx: *a\n"] {
        pnpm::read(bad).unwrap_err();
    }
    let deep = format!("lockfileVersion: '9.0'\npackages: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    pnpm::read(&deep).unwrap_err();
}

#[test]
fn requirements_are_packages_where_they_are_pinned() {
    let text = "# pinned by hand\n-i https://pypi.org/simple\n--require-hashes\nFlask_Login[async]==0.6.3 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd  # via x\nzope.interface == 5.0 ; python_version < \"3.9\"\nidna===3.4\n(six==1.16.0)\nrequests>=2\nurllib3==1.*\nattrs==1,!=2\nclick\n-e .\n-e git+https://github.com/a/b#egg=b\nc @ https://example.com/c.whl\n./d.whl\nwheel @ file:///x.whl\n-r base.txt\n--requirement=more.txt\n-c constraints.txt\n";
    let (lock, included) = requirements::read(text, false);
    assert_eq!(included, ["base.txt", "more.txt"]);
    let doubt = |what: &str| format!("? `{what}` is not pinned to a version (`==`)");
    let doubts = ["(six==1.16.0)", "requests>=2", "urllib3==1.*", "attrs==1,!=2", "click"].map(doubt);
    let mut expected = vec![
        "flask-login 0.6.3",
        "zope-interface 5.0",
        "idna 3.4",
        "-2 from git or an address",
        "-3 links, files and folders",
    ];
    expected.extend(doubts.iter().map(String::as_str));
    check(&lock, &expected);
    check(&requirements::read("pytest==8.0.0", true).0, &["pytest 8.0.0 dev"]);
}

#[test]
fn lock_files_of_python_name_packages_and_where_they_are_from() {
    let poetry = "[[package]]\nname = \"Jinja2\"\nversion = \"3.1.2\"\ngroups = [\"main\", \"dev\"]\n\n[[package]]\nname = \"pytest\"\nversion = \"8.0.0\"\ngroups = [\"dev\"]\n\n[[package]]\nname = \"old\"\nversion = \"1.0\"\ncategory = \"dev\"\n\n[[package]]\nname = \"own\"\nversion = \"1.0\"\n[package.source]\ntype = \"legacy\"\nurl = \"https://x/simple\"\nreference = \"x\"\n\n[[package]]\nname = \"git\"\nversion = \"1.0\"\n[package.source]\ntype = \"git\"\nurl = \"https://x\"\n\n[[package]]\nname = \"local\"\nversion = \"1.0\"\n[package.source]\ntype = \"directory\"\nurl = \"../x\"\n\n[metadata]\nlock-version = \"2.1\"\n";
    check(
        &python::toml(poetry).unwrap(),
        &[
            "jinja2 3.1.2",
            "pytest 8.0.0 dev",
            "old 1.0 dev",
            "own 1.0",
            "-1 from git or an address",
            "-1 links, files and folders",
        ],
    );
    let uv = "version = 1\n\n[[package]]\nname = \"shop\"\nversion = \"0.1.0\"\nsource = { virtual = \".\" }\n\n[[package]]\nname = \"idna\"\nversion = \"3.4\"\nsource = { registry = \"https://pypi.org/simple\" }\n\n[[package]]\nname = \"git\"\nversion = \"1.0\"\nsource = { git = \"https://x?rev=1#2\" }\n\n[[package]]\nname = \"w\"\nversion = \"1.0\"\nsource = { url = \"https://x/w.whl\" }\n\n[[package]]\nname = \"l\"\nsource = { directory = \"../l\" }\n";
    check(
        &python::toml(uv).unwrap(),
        &["idna 3.4", "-2 from git or an address", "-1 links, files and folders", "-1 members of workspaces"],
    );
    let pdm = "[metadata]\ngroups = [\"default\", \"dev\"]\n\n[[package]]\nname = \"idna\"\nversion = \"3.4\"\ngroups = [\"default\", \"dev\"]\nfiles = [{file = \"x\", hash = \"y\"}]\n\n[[package]]\nname = \"pytest\"\nversion = \"8\"\ngroups = [\"dev\"]\n\n[[package]]\nname = \"local\"\nversion = \"1\"\npath = \"./x\"\n";
    check(&python::toml(pdm).unwrap(), &["idna 3.4", "pytest 8 dev", "-1 links, files and folders"]);
    let pylock = "lock-version = \"1.0\"\n[[packages]]\nname = \"attrs\"\nversion = \"25.1.0\"\nindex = \"https://pypi.org/simple\"\n[[packages.wheels]]\nurl = \"https://x\"\n[[packages]]\nname = \"v\"\nvcs = {type = \"git\"}\n";
    check(&python::toml(pylock).unwrap(), &["attrs 25.1.0", "-1 from git or an address"]);
    let pipfile = r#"{"_meta": {"hash": {}}, "default": {"Idna": {"version": "==3.4", "index": "pypi"}, "g": {"git": "https://x"}},
        "develop": {"pytest": {"version": "==8.0.0"}, "l": {"path": "."}}}"#;
    check(
        &python::pipfile(pipfile).unwrap(),
        &["idna 3.4", "pytest 8.0.0 dev", "-1 from git or an address", "-1 links, files and folders"],
    );
    python::toml("a = 1").unwrap_err();
    python::toml("[[package").unwrap_err();
    python::pipfile("{}").unwrap_err();
}

#[test]
fn go_names_all_modules_and_its_own_version() {
    let text = "module example.com/shop // of ours\n\ngo 1.21\n\ntoolchain go1.22.3\n\nrequire golang.org/x/net v0.1.0 // indirect\nrequire (\n\t\"github.com/a/b\" v1.0.0\n\tgithub.com/c/d v1.0.0\n\tgithub.com/e/f v1.0.0+incompatible\n)\n\nreplace github.com/a/b => github.com/fork/b v1.0.1\nreplace (\n\tgithub.com/c/d v1.0.0 => ../d\n\tgithub.com/e/f v0.9.0 => ../f\n)\nexclude github.com/x/y v1.0.0\nretract [v1.0.0, v1.1.0]\ntool golang.org/x/tools/cmd/stringer\n";
    check(
        &go::read(text).unwrap(),
        &[
            "stdlib 1.22.3",
            "golang.org/x/net v0.1.0",
            "github.com/fork/b v1.0.1",
            "github.com/e/f v1.0.0+incompatible",
            "-1 links, files and folders",
        ],
    );
    let old = "module a\ngo 1.16\nrequire b v1.0.0\n";
    check(
        &go::read(old).unwrap(),
        &[
            "stdlib 1.16",
            "b v1.0.0",
            "? it is of Go before 1.17, and does not name what its modules need themselves",
        ],
    );
    check(&go::read("module a\n\ngo 1.23rc1\n").unwrap(), &["stdlib go1.23rc1"]);
    for bad in ["", "go 1.21", "module a\nrequire b", "module a\nreplace b"] {
        go::read(bad).unwrap_err();
    }
}

#[test]
fn gradle_and_cargo_list_artifacts_and_crates() {
    let text = "# Generated\norg.acme:core:2.4=compileClasspath,testRuntimeClasspath\njunit:junit:4.13=testCompileClasspath,testRuntimeClasspath\nempty=annotationProcessor\n";
    check(&gradle::read(text).unwrap(), &["org.acme:core 2.4", "junit:junit 4.13 dev"]);
    gradle::read("org.acme:core:2.4").unwrap_err();
    gradle::read("core:2.4=x").unwrap_err();
    let text = "version = 4\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n[[package]]\nname = \"git\"\nversion = \"1.0.0\"\nsource = \"git+https://x#1\"\n[[package]]\nname = \"tokio\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"1\"\n[[package]]\nname = \"private\"\nversion = \"1.0.0\"\nsource = \"sparse+https://x/\"\n";
    let expected =
        ["tokio 1.0.0", "-1 from git or an address", "-1 members of workspaces", "-1 of other registries"];
    check(&cargo::read(text).unwrap(), &expected);
    cargo::read("[[package").unwrap_err();
}

/// The crates of our own lock file are those that cargo takes from crates.io, for whatever platform.
#[test]
fn our_own_lock_file_says_what_cargo_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let said = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--all-features"])
        .current_dir(&root)
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let (mut expected, mut members) = (BTreeSet::new(), 0);
    for package in said["packages"].as_array().unwrap() {
        let text = |key: &str| package[key].as_str().unwrap().to_owned();
        match package["source"].as_str() {
            None => members += 1,
            Some(_) => drop(expected.insert(format!("{} {}", text("name"), text("version")))),
        }
    }
    let lock = cargo::read(&std::fs::read_to_string(root.join("Cargo.lock")).unwrap()).unwrap();
    let found: BTreeSet<_> =
        lock.packages.iter().map(|one| format!("{} {}", one.name, one.version)).collect();
    assert_eq!((found, lock.doubts), (expected, Vec::new()));
    assert_eq!(lock.left_out, BTreeMap::from([(MEMBER, members)]));
}

/// A folder with these files, and what its lock files say: the paths that name packages, the doubts, or the error.
fn read(files: &[(&str, &str)]) -> Result<(Vec<String>, Vec<String>), (String, ExitCode)> {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    match Locks::read(folder.path()) {
        Ok(Locks { inventory, .. }) => {
            let named =
                inventory.packages.iter().map(|one| format!("{}: {} {}", one.path, one.name, one.version));
            Ok((named.collect(), inventory.doubts))
        }
        Err(error) => Err((error.to_string(), error.exit_code())),
    }
}

fn locked(files: &[(&str, &str)]) -> Vec<String> {
    let (packages, doubts) = read(files).unwrap();
    packages.into_iter().chain(doubts).collect()
}

const NPM: &str = r#"{"lockfileVersion": 3, "packages": {"node_modules/ws": {"version": "8.0.0"}}}"#;
const MANIFEST: &str = r#"{"name": "shop", "dependencies": {"ws": "^8.0.0"}}"#;

#[test]
fn lock_files_are_found_wherever_they_are_but_among_what_is_installed() {
    let skipped =
        ["node_modules/x/package-lock.json", "target/yarn.lock", ".git/package-lock.json", "a/vendor/go.mod"];
    let mut files = vec![("package-lock.json", NPM), ("web/deep/package-lock.json", NPM)];
    files.extend(skipped.map(|path| (path, NPM)));
    assert_eq!(locked(&files), ["package-lock.json: ws 8.0.0", "web/deep/package-lock.json: ws 8.0.0"]);
}

#[test]
fn what_has_dependencies_and_no_lock_file_is_a_doubt() {
    let covered =
        [("package.json", MANIFEST), ("package-lock.json", NPM), ("packages/api/package.json", MANIFEST)];
    assert_eq!(locked(&covered), ["package-lock.json: ws 8.0.0"]);
    let beside = [
        ("api/package-lock.json", NPM),
        ("web/package.json", MANIFEST),
        ("lib/package.json", "{}"),
        ("pyproject.toml", "[tool.black]"),
        ("pom.xml", "<project/>"),
    ];
    assert_eq!(locked(&beside), ["api/package-lock.json: ws 8.0.0", "`web/package.json` has no lock file"]);
    let others = [
        ("package-lock.json", NPM),
        ("p/pyproject.toml", "[project]\ndependencies = [\"a\"]"),
        ("r/Cargo.toml", "[dependencies]\na = \"1\""),
        ("g/build.gradle.kts", "dependencies {}"),
        ("Gemfile.lock", ""),
        ("q/pyproject.toml", "[tool.poetry.dependencies]\npython = \"^3\""),
        ("yarn.lock", "{"),
    ];
    assert_eq!(
        read(&others).unwrap().1,
        [
            "`Gemfile.lock` cannot be read: its format is not known here",
            "`yarn.lock` cannot be read: `{` is no line of it",
            "`g/build.gradle.kts` has no `gradle.lockfile`",
            "`p/pyproject.toml` has no lock file",
            "`r/Cargo.toml` has no lock file",
        ]
    );
}

#[test]
fn without_any_lock_file_nothing_was_found_out() {
    let (error, code) = read(&[("package.json", MANIFEST)]).unwrap_err();
    assert!(error.ends_with("has no lock file that can be read: `package.json` has no lock file"), "{error}");
    assert_eq!(code, ExitCode::Unknown);
    assert_eq!(read(&[("Gemfile.lock", "")]).unwrap_err().1, ExitCode::Unknown);
    assert_eq!(read(&[("package-lock.json", "")]).unwrap_err().1, ExitCode::Unknown);
    for files in [&[][..], &[("README.md", "")], &[("package.json", "{}")]] {
        assert_eq!(read(files).unwrap_err().1, ExitCode::Usage);
    }
    let error = Locks::read(Path::new("/nonexistent")).unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Usage);
}

#[test]
fn requirements_include_others_of_the_folder_once() {
    let files = [
        ("requirements.txt", "-r requirements/base.txt\n-r ../outside.txt\n-r /etc/hostname\n"),
        ("requirements/base.txt", "-r ../requirements.txt\nidna==3.4\n-r nowhere.txt\n"),
        ("requirements-dev.txt", "-r requirements.txt\npytest==8.0.0\n"),
    ];
    let (packages, doubts) = read(&files).unwrap();
    assert_eq!(packages, ["requirements/base.txt: idna 3.4", "requirements-dev.txt: pytest 8.0.0"]);
    let no_file =
        |from: &str, name: &str| format!("`{from}` includes `{name}`, which is no file of the folder");
    let expected = [
        no_file("requirements.txt", "../outside.txt"),
        no_file("requirements.txt", "/etc/hostname"),
        no_file("requirements/base.txt", "nowhere.txt"),
    ];
    assert_eq!(doubts, expected);
}

#[test]
fn links_are_not_followed_and_are_told() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("package-lock.json"), NPM).unwrap();
    std::fs::write(outside.path().join("r.txt"), "idna==3.4").unwrap();
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(outside.path().join(to), folder.path().join(name)).unwrap();
    };
    link("", "web");
    link("package-lock.json", "package-lock.json");
    link("r.txt", "base.txt");
    std::fs::write(folder.path().join("requirements.txt"), "-r base.txt\npytest==8.0.0\n").unwrap();
    let locks = Locks::read(folder.path()).unwrap();
    assert_eq!(locks.files, ["requirements.txt"]);
    assert_eq!(
        locks.inventory.doubts,
        [
            "`package-lock.json` is a link or no file, and is not followed",
            "`requirements.txt` includes `base.txt`, which is no file of the folder",
        ]
    );
}
