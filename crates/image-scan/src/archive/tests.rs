//! Archives of `docker save`, in both of their forms.

use std::io::Write as _;

use tar::Header;

use super::*;

/// One file of an archive: its name, and what is in it or where it leads.
enum File<'a> {
    Of(&'a str, &'a [u8]),
    Link(&'a str, &'a str),
}
use File::{Link, Of};

fn tar(files: &[File<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        match file {
            Of(name, content) => {
                header.set_size(content.len().try_into().unwrap());
                builder.append_data(&mut header, name, *content).unwrap();
            }
            Link(name, to) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, name, to).unwrap();
            }
        }
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config(text: &str) -> (String, Vec<u8>) {
    let bytes = format!(r#"{{"architecture": "{text}"}}"#).into_bytes();
    (Digest::of(&bytes).hex().to_owned(), bytes)
}

/// The tag and the files of the layers of each image.
fn said(archive: &Archive) -> Vec<String> {
    let image = |(tag, manifest): &(Option<String>, Manifest)| {
        let shipkit_registry::ManifestKind::Image { config, layers, .. } = &manifest.kind else { panic!() };
        assert!(archive.text(&config.digest).unwrap().starts_with(b"{"));
        let files = layers.iter().map(|one| {
            let layer = archive.layer(&one.digest).unwrap();
            let paths = layer.entries.iter().map(|entry| entry.path.to_string()).collect::<Vec<_>>();
            format!("{} {}", one.media_type.rsplit('.').next().unwrap(), paths.join(","))
        });
        format!("{}: {}", tag.as_deref().unwrap_or("-"), files.collect::<Vec<_>>().join("; "))
    };
    archive.images.iter().map(image).collect()
}

#[track_caller]
fn check(files: &[File<'_>], expected: &[&str]) {
    assert_eq!(said(&Archive::read(&tar(files)[..]).unwrap()), expected);
}

#[test]
fn images_are_told_by_the_list_that_comes_last() {
    let (base, own) = (tar(&[Of("a", b"a")]), tar(&[Of("b", b"b")]));
    let ((one, first), (two, second)) = (config("amd64"), config("arm64"));
    let list = format!(
        r#"[{{"Config": "{one}.json", "RepoTags": ["shop/api:1", "api:2"], "Layers": ["x/layer.tar", "y/layer.tar"]}},
            {{"Config": "{two}.json", "RepoTags": null, "Layers": ["z/layer.tar"]}}]"#
    );
    let (one, two) = (format!("{one}.json"), format!("{two}.json"));
    check(
        &[
            Of(&two, &second),
            Of("x/VERSION", b"1.0"),
            Of("x/json", b"{}"),
            Of("x/layer.tar", &base),
            Of("y/layer.tar", &own),
            // What is there already is a link.
            Link("z/layer.tar", "../x/layer.tar"),
            Of(&one, &first),
            Of("manifest.json", list.as_bytes()),
            Of("repositories", b"{}"),
        ],
        &["shop/api:1: tar a; tar b", "-: tar a"],
    );
}

#[test]
fn an_archive_that_is_a_layout_as_well_is_read_by_its_list() {
    for (packed, media_type) in [
        (tar(&[Of("a", b"a")]), "tar"),
        (gzip(&tar(&[Of("a", b"a")])), "tar+gzip"),
        (zstd::encode_all(&tar(&[Of("a", b"a")])[..], 1).unwrap(), "tar+zstd"),
        // Nothing is in it.
        (vec![0; 1024], "tar"),
    ] {
        let (hex, config) = config("amd64");
        let layer = format!("blobs/sha256/{}", Digest::of(&packed).hex());
        let config_name = format!("blobs/sha256/{hex}");
        let list =
            format!(r#"[{{"Config": "{config_name}", "RepoTags": ["api:1"], "Layers": ["{layer}"]}}]"#);
        let files = [
            Of(&layer, &packed),
            Of(&config_name, &config),
            Of("index.json", br#"{"schemaVersion": 2, "manifests": []}"#),
            Of("manifest.json", list.as_bytes()),
            Of("oci-layout", b"{}"),
        ];
        let name = if packed[0] == 0 { "" } else { "a" };
        check(&files, &[&format!("api:1: {media_type} {name}")]);
    }
}

#[test]
fn what_is_not_as_it_is_said_to_be_is_an_error() {
    let layer = tar(&[Of("a", b"a")]);
    let (hex, config) = config("amd64");
    let name = format!("{hex}.json");
    let list = format!(r#"[{{"Config": "{name}", "Layers": ["x/layer.tar"]}}]"#);
    let good = [Of(&name, &config), Of("x/layer.tar", &layer), Of("manifest.json", list.as_bytes())];
    check(&good, &["-: tar a"]);
    let why = |bytes: &[u8]| Archive::read(bytes).unwrap_err().to_string();
    for (files, expected) in [
        (vec![Of("x/layer.tar", &layer), Of(&name, &config)], "it has no `manifest.json`"),
        (vec![Of("x/layer.tar", &layer), Of("manifest.json", list.as_bytes())], "it has no `"),
        (vec![Of(&name, &config), Of("manifest.json", list.as_bytes())], "it has no `x/layer.tar`"),
        (vec![Of("manifest.json", b"[]")], "it lists no image"),
        (vec![Of("manifest.json", b"{}")], "its `manifest.json` cannot be understood"),
        (vec![Of(&name, b"{}"), Of("x/layer.tar", &layer)], "holds other bytes than its name says"),
        (vec![Of("blobs/sha256/", b"")], "it has no `manifest.json`"),
        (vec![Of("manifest.json", b"[]"), Of("manifest.json", b"[]")], "`manifest.json` occurs twice"),
        (vec![Of("x/layer.tar", &layer), Of("x/layer.tar", &layer)], "`x/layer.tar` occurs twice"),
        (vec![Of("x/layer.tar", &layer[..600])], "the layer `x/layer.tar` cannot be read"),
        (vec![Of("x/layer.tar", b"\x1f\x8b garbage")], "the layer `x/layer.tar` cannot be read"),
        (vec![Link("x/layer.tar", "../x/layer.tar")], "it has no `manifest.json`"),
    ] {
        let found = why(&tar(&files));
        assert!(found.contains(expected), "{found}: {expected}");
    }
    let named = format!("blobs/sha256/{hex}");
    assert!(why(&tar(&[Of(&named, &layer)])).contains("holds other bytes"));
    let long = [b"{".to_vec(), vec![b' '; 8 * 1024 * 1024]].concat();
    assert!(why(&tar(&[Of("a", &long)])).contains("larger than"));
    let whole = tar(&good);
    assert!(why(&whole[..whole.len() / 2]).contains("cannot be read"));
    assert!(why(b"hello").contains("it has no") || why(b"hello").contains("no tar"));
    // A link to itself ends.
    let looped = [Of(&name, &config), Link("x/layer.tar", "layer.tar"), Of("manifest.json", list.as_bytes())];
    assert!(why(&tar(&looped)).contains("it has no `x/layer.tar`"));
}
