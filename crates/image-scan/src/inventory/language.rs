//! What packages of languages say about themselves: npm, Python and Go.

use std::io::{self, Read};

use memchr::memmem;
use serde::Deserialize;

use super::Installed;

/// What stands before the build information of a Go program, at an address that 16 divides (Go, `debug/buildinfo`).
const GO_MAGIC: &[u8] = b"\xff Go buildinf:";
/// Where its two texts begin, behind the magic.
const GO_HEAD: usize = 32;
/// The most of it that is read: modules of the largest programs take a tenth of it.
const GO_LIMIT: usize = 1024 * 1024;

/// The package of a `package.json`.
///
/// # Errors
/// When that is no JSON, or names nothing.
pub(super) fn npm(bytes: &[u8]) -> Result<Installed, String> {
    #[derive(Deserialize)]
    struct Manifest {
        name: Option<String>,
        version: Option<String>,
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match (manifest.name, manifest.version) {
        (Some(name), Some(version)) => Installed::new(name, version),
        _ => Err("it has no name or no version".to_owned()),
    }
}

/// The package of a `METADATA` or `PKG-INFO` file (Python Packaging User Guide, "Core metadata specifications"), with its name as OSV has it.
///
/// # Errors
/// When it names nothing.
pub(super) fn python(text: &str) -> Result<Installed, String> {
    let head = || text.lines().take_while(|line| !line.is_empty());
    let field = |name: &str| {
        head().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    match (field("Name"), field("Version")) {
        (Some(name), Some(version)) => Installed::new(normalized(&name), version),
        _ => Err("it has no name or no version".to_owned()),
    }
}

/// The name of a Python package as it is compared (Python Packaging User Guide, "Names and normalization").
fn normalized(name: &str) -> String {
    let mut normal = String::new();
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !normal.is_empty() {
            normal.push('-');
        }
        normal.push_str(&part.to_ascii_lowercase());
    }
    normal
}

/// The modules of a Go program and the version of Go itself, which is `stdlib`; none where it is not made with Go 1.18 or newer. It is
/// read once, and little of it is in memory.
///
/// # Errors
/// When it cannot be read.
pub(super) fn go(mut program: impl Read) -> io::Result<Option<Vec<Installed>>> {
    let mut window = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = program.read(&mut chunk)?;
        if count == 0 {
            return Ok(None);
        }
        window.extend(chunk.get(..count).unwrap_or_default());
        while let Some(at) = memmem::find(&window, GO_MAGIC) {
            window.drain(..at);
            let wanted = u64::try_from(GO_LIMIT.saturating_sub(window.len())).unwrap_or(0);
            (&mut program).take(wanted).read_to_end(&mut window)?;
            if let Some(modules) = build_information(&window) {
                return Ok(Some(modules));
            }
            // A program that looks for the magic has it as well.
            window.drain(..GO_MAGIC.len());
        }
        let kept = window.len().min(GO_MAGIC.len() - 1);
        window.drain(..window.len() - kept);
    }
}

/// The two texts behind the magic, in the form that Go has had since 1.18.
fn build_information(bytes: &[u8]) -> Option<Vec<Installed>> {
    let is_inline = bytes.get(15)? & 2 != 0;
    let rest = bytes.get(GO_HEAD..).filter(|_| is_inline)?;
    let (version, rest) = text(rest)?;
    let (modules, _) = text(rest)?;
    let version = std::str::from_utf8(version).ok()?;
    let number = version.strip_prefix("go").or_else(|| version.strip_prefix("devel go"))?;
    // Such as `go1.22.1 X:nocoverageredesign`.
    let number = number.split([' ', '-']).next().unwrap_or_default();
    let mut found = vec![Installed::new("stdlib", number).ok()?];
    // Before and after the text are sixteen bytes each, by which others find it.
    let modules = modules.get(16..modules.len().saturating_sub(16)).unwrap_or_default();
    for line in String::from_utf8_lossy(modules).lines() {
        let mut words = line.split('\t');
        let (kind, name, version) = (words.next(), words.next(), words.next());
        match (kind, name, version) {
            (Some("dep"), Some(name), Some(version)) => found.push(Installed::new(name, version).ok()?),
            // What is there instead of the one before.
            (Some("=>"), Some(name), Some(version)) => {
                found.pop();
                found.push(Installed::new(name, version).ok()?);
            }
            (Some("mod"), Some(name), Some(version)) if version != "(devel)" && !version.is_empty() => {
                found.push(Installed::new(name, version).ok()?);
            }
            _ => {}
        }
    }
    Some(found)
}

/// A text behind its length, which is in groups of seven bits, the lowest first.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (at, byte) in bytes.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f).checked_shl(u32::try_from(at).ok()? * 7)?;
        if byte & 0x80 == 0 {
            let rest = bytes.get(at + 1..)?;
            return rest.split_at_checked(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(package: &Result<Installed, String>, expected: Option<(&str, &str)>) {
        let found = package.as_ref().ok().map(|one| (&*one.name, &*one.version));
        assert_eq!(found, expected, "{package:?}");
    }

    #[test]
    fn a_package_of_npm_has_a_name_and_a_version() {
        let ws = br#"{"version": "8.17.1", "a": {"name": "no"}, "name": "ws", "engines": {"node": ">=10"}}"#;
        check(&npm(ws), Some(("ws", "8.17.1")));
        for bad in ["{}", r#"{"name": "x"}"#, "", "[", r#"{"name": 1, "version": "1"}"#] {
            check(&npm(bad.as_bytes()), None);
        }
        let deep = format!("{}{}", r#"{"name": "x", "version": "1", "y": "#, "[".repeat(100_000));
        check(&npm(deep.as_bytes()), None);
    }

    #[test]
    fn a_python_package_is_named_as_it_is_compared() {
        let text =
            "Metadata-Version: 2.1\nName: Ruamel__Yaml.clib\nVersion: 0.2.8\n\nName: no\nVersion: no\n";
        check(&python(text), Some(("ruamel-yaml-clib", "0.2.8")));
        check(&python("name: x\r\nversion: 1.0\r\n"), Some(("x", "1.0")));
        check(&python("Name: x\n\nVersion: 1\n"), None);
    }

    /// A program with this build information at a place in it.
    fn program(before: usize, version: &str, modules: &str) -> Vec<u8> {
        let mut bytes = vec![7; before];
        bytes.extend(GO_MAGIC);
        bytes.extend([8, 2]);
        bytes.extend([0; 16]);
        let framed = [&[1; 16], modules.as_bytes(), &[2; 16]].concat();
        for text in [version.as_bytes(), &framed] {
            let mut length = text.len();
            while 0x7f < length {
                bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                length >>= 7;
            }
            bytes.push(u8::try_from(length).unwrap());
            bytes.extend(text);
        }
        bytes.resize(bytes.len() + 100_000, 9);
        bytes
    }

    fn modules(program: &[u8]) -> Option<Vec<String>> {
        let found = go(program).unwrap()?;
        Some(found.iter().map(|one| format!("{} {}", one.name, one.version)).collect())
    }

    #[test]
    fn a_go_program_names_its_modules_wherever_in_it_that_stands() {
        let text = "path\texample.org/x\nmod\texample.org/x\t(devel)\t\ndep\tgolang.org/x/net\tv0.17.0\th1:x=\n\
                    dep\told\tv1.0.0\n=>\tnew\tv1.0.1\th1:y=\nbuild\t-compiler=gc\n";
        let expected = ["stdlib 1.22.1", "golang.org/x/net v0.17.0", "new v1.0.1"].map(str::to_owned);
        // The magic itself may be cut in two by how it is read.
        for before in [0, 16, 65_520, 65_536, 65_530, 200_000] {
            assert_eq!(modules(&program(before, "go1.22.1", text)).unwrap(), expected, "{before}");
        }
        let looks_for_it = [GO_MAGIC, &[0; 40], &program(0, "go1.22.1 X:y", "mod\tm\tv1.2.3\t\n")].concat();
        assert_eq!(modules(&looks_for_it).unwrap(), ["stdlib 1.22.1", "m v1.2.3"]);
        assert_eq!(modules(&vec![3; 300_000]), None);
        assert_eq!(modules(GO_MAGIC), None);
        let whole = program(0, "go1.22.1", text);
        assert_eq!(modules(&whole[..60]), None);
    }
}
