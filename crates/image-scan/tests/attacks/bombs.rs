//! What is small, and large once it is unpacked.

use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use shipkit_core::Digest;
use zip::write::SimpleFileOptions;

use crate::tars::{file, gzip, header, tar};
use crate::victim::{GZIP, Victim, ZSTD, refused};

const MIB: usize = 1 << 20;

/// A zip of one file of zeros.
fn zip_of_zeros(name: &str, mib: usize) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, SimpleFileOptions::default()).unwrap();
    let zeros = vec![0; MIB];
    for _ in 0..mib {
        zip.write_all(&zeros).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_gigabyte_of_zeros_is_not_read_to_its_end() {
    let zeros = vec![0; 16 * MIB];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&zeros).unwrap();
    let gz_of_zeros = encoder.finish().unwrap();
    // As the end of a tar, and as the content of a file in it.
    for start in [Vec::new(), header(b"app/big", b'0', b"", 1 << 30).to_vec()] {
        let gz = [gzip(&start), gz_of_zeros.repeat(64)].concat();
        refused(&Victim::new().packed(GZIP, &gz, Digest::of(b"")).scan(), "as only a bomb does");
        let pack = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
        let zstd = [pack(&start), pack(&zeros).repeat(64)].concat();
        refused(&Victim::new().packed(ZSTD, &zstd, Digest::of(b"")).scan(), "as only a bomb does");
    }
}

#[test]
fn a_window_of_zstd_that_takes_all_memory_is_refused() {
    // A frame with a window of 2^41 bytes (RFC 8878 3.1.1.1.2), and in it one empty block.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 31 << 3, 1, 0, 0];
    refused(&Victim::new().packed(ZSTD, &frame, Digest::of(b"")).scan(), "it cannot be unpacked");
}

#[test]
fn a_jar_in_a_jar_is_not_unpacked_whole() {
    let bomb = zip_of_zeros("lib/inner.jar", 512);
    let outer = tar(&[file("app/app.jar", &bomb)]);
    let done = Victim::with_advisories().layer(&outer).scan();
    refused(&done, "`app/app.jar` cannot be read: `lib/inner.jar` in it: it ");
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for number in 0..400 {
        zip.start_file(format!("META-INF/maven/g/{number}/pom.properties"), SimpleFileOptions::default())
            .unwrap();
        zip.write_all(&vec![b' '; MIB]).unwrap();
    }
    let many = tar(&[file("app/app.jar", &zip.finish().unwrap().into_inner())]);
    refused(&Victim::with_advisories().layer(&many).scan(), "it unpacks to too much");
}

#[test]
fn an_archive_of_advisories_is_not_unpacked_whole() {
    let victim = Victim::with_advisories();
    victim.write("advisories/npm/all.zip", zip_of_zeros("X-1.json", 512));
    let ws = tar(&[file("app/node_modules/ws/package.json", br#"{"name": "ws", "version": "1.0.0"}"#)]);
    let victim = victim.layer(&ws);
    refused(&victim.scan(), "a record that is too large");
    // Of each that is not about the image little is kept, whatever it says.
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for number in 0..60 {
        let id = format!("{number}{}", "x".repeat(10 * MIB));
        zip.start_file(format!("{number}.json"), SimpleFileOptions::default()).unwrap();
        zip.write_all(json!({"id": id, "modified": id, "affected": []}).to_string().as_bytes()).unwrap();
    }
    victim.write("advisories/npm/all.zip", zip.finish().unwrap().into_inner());
    let done = victim.scan();
    assert_eq!(done.exit, Some(3), "{done:#?}");
}
