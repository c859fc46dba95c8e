//! OCI layouts: a folder, a tar, and what a hostile one may try.

use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use shipkit_core::Digest;
use shipkit_core::Hint as _;
use shipkit_core::exit::ExitCode;
use shipkit_registry::layout::{Layout, LayoutError};
use shipkit_registry::{ManifestKind, OCI_INDEX, OCI_MANIFEST};
use tempfile::TempDir;

const CONFIG: &str = r#"{"os":"linux","architecture":"amd64"}"#;

fn write_blob(folder: &Path, text: &str) -> Digest {
    let digest = Digest::of(text.as_bytes());
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join(digest.hex()), text).unwrap();
    digest
}

/// A layout with one image without layers.
fn layout() -> (TempDir, Digest) {
    let folder = tempfile::tempdir().unwrap();
    let config = write_blob(folder.path(), CONFIG);
    let manifest = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
        "config": {"mediaType": "c", "digest": config, "size": CONFIG.len()}})
    .to_string();
    let digest = write_blob(folder.path(), &manifest);
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [{"mediaType": OCI_MANIFEST, "digest": digest, "size": manifest.len()}]});
    std::fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
    std::fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    (folder, digest)
}

fn tar(folder: &Path, format: &str) -> TempDir {
    let out = tempfile::tempdir().unwrap();
    let status = Command::new("tar")
        .args(["--create", "--format", format, "--file"])
        .arg(out.path().join("image.tar"))
        .arg("--directory")
        .arg(folder)
        .arg(".")
        .status();
    assert!(status.unwrap().success());
    out
}

#[track_caller]
fn check(path: &Path, digest: &Digest) {
    let layout = Layout::open(path).unwrap();
    let [descriptor] = layout.manifests() else { panic!("not one manifest") };
    assert_eq!(descriptor.digest, *digest);
    let manifest = layout.manifest(descriptor).unwrap();
    let ManifestKind::Image { config, .. } = &manifest.kind else { panic!("an index") };
    assert_eq!(layout.blob(config, 1000).unwrap().as_ref(), CONFIG.as_bytes());
    assert!(matches!(layout.blob(config, 5), Err(LayoutError::TooLarge { .. })));
}

#[test]
fn a_folder_and_a_tar_of_it_read_the_same() {
    let (folder, digest) = layout();
    check(folder.path(), &digest);
    for format in ["ustar", "gnu", "pax"] {
        check(&tar(folder.path(), format).path().join("image.tar"), &digest);
    }
}

#[test]
fn other_bytes_than_the_name_says_are_refused() {
    let (folder, digest) = layout();
    let path = folder.path().join("blobs/sha256").join(digest.hex());
    let same_size = std::fs::read_to_string(&path).unwrap().replace("layers", "LAYERS");
    for (wrong, text) in [("shorter", "{}"), ("longer", &"x".repeat(10_000)), ("changed", &same_size)] {
        std::fs::write(&path, text).unwrap();
        let layout = Layout::open(folder.path()).unwrap();
        let error = layout.manifest(&layout.manifests()[0]).unwrap_err();
        assert!(matches!(error, LayoutError::WrongBytes { .. }), "{wrong}: {error}");
        assert_eq!(error.exit_code(), ExitCode::Unknown);
    }
}

#[test]
fn a_blob_that_is_read_bit_by_bit_is_refused_at_its_end() {
    let (folder, digest) = layout();
    let path = folder.path().join("blobs/sha256").join(digest.hex());
    let whole = std::fs::read_to_string(&path).unwrap();
    let read = |layout: &Layout| {
        let mut text = String::new();
        layout.read_blob(&layout.manifests()[0]).map(|mut blob| blob.read_to_string(&mut text).map(|_| text))
    };
    let out = tar(folder.path(), "ustar");
    for path in [folder.path().to_owned(), out.path().join("image.tar")] {
        assert_eq!(read(&Layout::open(path).unwrap()).unwrap().unwrap(), whole);
    }
    std::fs::write(&path, whole.replace("layers", "LAYERS")).unwrap();
    let error = read(&Layout::open(folder.path()).unwrap()).unwrap().unwrap_err();
    assert!(error.to_string().contains("other bytes than its name says"), "{error}");
    std::fs::write(&path, format!("{whole} ")).unwrap();
    let error = read(&Layout::open(folder.path()).unwrap()).unwrap_err();
    assert!(matches!(error, LayoutError::WrongBytes { .. }), "{error}");
}

#[test]
fn a_link_is_not_followed() {
    let (folder, digest) = layout();
    let blob = folder.path().join("blobs/sha256").join(digest.hex());
    std::fs::rename(&blob, folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &blob).unwrap();
    let layout = Layout::open(folder.path()).unwrap();
    assert!(matches!(layout.manifest(&layout.manifests()[0]), Err(LayoutError::Io { .. })));
}

#[test]
fn what_is_missing_is_named() {
    let (folder, digest) = layout();
    std::fs::remove_file(folder.path().join("blobs/sha256").join(digest.hex())).unwrap();
    for path in [folder.path().to_owned(), tar(folder.path(), "ustar").keep().join("image.tar")] {
        let layout = Layout::open(path).unwrap();
        let error = layout.manifest(&layout.manifests()[0]).unwrap_err();
        assert!(error.to_string().contains(digest.hex()), "{error}");
    }
    let empty = tempfile::tempdir().unwrap();
    let error = Layout::open(empty.path()).unwrap_err();
    assert!(error.to_string().contains("index.json") && error.hint().is_some(), "{error}");
    assert_eq!(error.exit_code(), ExitCode::Usage);
}

#[test]
fn a_damaged_tar_is_an_error_wherever_it_is_damaged() {
    let (folder, _digest) = layout();
    let out = tar(folder.path(), "ustar");
    let path = out.path().join("image.tar");
    let whole = std::fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(256) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        if let Ok(layout) = Layout::open(&path) {
            // Only the padding at the end may be missing.
            assert!(layout.manifest(&layout.manifests()[0]).is_ok(), "cut at {cut}");
        }
    }
    for at in (0..whole.len()).step_by(37) {
        let mut broken = whole.clone();
        broken[at] ^= 0x41;
        std::fs::write(&path, &broken).unwrap();
        if let Ok(layout) = Layout::open(&path)
            && let Some(descriptor) = layout.manifests().first()
            && let Ok(manifest) = layout.manifest(descriptor)
        {
            assert_eq!(Digest::of(&manifest.bytes), descriptor.digest, "a bit at {at}");
        }
    }
}
