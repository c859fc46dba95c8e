//! `go.mod` (go.dev/ref/mod, "go.mod files"). Since Go 1.17 it names every module that the build may use.

use std::collections::BTreeMap;

use super::{LOCAL, Lock};

/// A module, as far as a line names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Module {
    name: String,
    version: Option<String>,
}

/// What the lines of a file say.
#[derive(Debug, Default)]
struct File {
    is_module: bool,
    go: Option<String>,
    toolchain: Option<String>,
    required: Vec<(String, String)>,
    replaced: BTreeMap<Module, Module>,
}

/// What such a file says; Go itself is `stdlib`, by the `toolchain` if there is one, else by the lowest version that it asks for.
///
/// # Errors
/// When it is none.
pub(super) fn read(text: &str) -> Result<Lock, String> {
    let (mut file, mut block) = (File::default(), None);
    for line in text.lines().map(|line| line.split("//").next().unwrap_or_default().trim()) {
        let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches(['"', '`'])).collect();
        match (block, &words[..]) {
            (_, []) => {}
            (Some(_), [")"]) => block = None,
            (Some(verb), rest) => file.take(verb, rest, line)?,
            (None, [verb, "("]) => block = Some(*verb),
            (None, [verb, rest @ ..]) => file.take(verb, rest, line)?,
        }
    }
    let File { is_module, go, toolchain, required, replaced } = file;
    if !is_module {
        return Err("it names no module".to_owned());
    }
    let mut lock = Lock::default();
    if !required.is_empty() && !lists_all(go.as_deref()) {
        lock.doubt("it is of Go before 1.17, and does not name what its modules need themselves".to_owned());
    }
    if let Some(version) = toolchain.or(go) {
        lock.take("Go", "stdlib", &standard(&version), false);
    }
    for module in required {
        take(module, &replaced, &mut lock);
    }
    Ok(lock)
}

impl File {
    fn take(&mut self, verb: &str, words: &[&str], line: &str) -> Result<(), String> {
        match (verb, words) {
            ("module", _) => self.is_module = true,
            ("go", [version]) => self.go = Some((*version).to_owned()),
            ("toolchain", [version]) => self.toolchain = version.strip_prefix("go").map(str::to_owned),
            ("require", [name, version]) => self.required.push(((*name).to_owned(), (*version).to_owned())),
            ("require", _) => return Err(format!("`{line:.80}` requires no module in a version")),
            ("replace", words) => {
                let (old, new) =
                    replacement(words).ok_or_else(|| format!("`{line:.80}` replaces nothing"))?;
                self.replaced.insert(old, new);
            }
            // Whatever is left out or taken back has no part in the build that is written down here.
            _ => {}
        }
        Ok(())
    }
}

/// `old [version] => new version`, or a folder without one.
fn replacement(words: &[&str]) -> Option<(Module, Module)> {
    let mut sides = words.split(|word| *word == "=>");
    let mut module = || match sides.next()? {
        [name] => Some(Module { name: (*name).to_owned(), version: None }),
        [name, version] => Some(Module { name: (*name).to_owned(), version: Some((*version).to_owned()) }),
        _ => None,
    };
    Some((module()?, module()?))
}

/// A replacement of one version goes before that of all.
fn take((name, version): (String, String), replaced: &BTreeMap<Module, Module>, lock: &mut Lock) {
    let of = |version| replaced.get(&Module { name: name.clone(), version });
    match of(Some(version.clone())).or_else(|| of(None)) {
        None => lock.take("Go", &name, &version, false),
        Some(Module { name, version: Some(version) }) => lock.take("Go", name, version, false),
        Some(Module { version: None, .. }) => lock.leave_out(LOCAL),
    }
}

fn lists_all(go: Option<&str>) -> bool {
    let mut numbers = go.unwrap_or_default().split('.').map(|number| {
        number.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().unwrap_or(0)
    });
    (1, 17) <= (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// `1.22.3` of `1.22.3-custom`. Versions before a release are told apart by the `go` in front.
fn standard(version: &str) -> String {
    let version = version.split('-').next().unwrap_or(version);
    if version.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        format!("go{version}")
    } else {
        version.to_owned()
    }
}
