//! What programs name that they were built from: the modules of Go, and the crates of Rust.

use std::io::{self, Read};

use memchr::memmem;

use super::crates::Lists;
use super::{Found, Installed};

/// What stands before the build information of a Go program, at an address that 16 divides (Go, `debug/buildinfo`).
const GO_MAGIC: &[u8] = b"\xff Go buildinf:";
/// Where its two texts begin, behind the magic.
const GO_HEAD: usize = 32;
/// The most that is read of either: modules of the largest programs take a tenth of it.
const LIMIT: usize = 1024 * 1024;

/// What a program names: its modules and the version of Go, which is `stdlib`, where it is made with Go 1.18 or newer; its crates where it
/// is made with `cargo auditable`. Whichever stands first in it counts. It is read once, and little of it is in memory.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read(program: impl Read) -> io::Result<Option<Found>> {
    let mut search = Search { program, window: Vec::new(), lists: Lists::default(), go: 0, rust: 0 };
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = search.program.read(&mut chunk)?;
        search.window.extend(chunk.get(..count).unwrap_or_default());
        search.lists.seen(count);
        if let Some(modules) = search.modules()? {
            return Ok(Some(Found::Language("Go", modules)));
        }
        let is_end = count == 0;
        if let Some(crates) = search.crates(is_end)? {
            return Ok(Some(crates.map_or_else(Found::Unreadable, |all| Found::Language("crates.io", all))));
        }
        if is_end {
            return Ok(None);
        }
        search.forget();
    }
}

/// A piece of a program, and from where in it there is still something to look for.
struct Search<R> {
    program: R,
    window: Vec<u8>,
    lists: Lists,
    go: usize,
    rust: usize,
}

impl<R: Read> Search<R> {
    fn modules(&mut self) -> io::Result<Option<Vec<Installed>>> {
        while let Some(at) = memmem::find(from(&self.window, self.go), GO_MAGIC) {
            let at = self.go + at;
            self.read_on(at)?;
            if let Some(modules) = build_information(from(&self.window, at)) {
                return Ok(Some(modules));
            }
            // A program that looks for the magic has it as well.
            self.go = at + GO_MAGIC.len();
        }
        self.go = self.go.max(self.window.len().saturating_sub(GO_MAGIC.len() - 1));
        Ok(None)
    }

    /// The crates, or why they cannot be known.
    fn crates(&mut self, is_end: bool) -> io::Result<Option<Result<Vec<Installed>, String>>> {
        // The others are looked at when what follows them is there.
        let end = self.window.len().saturating_sub(if is_end { 0 } else { Lists::BEGINNING });
        while let Some(at) = Lists::find(self.window.get(self.rust..end).unwrap_or_default()) {
            let at = self.rust + at;
            self.rust = at + 1;
            match self.lists.begins(from(&self.window, at)) {
                Ok(false) => {}
                Ok(true) => {
                    self.read_on(at)?;
                    return Ok(Some(Lists::read(from(&self.window, at))));
                }
                Err(why) => return Ok(Some(Err(why))),
            }
        }
        self.rust = self.rust.max(end);
        Ok(None)
    }

    /// Has as much in the window as is read of what begins there.
    fn read_on(&mut self, at: usize) -> io::Result<()> {
        let wanted = LIMIT.saturating_sub(self.window.len().saturating_sub(at));
        let count =
            (&mut self.program).take(u64::try_from(wanted).unwrap_or(0)).read_to_end(&mut self.window)?;
        self.lists.seen(count);
        Ok(())
    }

    fn forget(&mut self) {
        let done = self.go.min(self.rust).min(self.window.len());
        self.window.drain(..done);
        self.go -= done;
        self.rust -= done;
    }
}

fn from(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
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
        let Some(Found::Language("Go", found)) = read(program).unwrap() else { return None };
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
