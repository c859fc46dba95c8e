//! What is a manifest and what is not.

use super::super::sample::{FILES, parse};
use super::super::{BadManifests, Manifests};
use crate::exit::ExitCode;
use crate::hint::Hint as _;

#[test]
fn files_documents_lists_and_json_are_one_set() {
    let manifests = parse(&FILES).unwrap();
    let all: Vec<_> = manifests.objects.iter().map(|object| object.id().to_string()).collect();
    assert_eq!(all.len(), 15);
    assert_eq!(all[..2], ["Namespace/shop", "ConfigMap/api-config"]);
    assert_eq!(all[13..], ["Deployment/worker", "CronJob/clean"]);
    let place = manifests.objects[1].place();
    assert_eq!(place.to_string(), "`k8s/base.yaml`, document 2 (line 7)");
}

#[test]
fn anchors_merge_keys_and_nested_lists_are_understood() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: &l {x: w}}}\n- apiVersion: v1\n  kind: ConfigMapList\n  \
                items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: b, labels: {<<: *l, z: 1e1}}}]\n";
    let manifests = parse(&[("a.yaml", text)]).unwrap();
    assert_eq!(manifests.objects[1].value()["metadata"]["labels"], serde_json::json!({"z": 10, "x": "w"}));
    let across = "&a {apiVersion: v1, kind: Secret, metadata: {name: a}}\n---\n*a\n";
    let error = parse(&[("a.yaml", across)]).unwrap_err().to_string();
    assert!(error.contains("an alias") && error.starts_with("`a.yaml`, document 2 (line 3)"), "{error}");
}

#[test]
fn what_only_the_cluster_writes_is_left_out() {
    let text = "{apiVersion: v1, kind: Secret, metadata: {name: a, uid: u, resourceVersion: '1', managedFields: [], generation: 1, creationTimestamp: null}, status: {a: b}}";
    let manifests = parse(&[("a", text)]).unwrap();
    assert_eq!(
        manifests.objects[0].value(),
        &serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}})
    );
}

#[track_caller]
fn refused(file: &str, text: &str, expected: &str) -> BadManifests {
    let error = parse(&[(file, text)]).unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.exit_code(), ExitCode::Usage);
    error
}

#[test]
fn what_is_no_object_says_where_it_stands() {
    let good = "{apiVersion: v1, kind: Secret, metadata: {name: a}}\n---\n";
    let place = "`k.yaml`, document 2 (line 3)";
    for (text, expected) in [
        ("[a]", format!("{place} is no object: it has no `apiVersion`, `kind` and `metadata`")),
        ("text", format!("{place} is no object: it has no `apiVersion`, `kind` and `metadata`")),
        (
            "{kind: Secret, metadata: {name: b}}",
            format!("{place} has an object without a text at `apiVersion`"),
        ),
        (
            "{apiVersion: 1, kind: Secret, metadata: {name: b}}",
            format!("{place} has an object without a text at `apiVersion`"),
        ),
        ("{apiVersion: v1, metadata: {name: b}}", format!("{place} has an object without a text at `kind`")),
        (
            "{apiVersion: v1, kind: Secret}",
            format!("{place} has an object without a text at `metadata.name`"),
        ),
        (
            "{apiVersion: v1, kind: Secret, metadata: {name: 7}}",
            format!("{place} has an object without a text at `metadata.name`"),
        ),
        (
            "{apiVersion: v1, kind: Secret, metadata: {name: b, namespace: 7}}",
            format!("{place} has an object without a text at `metadata.namespace`"),
        ),
        (
            "{apiVersion: v1, kind: Secret, metadata: {name: ../x}}",
            format!("{place} has an object with the name `../x`, which none can have"),
        ),
        (
            "{apiVersion: v1, kind: Secret, metadata: {name: \"a\\nb\"}}",
            format!("{place} has an object with the name `a\\nb`, which none can have"),
        ),
        (
            "{apiVersion: batch/v1, kind: Job, metadata: {generateName: b-}}",
            format!("{place} has a Job with `generateName`, which would be another object in each deploy"),
        ),
    ] {
        refused("k.yaml", &format!("{good}{text}\n"), &expected);
    }
    refused("k.yaml", "# nothing\n---\n---\nnull\n", "the manifests hold no object");
    assert_eq!(Manifests::parse([]).unwrap_err(), BadManifests::Empty);
}

#[test]
fn two_of_the_same_name_are_refused_and_both_files_are_named() {
    let one = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}";
    let two = "{apiVersion: v1, kind: Secret, metadata: {name: a}}\n---\n{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: a}}";
    let error = parse(&[("one.yaml", one), ("two.yaml", two)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`Deployment/a` is there twice: in `one.yaml`, document 1 (line 1) and in `two.yaml`, document 2 (line 3)"
    );
    let elsewhere = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: b}}";
    assert!(parse(&[("one.yaml", one), ("two.yaml", elsewhere)]).is_ok());
}

#[test]
fn templates_and_kustomizations_are_told_apart_from_manifests() {
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n";
    for (text, place) in [
        (format!("{head}  name: {{{{ .Values.name }}}}\n"), "`t.yaml`, document 1 (line 4)"),
        (format!("{head}  name: '{{{{ .Release.Name }}}}-a'\n"), "`t.yaml`, document 1 (line 1)"),
        (format!("{{{{- if .Values.on }}}}\n{head}  name: a\n"), "`t.yaml`, document 1 (line 1)"),
        (
            format!(
                "{head}  name: a\n---\n{head}  name: b\n  labels:\n    {{{{- include \"x\" . | nindent 4 }}}}\n"
            ),
            "`t.yaml`, document 2 (line 11)",
        ),
    ] {
        let error = parse(&[("t.yaml", text.as_str())]).unwrap_err();
        assert!(matches!(error, BadManifests::Template { .. }), "{error}");
        assert!(error.to_string().starts_with(place), "{error}");
        assert!(error.hint().unwrap().contains("helm template"));
    }
    let legal = format!(
        "{head}  name: a\n  annotations: {{x: '{{{{ $value }}}}'}}\ndata:\n  t: |\n    {{{{ if }}}}\n"
    );
    assert!(parse(&[("t.yaml", legal.as_str())]).is_ok());
    // Far from it, what is wrong is something else.
    let wrong = format!("{legal}\n\n\nb: [\n");
    assert!(matches!(parse(&[("t.yaml", wrong.as_str())]), Err(BadManifests::Unreadable { .. })));
    refused(
        "a/Chart.yaml",
        "apiVersion: v2\nname: a\n",
        "`a/Chart.yaml`, document 1 (line 1) is a template and no manifest: `Chart.yaml`",
    );
    for (file, text) in [
        ("k8s/kustomization.yaml", "resources: [a.yaml]"),
        ("k.yaml", "{apiVersion: kustomize.config.k8s.io/v1beta1, kind: Kustomization}"),
        ("k.yaml", "{kind: Component}"),
    ] {
        let error =
            refused(file, text, &format!("`{file}`, document 1 (line 1) is a kustomization and no manifest"));
        assert!(error.hint().unwrap().contains("kustomize build"));
    }
    let flux = "{apiVersion: kustomize.toolkit.fluxcd.io/v1, kind: Kustomization, metadata: {name: a}}";
    assert!(parse(&[("kustomization.yaml", flux)]).is_ok());
}

#[test]
fn what_is_hostile_is_one_error() {
    for (line, text, expected) in [
        (2, "a: 1\na: 2\n", "`a`: the key is given twice, first in line 1"),
        (2, "a:\n\tb: 1\n", "not YAML: tabs disallowed within this context (block indentation)"),
        (1, "a: {b: [!x c]}\n", "type tags (`!...`) have no meaning here"),
        (1, "a: .inf\n", "`.inf` is a number that no manifest can hold: write it in quotes if it is a text"),
    ] {
        refused("h.yaml", text, &format!("`h.yaml`, document 1 (line {line}) cannot be read: {expected}"));
    }
    let tenfold = |number: usize| {
        let alias = format!("*a{}, ", number - 1).repeat(10);
        format!("a{number}: &a{number} [{alias}]\n")
    };
    let bomb = (1..9).map(tenfold).fold("a0: &a0 x\n".to_owned(), |all, line| all + &line);
    let deep = ["- ".repeat(100_000), "[".repeat(100_000), "{a: ".repeat(50_000)];
    for text in deep.into_iter().chain([bomb, "#".repeat((8 << 20) + 1)]) {
        assert!(matches!(parse(&[("h.yaml", text.as_str())]), Err(BadManifests::Unreadable { .. })));
    }
    let error = Manifests::parse([("h.yaml", b"a: b\nc: \xff\n".as_slice())]).unwrap_err();
    assert_eq!(error.to_string(), "`h.yaml`, document 1 (line 2) cannot be read: it is no UTF-8");
    assert!(
        Manifests::parse([(
            "b.yaml",
            "\u{feff}{apiVersion: v1, kind: Secret, metadata: {name: a}}".as_bytes()
        )])
        .is_ok()
    );
}
