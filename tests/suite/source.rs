//! How every source file looks, as far as no lint says it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The most lines that a file may have before its tests.
const LONGEST: usize = 600;
/// The crates whose signatures are in our own words.
const ADAPTERS: &[&str] =
    &["shipkit-registry", "shipkit-docker", "shipkit-kubernetes", "shipkit-github", "shipkit-smoke"];
/// The libraries that stay behind an adapter.
const FENCED: &[&str] = &["kube", "k8s_openapi", "bollard", "octocrab", "oci_client", "reqwest", "russh"];
/// A folder of one machine; written so that this file does not name it.
const MACHINE: &str = concat!("/wo", "rk/");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files under a folder, without hidden ones and what builds leave.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with(".git") && name != ".github"
            || matches!(&*name, "target" | "node_modules" | ".shipkit")
        {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let rust = files(&root()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let found: Vec<_> = rust.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    assert!(found.len() > 20, "the walk found {} files", found.len());
    found
}

/// The lines before the tests at a file's foot.
fn lines_without_tests(text: &str) -> usize {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap().lines().count()
}

/// Whether a text names a folder of the machine it was written on. GitHub's own `.../runner/work/...` is none.
fn names_a_machine(text: &str) -> bool {
    text.match_indices(MACHINE).any(|(at, _)| {
        let before = text.split_at(at).0.chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | '/' | '>'))
    })
}

/// The public items of a file that name a fenced library: by its path, or by a name that the file imports from it.
fn leaks(text: &str) -> Vec<String> {
    let code = text.split("\n#[cfg(test)]").next().unwrap();
    let imported = imported(code);
    let is_public = |line: &str| line.trim_start().starts_with("pub ");
    let lines: Vec<&str> = code.lines().collect();
    let items =
        lines.iter().enumerate().filter(|(_, line)| is_public(line)).map(|(at, _)| item(&lines[at..]));
    items
        .filter(|item| {
            FENCED.iter().any(|library| item.contains(&format!("{library}::")))
                || words(item).any(|word| imported.iter().any(|name| name == word))
        })
        .collect()
}

/// A public item: an enum whole, because all of it is public; anything else until its body or its end.
fn item(lines: &[&str]) -> String {
    let is_enum = lines[0].contains("pub enum ");
    let ends =
        |line: &str| if is_enum { line.starts_with('}') } else { line.ends_with(['{', ';', ',', '}']) };
    // An argument of a function ends with a comma too, but stands deeper than the function itself.
    let depth = |line: &str| line.len() - line.trim_start().len();
    let own = depth(lines[0]);
    let last = lines.iter().position(|line| ends(line) && depth(line) <= own).unwrap_or(lines.len() - 1);
    lines[..=last]
        .iter()
        .filter(|line| !line.trim_start().starts_with("//"))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}

/// The names that a file imports from fenced libraries.
fn imported(code: &str) -> Vec<String> {
    code.split("\nuse ")
        .skip(1)
        .filter_map(|import| import.split(';').next())
        .filter(|import| FENCED.iter().any(|library| import.starts_with(&format!("{library}::"))))
        .flat_map(|import| words(import).map(str::to_owned).collect::<Vec<_>>())
        .filter(|name| name.starts_with(char::is_uppercase))
        .collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

#[test]
fn every_file_says_first_what_lives_in_it() {
    let silent: Vec<_> =
        rust_files().into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|f| f.0).collect();
    assert_eq!(silent, Vec::<PathBuf>::new());
}

#[test]
fn no_shipped_file_is_longer_than_600_lines_before_its_tests() {
    // Fake servers are tests: they are read in one piece, beside what they stand in for.
    let is_shipped = |path: &Path| {
        path.starts_with(root().join("crates")) && path.components().any(|part| part.as_os_str() == "src")
    };
    let sources = rust_files().into_iter().filter(|(path, _)| is_shipped(path));
    let long: Vec<_> = sources
        .map(|(path, text)| (path, lines_without_tests(&text)))
        .filter(|(_, lines)| LONGEST < *lines)
        .collect();
    assert_eq!(long, Vec::new());
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let named: Vec<_> = files(&root())
        .into_iter()
        .filter(|path| fs::read_to_string(path).is_ok_and(|text| names_a_machine(&text)))
        .collect();
    assert_eq!(named, Vec::<PathBuf>::new());
}

#[test]
fn adapters_speak_in_our_own_words() {
    let mut leaking = Vec::new();
    for (path, text) in rust_files() {
        let is_adapter =
            ADAPTERS.iter().any(|name| path.starts_with(root().join("crates").join(name).join("src")));
        if is_adapter {
            leaking.extend(leaks(&text).into_iter().map(|item| format!("{}: {item}", path.display())));
        }
    }
    assert!(leaking.is_empty(), "{}", leaking.join("\n"));
}

#[test]
fn the_checks_find_what_they_look_for() {
    for leaking in [
        "pub fn client() -> octocrab::Octocrab {\n}\n",
        "impl X {\n    pub async fn list(\n        &self,\n        client: &bollard::Docker,\n    ) -> u8 {\n    }\n}\n",
        "pub enum Error {\n    /// It.\n    Http(reqwest::Error),\n}\n",
        "//! A.\nuse oci_client::{client::Config, Reference};\npub struct Image(Reference);\n",
        "pub struct Cluster {\n    /// It.\n    pub client: kube::Client,\n}\n",
    ] {
        assert_eq!(leaks(leaking).len(), 1, "{leaking}");
    }
    for fine in [
        "pub(crate) fn client() -> octocrab::Octocrab {\n}\n",
        "pub fn client() -> Client {\n    let x: octocrab::Octocrab = a();\n}\n",
        "pub struct GitHub {\n    inner: octocrab::Octocrab,\n}\n",
        "//! A.\nuse octocrab::Octocrab;\n/// Not an `Octocrab`.\npub fn name() -> String {\n}\n",
    ] {
        assert_eq!(leaks(fine), Vec::<String>::new(), "{fine}");
    }
    assert!(names_a_machine(&format!("see `{MACHINE}main`")) && names_a_machine(&format!("{MACHINE}x")));
    assert!(!names_a_machine(&format!("/home/runner{MACHINE}shop and /__w{MACHINE}x")));
    assert_eq!(lines_without_tests("//! A.\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n"), 2);
}
