//! Writes an image to measure with: `image FOLDER` makes an OCI layout, which is an archive of Docker as well once it is packed, of a Debian with
//! Node.js and an application: about 370 MB packed and 113,000 entries in five layers. Nothing in it is real, but sizes, numbers of files and how well it packs are those of a real one, and it
//! is the same bytes every time.

#![allow(
    clippy::print_stdout,
    clippy::format_push_string,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "it makes what others measure, on the machine of who measures"
)]

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shipkit_core::Digest;
use tar::{Builder, EntryType, Header};

/// How many words there are to write texts with.
const WORDS: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("the folder is not named")?;
    let blobs = Path::new(&folder).join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let makers: [fn(&mut Tar) -> io::Result<()>; 5] = [debian, node, python, modules, application];
    let layers = thread::scope(|scope| {
        let (blobs, makers) = (&blobs, makers.into_iter().enumerate());
        let running: Vec<_> =
            makers.map(|(number, make)| scope.spawn(move || layer(blobs, number, make))).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect::<io::Result<Vec<_>>>()
    })?;
    let diff_ids: Vec<_> = layers.iter().map(|(_, diff_id, _)| diff_id).collect();
    let entries: usize = layers.iter().map(|(_, _, entries)| entries).sum();
    let layers: Vec<_> = layers.iter().map(|(descriptor, ..)| descriptor).collect();
    let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "config": {"User": "node", "Healthcheck": {"Test": ["CMD", "/check"]}}});
    let config = blob(&blobs, "application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers});
    let manifest = blob(&blobs, media_type, manifest.to_string().as_bytes())?;
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(Path::new(&folder).join("index.json"), index.to_string())?;
    let path = |blob: &Value| {
        let digest = blob["digest"].as_str().unwrap_or_default();
        format!("blobs/{}", digest.replace(':', "/"))
    };
    let layers: Vec<_> = layers.into_iter().map(path).collect();
    let archive = json!([{"Config": path(&config), "RepoTags": null, "Layers": layers}]);
    fs::write(Path::new(&folder).join("manifest.json"), archive.to_string())?;
    println!("{} {entries}", manifest["digest"].as_str().unwrap_or_default());
    Ok(())
}

fn blob(blobs: &Path, media_type: &str, bytes: &[u8]) -> io::Result<Value> {
    let digest = Digest::of(bytes);
    fs::write(blobs.join(digest.hex()), bytes)?;
    Ok(json!({"mediaType": media_type, "digest": digest, "size": bytes.len()}))
}

/// One layer: its descriptor, the digest of its tar, and how many entries it has.
fn layer(
    blobs: &Path,
    number: usize,
    make: fn(&mut Tar) -> io::Result<()>,
) -> io::Result<(Value, Digest, usize)> {
    let path = blobs.join(format!("making-{number}"));
    let packed =
        GzEncoder::new(Hashed::new(io::BufWriter::new(fs::File::create(&path)?)), Compression::new(6));
    let mut tar =
        Tar { builder: Builder::new(Hashed::new(packed)), random: Random::new(number as u64), entries: 0 };
    make(&mut tar)?;
    let entries = tar.entries;
    let unpacked = tar.builder.into_inner()?;
    let diff_id = Digest::from_sha256(unpacked.hash.finalize().as_ref());
    let mut packed = unpacked.to.finish()?;
    packed.to.flush()?;
    let digest = Digest::from_sha256(packed.hash.finalize().as_ref());
    fs::rename(path, blobs.join(digest.hex()))?;
    let descriptor = json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": packed.seen});
    Ok((descriptor, diff_id, entries))
}

fn debian(tar: &mut Tar) -> io::Result<()> {
    tar.file(
        "etc/os-release",
        0o644,
        b"ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
    )?;
    tar.link("bin", "usr/bin")?;
    tar.link("lib", "usr/lib")?;
    let mut status = String::new();
    for package in 0..497 {
        let (name, source) = (format!("package-{package}"), format!("source-{}", package % 425));
        status.push_str(&format!(
            "Package: {name}\nStatus: install ok installed\nSource: {source}\nVersion: 1.{package}-1+deb12u1\nDescription: a package\n\n"
        ));
        let mut list = format!("/.\n/usr\n/usr/share\n/usr/share/{name}\n");
        tar.folder(&format!("usr/share/{name}"))?;
        for file in 0..40 {
            let path = format!("usr/share/{name}/{}-{file}.txt", tar.random.word());
            list.push_str(&format!("/{path}\n"));
            tar.text(&path, 0o644, 12_000)?;
        }
        for file in 0..40 {
            list.push_str(&format!("/usr/share/doc/{name}/{file}\n"));
        }
        if package < 400 {
            let path = format!("usr/bin/program-{package}");
            list.push_str(&format!("/{path}\n"));
            tar.program(&path, 0o755, 300_000)?;
        }
        tar.file(&format!("var/lib/dpkg/info/{name}.list"), 0o644, list.as_bytes())?;
    }
    tar.file("var/lib/dpkg/status", 0o644, status.as_bytes())
}

fn node(tar: &mut Tar) -> io::Result<()> {
    tar.program("usr/local/bin/node", 0o755, 95_000_000)?;
    let version =
        b"#define NODE_MAJOR_VERSION 20\n#define NODE_MINOR_VERSION 18\n#define NODE_PATCH_VERSION 1\n";
    tar.file("usr/local/include/node/node_version.h", 0o644, version)?;
    tar.packages("usr/local/lib/node_modules/npm/node_modules", 230, 12, 10_000)
}

fn python(tar: &mut Tar) -> io::Result<()> {
    tar.text("usr/lib/python3.11/os.py", 0o644, 40_000)?;
    for folder in 0..100 {
        tar.folder(&format!("usr/lib/python3.11/part{folder}"))?;
        for file in 0..80 {
            tar.text(&format!("usr/lib/python3.11/part{folder}/{file}.py"), 0o644, 12_000)?;
        }
    }
    for wheel in 0..9 {
        let metadata = format!("Metadata-Version: 2.1\nName: wheel{wheel}\nVersion: 1.{wheel}\n\n");
        let path = format!("usr/lib/python3/dist-packages/wheel{wheel}-1.{wheel}.dist-info/METADATA");
        tar.file(&path, 0o644, metadata.as_bytes())?;
    }
    Ok(())
}

fn modules(tar: &mut Tar) -> io::Result<()> {
    tar.packages("app/node_modules", 3960, 17, 5_000)
}

fn application(tar: &mut Tar) -> io::Result<()> {
    tar.folder("app/dist")?;
    for file in 0..1000 {
        tar.text(&format!("app/dist/{file}.js"), 0o644, 60_000)?;
    }
    tar.file("app/package.json", 0o644, br#"{"name": "app", "version": "1.0.0"}"#)?;
    for package in 0..50 {
        tar.file(&format!("usr/share/.wh.package-{package}"), 0o644, b"")?;
    }
    Ok(())
}

/// A tar that is being written.
struct Tar {
    builder: Builder<Hashed<GzEncoder<Hashed<io::BufWriter<fs::File>>>>>,
    random: Random,
    entries: usize,
}

impl Tar {
    /// Packages of npm, each with so many files of about this size.
    fn packages(&mut self, folder: &str, count: usize, files: usize, size: usize) -> io::Result<()> {
        for package in 0..count {
            let name = format!("{}-{package}", self.random.word());
            let path = format!("{folder}/{name}");
            self.folder(&path)?;
            let manifest = format!(
                r#"{{"name": "{name}", "version": "1.{package}.0", "description": "a package", "main": "lib/0.js", "license": "MIT"}}"#
            );
            self.file(&format!("{path}/package.json"), 0o644, manifest.as_bytes())?;
            self.folder(&format!("{path}/lib"))?;
            for file in 0..files {
                let name = format!("{path}/lib/{}-{file}.js", self.random.word());
                self.text(&name, 0o644, size)?;
            }
        }
        Ok(())
    }

    fn text(&mut self, path: &str, mode: u32, size: usize) -> io::Result<()> {
        let text = self.random.text(size);
        self.file(path, mode, &text)
    }

    /// Code and tables of a program: what is random, what repeats, and zeros.
    fn program(&mut self, path: &str, mode: u32, size: usize) -> io::Result<()> {
        let mut bytes = b"\x7fELF".to_vec();
        while bytes.len() < size {
            let (first, second) = (self.random.next(), self.random.next());
            bytes.extend(first.to_le_bytes());
            bytes.extend([0x48, 0x89, 0xe5, 0xff, 0x15, 0, 0, 0, (second & 15) as u8, 0x8b, 0x45, 0xf8]);
            bytes.extend(&second.to_le_bytes()[..5]);
        }
        self.file(path, mode, &bytes)
    }

    fn folder(&mut self, path: &str) -> io::Result<()> {
        self.add(path, EntryType::Directory, 0o755, &[])
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.add(path, EntryType::Regular, mode, content)
    }

    fn link(&mut self, path: &str, to: &str) -> io::Result<()> {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        self.entries += 1;
        self.builder.append_link(&mut header, path, to)
    }

    fn add(&mut self, path: &str, kind: EntryType, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut header = header(kind, mode, content.len());
        self.entries += 1;
        self.builder.append_data(&mut header, path, content)
    }
}

fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(1_700_000_000);
    header
}

/// Numbers that are the same every time (Marsaglia, "Xorshift RNGs").
struct Random {
    state: u64,
    words: Vec<Vec<u8>>,
}

impl Random {
    fn new(seed: u64) -> Self {
        let mut random = Self { state: 0x9e37_79b9_7f4a_7c15 ^ (seed + 1), words: Vec::new() };
        for _ in 0..WORDS {
            let length = 3 + random.next() % 8;
            let word = (0..length).map(|_| b'a' + (random.next() % 26) as u8).collect();
            random.words.push(word);
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// Some words are far more frequent than others.
    fn place(&mut self) -> usize {
        let (a, b) = (self.next() as usize % WORDS, self.next() as usize % WORDS);
        a * b / WORDS
    }

    fn word(&mut self) -> String {
        let place = self.place();
        String::from_utf8_lossy(&self.words[place]).into_owned()
    }

    fn text(&mut self, size: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(size + 16);
        while text.len() < size {
            let place = self.place();
            text.extend(&self.words[place]);
            text.push(if place.is_multiple_of(9) { b'\n' } else { b' ' });
        }
        text
    }
}

/// Hashes and counts what goes through.
struct Hashed<W> {
    to: W,
    hash: Sha256,
    seen: u64,
}

impl<W> Hashed<W> {
    fn new(to: W) -> Self {
        Self { to, hash: Sha256::new(), seen: 0 }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.seen += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
