//! The artifacts of Maven in archives of Java, also in those that are in others, as applications bring their libraries.

mod stream;

use std::borrow::Cow;
use std::io::{self, Cursor, Read};

use memchr::memmem;
use stream::Stop;
use zip::ZipArchive;

use super::{Installed, has_extension};

/// The largest archive that is in memory for a while, and one in it besides; a larger one is read as it comes.
const WHOLE: u64 = 2 * 1024 * 1024;
/// An application of the web in one for enterprises has libraries in it: there is no deeper one.
const DEPTH: usize = 2;
/// The most files in an archive, with all that are in it.
const ENTRIES: usize = 200_000;
/// What stands before each file in the list of an archive (APPNOTE.TXT 4.3.12).
const LISTED: &[u8] = b"PK\x01\x02";
/// The most that is read of what names an artifact.
const TEXT: u64 = 64 * 1024;
/// The most that is unpacked of an archive: so many times its size, as inner archives are packed already, and a little.
const RATIO: u64 = 8;
/// The same of what is unpacked only to find its end.
const SKIPPED: u64 = 200;

/// What an archive says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Archive {
    /// The artifacts that it names.
    pub(crate) packages: Vec<Installed>,
    /// How many archives, it and those in it, hold classes and do not say of which artifact.
    pub(crate) unnamed: usize,
    /// Why something in it cannot be read.
    pub(crate) unread: Option<String>,
}

/// What an archive of this size says.
///
/// # Errors
/// When it cannot be read: then the layer cannot.
pub(super) fn read(file: impl Read, size: u64) -> io::Result<Archive> {
    let mut search = Search {
        found: Archive::default(),
        entries: ENTRIES,
        bytes: TEXT.saturating_add(size.saturating_mul(RATIO)),
        skipped: TEXT.saturating_add(size.saturating_mul(SKIPPED)),
    };
    let mut file = file.take(size);
    let read = if WHOLE < size {
        stream::read(&mut search, &mut file, 0)
    } else {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        search.archive(&bytes, 0).map_err(Stop::Archive)
    };
    match read {
        Ok(()) => {}
        Err(Stop::Archive(why)) => search.found.unread = Some(why),
        Err(Stop::Layer(error)) => return Err(error),
    }
    Ok(search.found)
}

struct Search {
    found: Archive,
    /// How many files, and how many bytes unpacked, there still may be.
    entries: usize,
    bytes: u64,
    /// How many bytes may be unpacked that nobody wants.
    skipped: u64,
}

impl Search {
    fn archive(&mut self, bytes: &[u8], depth: usize) -> Result<(), String> {
        // Before it is read: for each file that is listed some memory is taken.
        let listed = memmem::find_iter(bytes, LISTED).count();
        self.entries = self.entries.checked_sub(listed).ok_or("it holds too many files")?;
        let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| error.to_string())?;
        let names: Vec<String> = zip.file_names().flatten().map(Cow::into_owned).collect();
        let before = self.found.packages.len();
        for name in names.iter().filter(|name| is_properties(name)) {
            let text = self.unpack(&mut zip, name, TEXT)?;
            self.found.packages.extend(artifact(&String::from_utf8_lossy(&text)));
        }
        let inner: Vec<_> = names.iter().filter(|name| is_archive(name)).collect();
        for name in &inner {
            if let Err(why) = self.inner(&mut zip, name, depth) {
                self.found.unread.get_or_insert(format!("`{name:.200}` in it: {why}"));
            }
        }
        let is_named = before < self.found.packages.len() || !inner.is_empty();
        if is_named || !names.iter().any(|name| has_extension(name, "class")) {
            return Ok(());
        }
        self.found.unnamed += 1;
        Ok(())
    }

    fn inner(&mut self, zip: &mut ZipArchive<Cursor<&[u8]>>, name: &str, depth: usize) -> Result<(), String> {
        let file = zip.by_name(name).map_err(|error| error.to_string())?;
        match stream::inner(self, &mut { file }, depth) {
            Err(Stop::Archive(why)) => Err(why),
            Err(Stop::Layer(error)) => Err(error.to_string()),
            Ok(()) => Ok(()),
        }
    }

    /// The first bytes of a file in an archive.
    fn unpack(
        &mut self,
        zip: &mut ZipArchive<Cursor<&[u8]>>,
        name: &str,
        limit: u64,
    ) -> Result<Vec<u8>, String> {
        let file = zip.by_name(name).map_err(|error| error.to_string())?;
        match self.bytes_of(&mut { file }, limit) {
            Ok(bytes) => Ok(bytes),
            Err(Stop::Archive(why)) => Err(why),
            Err(Stop::Layer(error)) => Err(error.to_string()),
        }
    }

    /// The first bytes of a file that is unpacked.
    fn bytes_of(&mut self, file: &mut dyn Read, limit: u64) -> Result<Vec<u8>, Stop> {
        let mut bytes = Vec::new();
        file.take(limit.min(self.bytes)).read_to_end(&mut bytes)?;
        self.bytes = self.bytes.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.bytes == 0 { Err("it unpacks to too much".into()) } else { Ok(bytes) }
    }

    /// Unpacks the rest of a file for its end.
    fn skip(&mut self, file: &mut dyn Read) -> Result<(), Stop> {
        let count = io::copy(&mut file.take(self.skipped), &mut io::sink())?;
        self.skipped = self.skipped.saturating_sub(count);
        if self.skipped == 0 { Err("it unpacks to too much".into()) } else { Ok(()) }
    }
}

/// Whether it is an archive by its name.
pub(super) fn is_archive(path: &str) -> bool {
    ["jar", "war", "ear"].iter().any(|extension| has_extension(path, extension))
}

/// What Maven puts into each archive that it makes: `META-INF/maven/<group>/<artifact>/pom.properties` (Maven Archiver reference).
fn is_properties(path: &str) -> bool {
    // A manifest is not asked: there is no field for the group that all would use alike, and a wrong name is worse than none.
    let rest = path.strip_prefix("META-INF/maven/").and_then(|rest| rest.strip_suffix("/pom.properties"));
    rest.is_some_and(|folders| folders.matches('/').count() == 1)
}

fn artifact(properties: &str) -> Option<Installed> {
    let field = |name: &str| {
        properties.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    named(field("groupId")?, field("artifactId")?, field("version")?)
}

fn named(group: &str, artifact: &str, version: &str) -> Option<Installed> {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    // Such as `${project.version}`.
    let is_named = is_name(group) && is_name(artifact) && !version.contains('$');
    is_named.then(|| Installed::new(format!("{group}:{artifact}"), version).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn library(group: &str, name: &str, version: &str) -> Vec<u8> {
        let properties = format!(
            "#Created by Apache Maven 3.9.6\nversion={version}\ngroupId={group}\nartifactId={name}\n"
        );
        let path = format!("META-INF/maven/{group}/{name}/pom.properties");
        archive(&[
            ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n"),
            (&path, properties.as_bytes()),
            ("A.class", b"x"),
        ])
    }

    fn found(bytes: &[u8]) -> Archive {
        read(bytes, bytes.len().try_into().unwrap()).unwrap()
    }

    /// The same, read as a large one is.
    fn streamed(bytes: &[u8]) -> Archive {
        let size = u64::try_from(bytes.len()).unwrap();
        let mut search = Search {
            found: Archive::default(),
            entries: ENTRIES,
            bytes: TEXT + size * RATIO,
            skipped: TEXT + size * SKIPPED,
        };
        let mut from = bytes;
        match stream::read(&mut search, &mut from, 0) {
            Ok(()) => {}
            Err(Stop::Archive(why)) => search.found.unread = Some(why),
            Err(Stop::Layer(error)) => panic!("{error}"),
        }
        search.found
    }

    #[track_caller]
    fn check(bytes: &[u8], packages: &[&str], unnamed: usize) {
        for found in [found(bytes), streamed(bytes)] {
            let said: Vec<_> =
                found.packages.iter().map(|one| format!("{} {}", one.name, one.version)).collect();
            assert_eq!(
                (said, found.unnamed, found.unread),
                (packages.iter().map(ToString::to_string).collect(), unnamed, None)
            );
        }
    }

    #[test]
    fn an_archive_is_named_by_what_maven_puts_into_it() {
        let text = library("org.apache.commons", "commons-text", "1.9");
        check(&text, &["org.apache.commons:commons-text 1.9"], 0);
        // A script may stand before an archive, and many artifacts be in one.
        let script = [b"#!/bin/sh\nexec java -jar $0\n", &text[..]].concat();
        check(&script, &["org.apache.commons:commons-text 1.9"], 0);
        let both = archive(&[
            ("META-INF/maven/a/b/pom.properties", b"groupId = a\r\nartifactId = b\r\nversion = 1\r\n"),
            ("META-INF/maven/a/c/pom.properties", b"groupId=a\nartifactId=c\nversion=2\n"),
            ("META-INF/maven/a/d/pom.properties", b"groupId=a\nartifactId=d\nversion=${project.version}\n"),
            ("x/META-INF/maven/a/e/pom.properties", b"groupId=a\nartifactId=e\nversion=1\n"),
        ]);
        check(&both, &["a:b 1", "a:c 2"], 0);
    }

    #[test]
    fn what_only_a_manifest_names_is_counted() {
        let manifest = b"Implementation-Vendor-Id: org.apache\nImplementation-Version: 1.5\n";
        check(&archive(&[("META-INF/MANIFEST.MF", manifest), ("A.class", b"x")]), &[], 1);
        // Without classes it is no library.
        check(&archive(&[("a.txt", b"x")]), &[], 0);
    }

    #[test]
    fn archives_in_an_application_are_read_as_well() {
        let core = library("org.springframework", "spring-core", "5.3.0");
        let own = archive(&[("own/A.class", b"x")]);
        let war = archive(&[
            ("WEB-INF/lib/spring-core-5.3.0.jar", &core),
            ("WEB-INF/lib/own.jar", &own),
            ("A.class", b"x"),
        ]);
        check(&war, &["org.springframework:spring-core 5.3.0"], 1);
        let ear = archive(&[("app.war", &war)]);
        check(&ear, &["org.springframework:spring-core 5.3.0"], 1);
        let deeper = found(&archive(&[("app.ear", &ear)]));
        let why = deeper.unread.unwrap();
        assert!(deeper.packages.is_empty() && why.contains("too deep"), "{why}");
    }

    #[test]
    fn what_is_no_archive_or_too_much_of_one_is_told() {
        assert!(found(b"hello").unread.is_some());
        let large = read(io::empty(), WHOLE + 1).unwrap();
        assert_eq!(large.unread.unwrap(), "it has no end");
        let many = found(&LISTED.repeat(ENTRIES + 1));
        assert_eq!(many.unread.unwrap(), "it holds too many files");
        // A part that cannot be read does not take the rest with it.
        let zeros = vec![0; 2 << 20];
        let bomb = found(&archive(&[("a.jar", &zeros), ("b.jar", b"x")]));
        assert!(bomb.unread.unwrap().contains("unpacks to too much"));
        let some = archive(&[("a.jar", b"x"), ("b.jar", &library("g", "a", "1"))]);
        let some = found(&some);
        assert_eq!((some.packages.len(), some.unread.is_some()), (1, true));
    }

    /// An archive as `java.util.zip` writes it: how long each file is stands behind it.
    fn written_at_once(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new_stream(Vec::new());
        for (name, content) in files {
            writer.start_file(*name, SimpleFileOptions::default()).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_large_archive_is_read_as_it_comes() {
        let random = |size: usize| {
            let mut state = 1_u64;
            let byte = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_le_bytes()[7]
            };
            (0..size).map(byte).collect::<Vec<u8>>()
        };
        let (filler, core) = (random(3 << 20), library("g", "core", "1"));
        let large = archive(&[("x.bin", &filler), ("lib/core.jar", &core), ("A.class", b"x")]);
        let at_once = written_at_once(&[
            ("x.bin", &filler),
            ("META-INF/maven/g/own/pom.properties", b"groupId=g\nartifactId=own\nversion=2\n"),
            ("lib/core.jar", &core),
            ("lib/large.jar", &large),
        ]);
        check(&large, &["g:core 1"], 0);
        check(&at_once, &["g:own 2", "g:core 1", "g:core 1"], 0);
        let script = [b"#!/bin/sh\nexec java -jar $0\n", &at_once[..]].concat();
        check(&script, &["g:own 2", "g:core 1", "g:core 1"], 0);
    }

    #[test]
    fn a_list_that_says_something_else_is_told() {
        let core = library("g", "core", "1");
        let why = |bytes: &[u8]| streamed(bytes).unread.unwrap_or_default();
        assert_eq!(why(&core), "");
        let list = memmem::find(&core, LISTED).unwrap();
        let end = memmem::rfind(&core, b"PK\x05\x06").unwrap();
        // A file less in the list, a list that another one follows, no list at all, and one cut in two.
        let next = list + 4 + memmem::find(&core[list + 4..], LISTED).unwrap();
        assert!(why(&[&core[..list], &core[next..]].concat()).contains("not whole"));
        assert!(why(&[&core[..], &core[..]].concat()).contains("behind its end"));
        assert!(why(&core[..end]).contains("no end"));
        assert!(!why(&core[..end + 6]).is_empty());
        // The list names a place where nothing was read.
        let named = memmem::rfind(&core, b"META-INF/maven").unwrap();
        let mut moved = core.clone();
        moved[named - 4] ^= 1;
        assert!(why(&moved).contains("not where its list says"), "{}", why(&moved));
        let mut packed = core;
        let first = memmem::find(&packed, b"pom.properties").unwrap() + "pom.properties".len();
        packed[first] ^= 0xff;
        assert!(!why(&packed).is_empty());
    }
}
