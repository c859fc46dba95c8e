//! Images whose packages are found, each with its layer.

use tar::{Builder, Header};

use super::*;
use crate::layer::{Limits, Packing};

const NO_LIMITS: Limits = Limits { unpacked: u64::MAX, ratio: u64::MAX, ratio_from: u64::MAX };
const DEBIAN: &str = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";
const ALPINE: &str = "ID=alpine\nVERSION_ID=3.21.2\n";

/// A layer of files, and of links as `path -> to` and `path = to`.
fn layer(files: &[(&str, &str)]) -> Layer {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        let symlink = path.split_once(" -> ").map(|(path, to)| (path, to, tar::EntryType::Symlink));
        let link = symlink.or(path.split_once(" = ").map(|(path, to)| (path, to, tar::EntryType::Link)));
        if let Some((path, to, kind)) = link {
            header.set_entry_type(kind);
            header.set_size(0);
            builder.append_link(&mut header, path, to).unwrap();
        } else {
            header.set_size(content.len().try_into().unwrap());
            builder.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
    }
    let tar = builder.into_inner().unwrap();
    Layer::read(&tar[..], tar.len().try_into().unwrap(), Packing::Plain, NO_LIMITS).unwrap()
}

fn dpkg(packages: &[(&str, &str)]) -> String {
    let one = |(name, version): &(&str, &str)| {
        format!("Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n")
    };
    packages.iter().map(one).collect()
}

fn module(name: &str, version: &str) -> String {
    format!(r#"{{"name": "{name}", "version": "{version}"}}"#)
}

fn inventory(layers: &[&[(&str, &str)]]) -> Inventory {
    let layers: Vec<_> = layers.iter().map(|files| layer(files)).collect();
    let layers: Vec<_> = layers.iter().collect();
    Inventory::of(&layers, &Tree::of(&layers))
}

fn said(inventory: &Inventory) -> Vec<String> {
    let word = |one: &Package| format!("{} {} {} {}", one.ecosystem, one.name, one.version, one.layer);
    inventory.packages.iter().map(word).collect()
}

#[test]
fn what_is_looked_for_is_known_by_its_path() {
    for (path, expected) in [
        ("etc/os-release", Some(Wanted::System)),
        ("opt/etc/os-release", None),
        ("var/lib/dpkg/status", Some(Wanted::Dpkg)),
        ("var/lib/dpkg/status-old", None),
        ("var/lib/dpkg/status.d/tzdata", Some(Wanted::Dpkg)),
        ("var/lib/dpkg/status.d/tzdata.md5sums", None),
        ("var/lib/dpkg/info/libc6:amd64.list", Some(Wanted::DpkgFiles)),
        ("lib/apk/db/installed", Some(Wanted::Apk)),
        ("app/node_modules/ws/package.json", Some(Wanted::Npm)),
        ("app/package.json", Some(Wanted::Npm)),
        ("app/x.package.json", None),
        ("usr/lib/python3/dist-packages/x-1.dist-info/METADATA", Some(Wanted::Python)),
        ("usr/lib/python3/dist-packages/x.egg-info/PKG-INFO", Some(Wanted::Python)),
        ("usr/lib/python3/dist-packages/x-1.egg-info", Some(Wanted::Python)),
        ("x/METADATA", None),
        ("app/lib/x-1.jar", Some(Wanted::Java)),
        ("app/x.war", Some(Wanted::Java)),
        ("opt/java/lib/jrt-fs.jar", None),
        ("usr/local/include/node/node_version.h", Some(Wanted::Node)),
        ("app/.env", Some(Wanted::Secret(SecretFile::Env))),
    ] {
        assert_eq!(Wanted::of(path, 0o644), expected, "{path}");
    }
    assert_eq!(Wanted::of("usr/bin/x", 0o755), Some(Wanted::Program));
    assert_eq!(Wanted::of("app/.env", 0o755), Some(Wanted::Secret(SecretFile::Env)));
}

#[test]
fn each_package_has_the_layer_that_brought_it_in_its_version() {
    let base = dpkg(&[("libc6", "2.36-9"), ("curl", "7.88.1-10")]);
    let own = dpkg(&[("libc6", "2.36-9"), ("curl", "7.88.1-12"), ("git", "1:2.39.5-0")]);
    let ws = module("ws", "8.17.1");
    let inventory = inventory(&[
        &[
            ("usr/lib/os-release", DEBIAN),
            ("etc/os-release -> ../usr/lib/os-release", ""),
            ("var/lib/dpkg/status", &base),
        ],
        &[("var/lib/dpkg/status", &own)],
        &[("app/node_modules/ws/package.json", &ws)],
    ]);
    let expected = [
        "Debian:12 curl 7.88.1-12 1",
        "Debian:12 git 1:2.39.5-0 1",
        "Debian:12 libc6 2.36-9 0",
        "npm ws 8.17.1 2",
    ];
    assert_eq!(said(&inventory), expected);
    assert_eq!((inventory.owned, &inventory.doubts[..]), (0, &[][..]));
    assert_eq!(inventory.system.unwrap().name, "Debian GNU/Linux 12 (bookworm)");
}

#[test]
fn what_belongs_to_the_distribution_is_not_counted_twice() {
    let module = module("ws", "8.11.0");
    let files = "/usr\n/usr/share/nodejs/node_modules/ws/package.json\n/lib/python3/x-1.egg-info\n";
    let debian = inventory(&[&[
        ("etc/os-release", DEBIAN),
        ("var/lib/dpkg/status", &dpkg(&[("node-ws", "8.11.0+~cs13-1")])),
        ("var/lib/dpkg/info/node-ws.list", files),
        ("lib -> usr/lib", ""),
        ("usr/lib/python3/x-1.egg-info", "Name: x\nVersion: 1\n"),
        ("usr/share/nodejs/node_modules/ws/package.json", &module),
        ("app/node_modules/ws/package.json", &module),
    ]]);
    assert_eq!(said(&debian), ["Debian:12 node-ws 8.11.0+~cs13-1 0", "npm ws 8.11.0 0"]);
    assert_eq!((debian.owned, debian.packages[1].path.as_str()), (2, "app/node_modules/ws/package.json"));

    let installed =
        "P:py3-six\nV:1.17.0-r0\no:py3-six\nF:usr/lib/python3.12/six-1.17.0.dist-info\nR:METADATA\n\n";
    let alpine = inventory(&[&[
        ("etc/os-release", ALPINE),
        ("lib/apk/db/installed", installed),
        ("usr/lib/python3.12/six-1.17.0.dist-info/METADATA", "Name: six\nVersion: 1.17.0\n"),
    ]]);
    assert_eq!((said(&alpine), alpine.owned), (vec!["Alpine:v3.21 py3-six 1.17.0-r0 0".to_owned()], 1));
}

#[test]
fn what_a_later_layer_removes_is_not_there() {
    let ws = module("ws", "8.17.1");
    let inventory = inventory(&[
        &[("app/node_modules/ws/package.json", &ws), ("b/node_modules/ws/package.json", &ws)],
        &[("app/.wh.node_modules", "")],
        &[("b/.wh..wh..opq", "")],
    ]);
    assert_eq!((said(&inventory), &inventory.doubts[..]), (Vec::new(), &[][..]));
}

#[test]
fn packages_are_found_where_links_among_folders_lead() {
    let [ws, core, own] = ["ws", "@nestjs/core", "app"].map(|name| module(name, "1.0.0"));
    for (files, expected) in [
        (&[("app/node_modules -> ../deps", ""), ("deps/ws/package.json", &*ws)][..], &["ws"][..]),
        (&[("opt/app -> /srv/app", ""), ("srv/app/node_modules/ws/package.json", &ws)], &["ws"]),
        (
            &[
                ("app/node_modules/ws -> .pnpm/ws@1/node_modules/ws", ""),
                ("app/node_modules/.pnpm/ws@1/node_modules/ws/package.json", &ws),
            ],
            &["ws"],
        ),
        (
            &[("app/node_modules -> ../deps", ""), ("deps/@nestjs/core/package.json", &core)],
            &["@nestjs/core"],
        ),
        (
            &[
                ("app/node_modules -> a", ""),
                ("app/a -> ../b", ""),
                ("b/@nestjs -> /nest", ""),
                ("nest/core -> /store/core", ""),
                ("b/ws -> /store/ws", ""),
                ("store/core/package.json", &core),
                ("store/ws/package.json", &ws),
                ("store/other/package.json", &own),
            ],
            &["@nestjs/core", "ws"],
        ),
        // The application itself, a part of a package, and a link that leads nowhere.
        (
            &[
                ("app/package.json", &own),
                ("app/node_modules/x/dist/package.json", &ws),
                ("b/node_modules -> b", ""),
            ],
            &[],
        ),
    ] {
        let inventory = inventory(&[files]);
        let names: Vec<_> = inventory.packages.iter().map(|one| one.name.as_str()).collect();
        assert_eq!((names, &inventory.doubts[..]), (expected.to_vec(), &[][..]), "{files:?}");
    }
    // The link may come in a layer above, and go in one above that.
    let deps = ("deps/ws/package.json", &*ws);
    let linked = inventory(&[&[deps], &[("app/node_modules -> /deps", "")]]);
    assert_eq!(said(&linked), ["npm ws 1.0.0 0"]);
    let gone = inventory(&[&[deps], &[("app/node_modules -> /deps", "")], &[("app/.wh.node_modules", "")]]);
    assert_eq!(said(&gone), [""; 0]);
}

#[test]
fn files_of_many_packages_add_up_and_a_runtime_that_was_copied_is_seen() {
    let inventory = inventory(&[&[
        ("etc/os-release", DEBIAN),
        ("var/lib/dpkg/status.d/base", "Package: base-files\nVersion: 12.4\n"),
        ("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a-0\n"),
        (
            "usr/local/include/node/node_version.h",
            "#define NODE_MAJOR_VERSION 18\n#define NODE_MINOR_VERSION 2\n#define NODE_PATCH_VERSION 0\n",
        ),
    ]]);
    assert_eq!(
        said(&inventory),
        ["Debian:12 base-files 12.4 0", "Debian:12 tzdata 2024a-0 0", "node node 18.2.0 0"]
    );
    assert!(inventory.doubts.is_empty());
}

#[test]
fn what_may_be_missing_is_told() {
    let told = |files: &[(&str, &str)]| inventory(&[files]).doubts;
    let status = dpkg(&[("x", "1")]);
    for (files, expected) in [
        (
            &[("etc/os-release", DEBIAN)][..],
            &["Debian GNU/Linux 12 (bookworm) has no database of its packages"][..],
        ),
        (
            &[("etc/os-release", DEBIAN), ("var/lib/dpkg/status", "")],
            &["Debian GNU/Linux 12 (bookworm) has no database of its packages"],
        ),
        (&[("etc/os-release", "ID=rhel\nVERSION_ID=9\n")], &["packages of rhel are not known here"]),
        (
            &[("var/lib/dpkg/status", &status)],
            &["there is a database of packages, and nothing says of which distribution"],
        ),
        (
            &[("etc/os-release", DEBIAN), ("var/lib/dpkg/status", "hello")],
            &[
                "Debian GNU/Linux 12 (bookworm) has no database of its packages",
                "`var/lib/dpkg/status` cannot be read: a package without a name or a version",
            ],
        ),
        (&[("a/node_modules/b/package.json", "no")], &[]),
        (
            &[
                ("store/1", r#"{"name": "b", "version": "1"}"#),
                ("a/node_modules/b/package.json = store/1", ""),
            ],
            &["`a/node_modules/b/package.json` is a hard link to a file that was not read"],
        ),
        (
            &[
                ("a/node_modules/b/package.json", "{}"),
                ("c/node_modules/b/package.json = a/node_modules/b/package.json", ""),
            ],
            &[],
        ),
        (
            &[("x/METADATA", "Name: x"), ("a/x-1.dist-info/METADATA -> ../../x/METADATA", "")],
            &["`a/x-1.dist-info/METADATA` is a link to a file that was not read"],
        ),
        (&[("a/x-1.dist-info/METADATA -> nowhere", "")], &[]),
        (&[("store/1", "{}"), ("app/package.json = store/1", "")], &[]),
        (
            &[("app/x.jar", "hello")],
            &["`app/x.jar` cannot be read: invalid Zip archive: Could not find EOCD"],
        ),
        (
            &[("var/lib/rpm/rpmdb.sqlite", "")],
            &["there is a database of RPM, and its packages cannot be read here"],
        ),
        (
            &[("var/lib/rpm -> ../../usr/lib/sysimage/rpm", ""), ("usr/lib/sysimage/rpm/rpmdb.sqlite", "")],
            &["there is a database of RPM, and its packages cannot be read here"],
        ),
        (&[("hello", "world")], &[]),
    ] {
        assert_eq!(told(files), expected, "{files:?}");
    }
}

#[test]
fn a_file_that_is_too_large_is_not_understood_and_not_kept() {
    let zeros = io::repeat(0).take(FILE + 1);
    let found = Wanted::Dpkg.read(zeros, FILE + 1).unwrap().unwrap();
    assert_eq!(found, Found::Unreadable("it is larger than 16777216 bytes".to_owned()));
}

#[test]
fn archives_of_java_that_do_not_say_what_they_are_are_counted() {
    let archive = |path: &str| {
        let found = Found::Java(java::Archive { unnamed: 1, ..java::Archive::default() });
        let kind = Kind::File { size: 1, is_setuid: false, found: Some(Box::new(found)) };
        crate::layer::Entry { path: path.into(), kind }
    };
    let entries = vec![archive("a/x.jar"), archive("b/y.jar")];
    let layer = Layer { entries, diff_id: shipkit_core::Digest::of(b""), unpacked: 0 };
    let doubts = Inventory::of(&[&layer], &Tree::of(&[&layer])).doubts;
    assert_eq!(doubts, ["2 archives of Java do not say what they are, such as in `a/x.jar`"]);
}

#[test]
fn a_distribution_and_the_runtimes_beside_it_have_an_end() {
    let header =
        "#define NODE_MAJOR_VERSION 18\n#define NODE_MINOR_VERSION 2\n#define NODE_PATCH_VERSION 0\n";
    let inventory = inventory(&[&[
        ("etc/os-release", DEBIAN),
        ("var/lib/dpkg/status", &dpkg(&[("python3", "3.11.2-1")])),
        ("var/lib/dpkg/info/python3.list", "/usr/lib/python3.11/os.py\n"),
        ("usr/lib/python3.11/os.py", ""),
        ("usr/local/lib/python3.9/os.py", ""),
        ("usr/local/lib/python3.99/os.py", ""),
        ("usr/local/lib/python3.9/x/os.py", ""),
        ("usr/local/include/node/node_version.h", header),
    ]]);
    let said = inventory.support.iter().map(|one| match one.until {
        Some(until) => format!("{} until {until}", one.what),
        None => one.what.clone(),
    });
    let expected = [
        "Debian GNU/Linux 12 (bookworm) until 2028-06-30",
        "Node.js 18 until 2025-04-30",
        "Python 3.9 until 2025-10-31",
        "Python 3.99",
    ];
    assert_eq!(said.collect::<Vec<_>>(), expected);
}
