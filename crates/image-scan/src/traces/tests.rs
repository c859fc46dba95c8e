//! Images in which a build left what it should not have.

use tar::{Builder, EntryType, Header};

use super::*;
use crate::layer::{Limits, Packing};

const NO_LIMITS: Limits = Limits { unpacked: u64::MAX, ratio: u64::MAX, ratio_from: u64::MAX };
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\n";
const DEBIAN: &str = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian 12\"\n";
const STATUS: &str = "Package: sudo\nStatus: install ok installed\nVersion: 1\n\n";

/// A layer of files, of those with setuid as `path!`, and of links as `path -> to` and `path = to`.
fn layer(files: &[(&str, &str)]) -> Layer {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = Header::new_gnu();
        header.set_mode(if path.ends_with('!') { 0o4755 } else { 0o644 });
        let path = path.trim_end_matches('!');
        let symlink = path.split_once(" -> ").map(|(path, to)| (path, to, EntryType::Symlink));
        let link = symlink.or(path.split_once(" = ").map(|(path, to)| (path, to, EntryType::Link)));
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

fn traces(layers: &[&[(&str, &str)]]) -> Traces {
    let layers: Vec<_> = layers.iter().map(|files| layer(files)).collect();
    let layers: Vec<_> = layers.iter().collect();
    let tree = Tree::of(&layers);
    let steps: Vec<_> = (0..layers.len()).map(|number| format!("RUN {number}")).collect();
    let unknown_owners = unknown_owners(&layers, &tree, &Inventory::of(&layers, &tree));
    Traces { unknown_owners, ..of(&layers, &tree, &steps) }
}

fn leaks(layers: &[&[(&str, &str)]]) -> Vec<String> {
    traces(layers).leaks.iter().map(ToString::to_string).collect()
}

#[test]
fn a_secret_is_found_in_every_layer_and_deleting_it_does_not_help() {
    let gone = "settings of a program in `app/.env` (layer 0, made by `RUN 0`), which a later layer hides and everybody can still pull";
    let there = "settings of a program in `app/.env` (layer 0, made by `RUN 0`)";
    let env = &[("app/.env", "A=b")][..];
    assert_eq!(leaks(&[env]), [there]);
    assert_eq!(leaks(&[env, &[("app/.wh..env", "")]]), [gone]);
    assert_eq!(leaks(&[env, &[("app/.wh..wh..opq", "")]]), [gone]);
    assert_eq!(leaks(&[env, &[(".wh.app", "")]]), [gone]);
    assert_eq!(leaks(&[env, &[("app/.env", "")]]), [gone]);
    // As `chown -R` does it, and under another name.
    assert_eq!(leaks(&[env, env]), [there]);
    let linked = &[("app/.env", "A=b"), ("app/x = app/.env", "")][..];
    assert_eq!(leaks(&[linked, &[("app/.wh..env", "")]]), [there]);
}

#[test]
fn what_only_looks_like_a_secret_is_none() {
    assert_eq!(
        leaks(&[&[
            ("app/.env.example", "A=b"),
            ("app/.env", ""),
            ("etc/ssl/ca.pem", "-----BEGIN CERTIFICATE-----")
        ]]),
        [""; 0]
    );
    assert_eq!(
        leaks(&[&[("app/.env -> /run/secrets/env", ""), ("app/key.pem -> x", ""), ("app/x", KEY)]]),
        [""; 0]
    );
    assert!(traces(&[&[("app/key.pem -> x", ""), ("app/x", KEY)]]).leaks.is_empty());
}

#[test]
fn what_packages_of_the_system_bring_is_theirs_also_after_they_are_gone() {
    let system = [("etc/os-release", DEBIAN), ("var/lib/dpkg/status", STATUS), ("bin -> usr/bin", "")];
    let list = ("var/lib/dpkg/info/sudo.list", "/bin/sudo\n/usr/share/x/server.key\n");
    let own = [
        list,
        ("usr/bin/sudo!", "x"),
        ("usr/share/x/server.key", KEY),
        ("app/run!", "x"),
        ("app/tls.key", KEY),
    ];
    let first: Vec<_> = system.iter().chain(&own).copied().collect();
    let removed = [
        ("var/lib/dpkg/info/.wh.sudo.list", ""),
        ("usr/bin/.wh.sudo", ""),
        ("usr/share/x/.wh.server.key", ""),
    ];
    for layers in [&[&first[..]][..], &[&first, &removed]] {
        let traces = traces(layers);
        assert_eq!((&traces.setuid[..], &traces.unknown_owners), (&["app/run".to_owned()][..], &None));
        let [leak] = &traces.leaks[..] else { panic!("{:?}", traces.leaks) };
        assert!(leak.to_string().contains("`app/tls.key`"), "{leak}");
    }
}

#[test]
fn who_owns_a_file_is_not_known_without_a_database_that_can_be_read() {
    let why = |files: &[(&str, &str)]| traces(&[files]).unknown_owners.unwrap_or_default();
    let fedora = ("etc/os-release", "ID=fedora\nVERSION_ID=41\nPRETTY_NAME=Fedora\n");
    assert!(why(&[fedora, ("var/lib/rpm/rpmdb.sqlite", "x")]).contains("RPM"));
    assert!(why(&[("etc/os-release", "ID=arch\n")]).starts_with("arch has no database"));
    // Nothing is owned where there is no system at all, and distroless images have a database without lists.
    assert_eq!(why(&[("app/x!", "x")]), "");
    assert_eq!(
        why(&[("etc/os-release", DEBIAN), ("var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 1\n")]),
        ""
    );
}

#[test]
fn caches_that_are_left_are_told_with_their_bytes() {
    let layers: [&[(&str, &str)]; 2] = [
        &[
            ("var/lib/apt/lists/lock", ""),
            ("var/lib/apt/lists/deb_Packages", "12345"),
            ("var/cache/apt/archives/a.deb", "123"),
            ("var/cache/apk/x.apk", "1"),
            ("root/.npm/_cacache/x", "12"),
            ("root/.cache/pip/http/x", "1234"),
            ("usr/local/share/.cache/yarn/v6/x", "123456"),
            ("root/.local/share/pnpm/store/v3/x", "1234567"),
        ],
        &[("var/cache/apk/.wh.x.apk", "")],
    ];
    let said: Vec<_> =
        traces(&layers).caches.iter().map(|one| format!("{} {} {}", one.of, one.path, one.bytes)).collect();
    let expected = [
        "pnpm root/.local/share/pnpm/store 7",
        "yarn usr/local/share/.cache/yarn 6",
        "apt var/lib/apt/lists 5",
        "pip root/.cache/pip 4",
        "apt var/cache/apt 3",
        "npm root/.npm/_cacache 2",
    ];
    assert_eq!(said, expected);
    for path in [
        "app/.cache/pipeline/x",
        "app/my.cache/pip/x",
        "var/lib/apt/listsx/y",
        "app/.yarn/cache/x.zip",
        "app/.npm/x",
    ] {
        assert_eq!(cache(path), None, "{path}");
    }
}

#[test]
fn what_later_layers_replace_or_remove_is_wasted() {
    let layers: [&[(&str, &str)]; 4] = [
        &[("a", "1234"), ("b", "12"), ("b2 = b", ""), ("c", "123"), ("d/x", "12345"), ("kept", "123456789")],
        &[("a", "12345"), ("z", ""), (".wh.b", ""), (".wh.d", "")],
        &[(".wh.a", ""), (".wh.c", ""), ("e", "1")],
        &[(".wh.e", "")],
    ];
    let traces = traces(&layers);
    // Both of `a`; not `b`, which has another name.
    assert_eq!(traces.wasted, 4 + 5 + 5 + 3 + 1);
    let worst: Vec<_> = traces
        .most_wasted
        .iter()
        .map(|one| format!("{} {} {}", one.path, one.bytes, one.origin.layer))
        .collect();
    assert_eq!(worst, ["a 9 0", "d/x 5 0", "c 3 0"]);
    assert_eq!(self::traces(&layers[..1]).wasted, 0);
}
