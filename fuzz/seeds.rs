//! Writes the inputs that fuzzing begins with into `corpus`: one or more of each kind that a parser knows, small, and right.

// What counts which code was reached is in it, and all code here is built to be counted.
use libfuzzer_sys as _;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use serde_json::{Value, json};

/// The list of crates that `cargo auditable` wrote into a program, as the tests of image-scan have it.
const CRATES: &[u8] = include_bytes!("../crates/image-scan/src/inventory/crates/dep-v0");
const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OS: &str = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
const DPKG: &str = "Package: libc6\nStatus: install ok installed\nSource: glibc (2.36-9)\nVersion: 2.36-9+deb12u10\n\n\
                    Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n";
const APK: &str =
    "C:Q1x=\nP:musl\nV:1.2.5-r8\no:musl\nF:lib\nR:libc.musl-x86_64.so.1\na:0:0:777\nF:\nR:x\n\n";
const NPM: &str = r#"{"name": "@nestjs/core", "version": "10.1.0", "dependencies": {"ws": "^8"}}"#;
const PYTHON: &str = "Metadata-Version: 2.1\nName: Some.Name\nVersion: 1.0rc1\n\ntext\n";
const NODE: &str =
    "#define NODE_MAJOR_VERSION 18\n#define NODE_MINOR_VERSION 2\n#define NODE_PATCH_VERSION 0\n";
const VERSIONS: [&str; 8] = [
    "1:1.2.13.dfsg-1+deb12u1~bpo1\n1.2.13-1\n1.2.13~rc1-1",
    "3.3.2_rc1-r4\n3.3.2-r4\n3.3.2a_p1-r1",
    "1.0.0-rc.1+build.5\n1.0.0\n1.0.0-alpha.beta",
    "1!2.0.post1.dev3+local.7\n2.0a1\n2.0",
    "go1.22rc1\nv0.0.0-20230101000000-abcdef123456\nv1.2.3+incompatible",
    "1.0-alpha-1\n1.0.RC2-SNAPSHOT\n1.0.Final",
    "2.1.foo-3\n2.1-sp\n2.1",
    "0\n00\n0.0",
];

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, seeds) in texts().into_iter().chain(archives()).chain(documents()) {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder).expect("the corpus can be written");
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed).expect("the corpus can be written");
        }
    }
}

type Seeds = Vec<(&'static str, Vec<Vec<u8>>)>;

fn texts() -> Seeds {
    let lists = "/usr\n/usr/lib/libz.so\n";
    let purls = "pkg:npm/%40nestjs/core@10.1.0?a=b#c/d\npkg:npm/%40nestjs/core\npkg:oci/x@sha256%3Aabc?repository_url=ghcr.io/x";
    let ignore = "src/a.md\n# text\n**/*.md\n!README.md\nfoo?\n[a-z]*/b\n\\!x\n";
    let strings = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    vec![
        ("dpkg", strings(&[DPKG, lists])),
        ("apk", strings(&[APK])),
        ("npm", strings(&[NPM])),
        ("python", strings(&[PYTHON])),
        ("system", strings(&[OS, NODE])),
        ("versions", strings(&VERSIONS)),
        ("purl", strings(&[purls])),
        ("dockerignore", strings(&[ignore])),
    ]
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        if let Some((path, to)) = path.split_once(" -> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, path, to).expect("memory takes it");
        } else {
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, *content).expect("memory takes it");
        }
    }
    builder.into_inner().expect("memory takes it")
}

/// The beginning of a program of Go that names its modules.
fn go() -> Vec<u8> {
    let modules =
        b"path\tx\nmod\tx\tv1.0.0\t\ndep\tgolang.org/x/net\tv0.17.0\th1:x=\n=>\tnew\tv1.0.1\th1:y=\n";
    let framed = [&[1; 16][..], modules, &[2; 16]].concat();
    let length = u8::try_from(framed.len()).expect("it is short");
    let text = [&[8][..], b"go1.22.1", &[length], &framed].concat();
    [&b"\xff Go buildinf:\x08\x02"[..], &[0; 16], &text, &[0; 64]].concat()
}

fn jar() -> Vec<u8> {
    let zip = |files: &[(&str, &[u8])]| {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("memory takes it");
            zip.write_all(content).expect("memory takes it");
        }
        zip.finish().expect("memory takes it").into_inner()
    };
    let properties = b"groupId=org.x\nartifactId=y\nversion=1.0\n";
    let inner = zip(&[("META-INF/maven/org.x/y/pom.properties", properties), ("X.class", b"")]);
    zip(&[
        ("BOOT-INF/lib/y-1.0.jar", &inner),
        ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n"),
        ("Y.class", b""),
    ])
}

fn archives() -> Seeds {
    let long = format!("{}/package.json", "node_modules/a/".repeat(20));
    let lower = tar(&[
        ("etc/os-release", OS.as_bytes()),
        ("var/lib/dpkg/status", DPKG.as_bytes()),
        ("var/lib/dpkg/info/libc6.list", b"/lib/x\n"),
        ("lib -> usr/lib", b""),
        (&long, NPM.as_bytes()),
    ]);
    let upper = tar(&[
        ("app/.wh.x", b""),
        ("var/.wh..wh..opq", b""),
        ("lib/x.dist-info/METADATA", PYTHON.as_bytes()),
        ("a/node_modules -> ../node_modules", b""),
        ("app/.env", b"PASSWORD=x\n"),
    ]);
    let mut gzip = flate2::read::GzEncoder::new(&lower[..], flate2::Compression::fast());
    let mut packed = vec![1];
    std::io::copy(&mut gzip, &mut packed).expect("memory takes it");
    let zstd = zstd::encode_all(&lower[..], 1).expect("memory takes it");
    let mut crates = Vec::new();
    std::io::copy(&mut flate2::read::ZlibDecoder::new(CRATES), &mut crates).expect("the fixture is packed");
    // No records that were not understood, one package with one row, one record: an id and empty lists.
    let row = [0, 1, 2, 0, 0, 1, 1, b'2', 0, 0, 0, 0];
    let index = [&[0, 1, 1, b'a', 12, 1, 10][..], &row, &[1, b'X', 0, 0, 0, 0, 0, 0, 1, b's']].concat();
    let layout = tar(&[("index.json", manifests()[1].to_string().as_bytes()), ("oci-layout", b"{}")]);
    vec![
        ("image", vec![[&lower[..lower.len() - 1024], &upper].concat(), [upper, lower.clone()].concat()]),
        ("layer", vec![[&[0][..], &lower].concat(), packed, [&[2][..], &zstd].concat()]),
        ("program", vec![go(), CRATES.to_vec()]),
        ("crates", vec![crates]),
        ("jar", vec![jar()]),
        ("index", vec![index, vec![0, 0, 0]]),
        ("layout", vec![layout]),
    ]
}

fn manifests() -> [Value; 2] {
    let descriptor = |kind: &str| {
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": DIGEST, "size": 1,
        "annotations": {"a": "b"}, "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}})
    };
    [
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "x/y",
            "config": descriptor("config.v1+json"), "layers": [descriptor("layer.v1.tar+gzip")], "subject": descriptor("manifest.v1+json")}),
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [descriptor("manifest.v1+json")]}),
    ]
}

fn documents() -> Seeds {
    let configuration = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        "config": {"User": "app", "Env": ["PATH=/bin", "API_TOKEN=abc"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "/check"]}},
        "history": [{"created_by": "RUN x"}, {"created_by": "ARG TOKEN=abc", "empty_layer": true}]});
    let entry = |ecosystem: &str, kind: &str, fixed: &str| {
        let events = json!([{"introduced": "0"}, {"fixed": fixed}, {"last_affected": "9"}, {"limit": "*"}]);
        json!({"package": {"ecosystem": ecosystem, "name": "zlib"}, "versions": ["1.2.3"],
            "ranges": [{"type": kind, "events": events}], "ecosystem_specific": {"urgency": "low"},
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]})
    };
    let record = json!({"id": "X-1", "modified": "2026-05-01T00:00:00Z", "published": "2026-01-01T00:00:00Z", "aliases": ["CVE-1"],
        "upstream": ["CVE-2"], "related": ["CVE-3"], "summary": "text", "database_specific": {"severity": "HIGH"},
        "affected": [entry("Debian:12", "ECOSYSTEM", "1:1.2.13-1"), entry("npm", "SEMVER", "2.0.0"), entry("PyPI", "ECOSYSTEM", "2.0")]});
    let said = |values: &[Value]| values.iter().map(|value| value.to_string().into_bytes()).collect();
    vec![
        ("configuration", said(&[configuration])),
        ("record", said(&[record])),
        ("manifest", said(&manifests())),
        ("report", said(&reports())),
        ("vex", said(&vex())),
    ]
}

fn reports() -> Vec<Value> {
    let result = json!({"ruleId": "CVE-1", "message": {"text": "x"}, "level": "error"});
    let rule = json!({"id": "CVE-1", "properties": {"security-severity": "9.8", "tags": ["HIGH"]}});
    vec![
        json!({"SchemaVersion": 2, "ArtifactName": "x", "Metadata": {"RepoDigests": [format!("x@{DIGEST}")]}, "Results": [{"Target": "x",
            "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "a", "InstalledVersion": "1",
            "FixedVersion": "2", "Severity": "HIGH", "PkgIdentifier": {"PURL": "pkg:deb/debian/a@1"}}]}]}),
        json!({"matches": [{"vulnerability": {"id": "CVE-1", "severity": "High", "fix": {"versions": ["2"], "state": "fixed"}},
            "relatedVulnerabilities": [{"id": "GHSA-1"}], "artifact": {"name": "a", "version": "1", "purl": "pkg:npm/a@1"}}],
            "source": {"type": "image", "target": {"repoDigests": []}}, "descriptor": {"name": "grype"}}),
        json!({"results": [{"source": {"path": "x", "type": "lockfile"}, "packages": [{"package": {"name": "a", "version": "1",
            "ecosystem": "npm"}, "vulnerabilities": [{"id": "GHSA-1", "aliases": ["CVE-1"], "affected": []}],
            "groups": [{"ids": ["GHSA-1"], "aliases": ["CVE-1"], "max_severity": "7.5"}]}]}]}),
        json!({"vulnerabilities": [{"id": "SNYK-1", "packageName": "a", "version": "1", "severity": "high", "fixedIn": ["2"],
            "identifiers": {"CVE": ["CVE-1"]}}], "packageManager": "npm", "ok": false}),
        json!({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x",
            "rules": [rule]}}, "results": [result]}]}),
        json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"bom-ref": "a", "type": "library", "name": "a",
            "version": "1", "purl": "pkg:npm/a@1"}], "vulnerabilities": [{"id": "CVE-1", "ratings": [{"severity": "high"}],
            "affects": [{"ref": "a"}]}]}),
        json!({"auditReportVersion": 2, "vulnerabilities": {"a": {"name": "a", "severity": "high", "range": "<2", "nodes": ["node_modules/a"],
            "via": [{"source": 1, "name": "a", "title": "x", "url": "https://github.com/advisories/GHSA-1", "severity": "high", "range": "<2"}],
            "fixAvailable": true}}, "metadata": {"vulnerabilities": {"total": 1}}}),
        json!({"database": {}, "lockfile": {"dependency-count": 1}, "vulnerabilities": {"found": true, "count": 1, "list": [{"advisory":
            {"id": "RUSTSEC-1", "package": "a", "aliases": ["CVE-1"], "title": "x"}, "versions": {"patched": [">=2"]},
            "package": {"name": "a", "version": "1.0.0"}}]}, "warnings": {}}),
    ]
}

fn vex() -> Vec<Value> {
    vec![
        json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": "x", "author": "x", "timestamp": "2026-05-01T00:00:00Z", "version": 1,
            "statements": [{"vulnerability": {"name": "CVE-1", "aliases": ["GHSA-1"]}, "products": [{"@id": "pkg:oci/x@sha256%3Aabc",
            "subcomponents": [{"@id": "pkg:npm/a@1"}]}], "status": "not_affected", "justification": "component_not_present"}]}),
        json!({"document": {"csaf_version": "2.0", "category": "csaf_vex", "tracking": {"current_release_date": "2026-05-01T00:00:00Z"}},
            "product_tree": {"branches": [{"category": "product_version", "name": "1", "product": {"product_id": "a", "name": "a",
            "product_identification_helper": {"purl": "pkg:npm/a@1"}}}]}, "vulnerabilities": [{"cve": "CVE-1",
            "product_status": {"known_not_affected": ["a"]}, "flags": [{"label": "component_not_present", "product_ids": ["a"]}]}]}),
        json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"bom-ref": "a", "type": "library", "name": "a",
            "purl": "pkg:npm/a@1"}], "metadata": {"timestamp": "2026-05-01T00:00:00Z"}, "vulnerabilities": [{"id": "CVE-1",
            "analysis": {"state": "not_affected", "justification": "code_not_present"}, "affects": [{"ref": "a"}]}]}),
    ]
}
