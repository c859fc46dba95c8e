//! Properties: nothing panics, nothing dangles, and order says nothing.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::object::Object;
use super::super::sample::{BASE, FILES, Given, RUNS, image, parse, part};
use super::super::template::{self, Config};
use super::super::{Id, Manifests, Place, Rendered, pin, suffix};

/// Objects of a few kinds with few names, so that they meet: config maps, secrets, and workloads that read some of them.
fn objects() -> impl Strategy<Value = Vec<Value>> {
    let name = || "[a-d]";
    let config = (prop_oneof![Just("ConfigMap"), Just("Secret")], name(), "[a-d]{0,2}").prop_map(
        |(kind, name, data)| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": {"k": data}}),
    );
    let kinds = prop_oneof![
        Just(("apps/v1", "Deployment")),
        Just(("apps/v1", "StatefulSet")),
        Just(("batch/v1", "Job"))
    ];
    let images = prop_oneof![
        Just("registry.example:5000/shop/api:1".to_owned()),
        Just("registry.example:5000/shop/web".to_owned()),
        Just("redis:7".to_owned())
    ];
    let workload = (kinds, name(), proptest::collection::vec((images, name(), name()), 1..3)).prop_map(|((api, kind), name, containers)| {
        let containers: Vec<_> = containers.into_iter().enumerate().map(|(number, (image, map, secret))| json!({
            "name": format!("c{number}"), "image": image, "envFrom": [{"configMapRef": {"name": map}}],
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": secret, "key": "k"}}}],
        })).collect();
        json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": {"replicas": 1, "template": {"spec": {"containers": containers}}}})
    });
    let ingress = (name(), name()).prop_map(|(name, secret)| json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name}, "spec": {"tls": [{"secretName": secret}]},
    }));
    let all = prop_oneof![3 => config, 2 => workload, 1 => ingress];
    proptest::collection::vec(all, 1..12).prop_map(|all| {
        let mut known = BTreeSet::new();
        all.into_iter()
            .filter(|one| known.insert((one["kind"].to_string(), one["metadata"]["name"].to_string())))
            .collect()
    })
}

fn read(values: &[Value]) -> Vec<Object> {
    let place = Place { file: "f".to_owned(), document: 1, line: 1 };
    values.iter().map(|value| Object::read(value.clone(), place.clone()).unwrap()).collect()
}

/// The services that these objects run.
fn given(values: &[Value]) -> Given {
    let text = json!(values).to_string();
    let services = ["api", "web"].into_iter().filter(|name| text.contains(&format!("shop/{name}")));
    Given { services: services.map(|name| part(name, &[])).collect(), ..Given::default() }
}

fn render(values: &[Value]) -> Rendered {
    let text = values.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n");
    given(values).render(&[("f.yaml", &text)]).unwrap()
}

/// The same with the keys of every mapping the other way round.
fn turned(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .rev()
            .map(|(key, field)| (key.clone(), turned(field)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(turned).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        Manifests::parse([("f.yaml", bytes.as_slice())]).ok();
        Rendered::from_record(&String::from_utf8_lossy(&bytes)).ok();
    }

    #[test]
    fn damaged_manifests_never_panic(at in 0_usize..4000, noise in "[-:\\[\\]{}&*!|>'\"%@`#,?\\n\\t a1é$]{0,8}", cut in 0_usize..6) {
        let text = format!("{BASE}\n---\n{RUNS}");
        let start = text.floor_char_boundary(at.min(text.len()));
        let end = text.ceil_char_boundary((start + cut).min(text.len()));
        let damaged = format!("{}{noise}{}", text.get(..start).unwrap(), text.get(end..).unwrap());
        Given::default().render(&[("f.yaml", &damaged), FILES[2]]).ok();
    }

    /// Whatever JSON an object is made of, and whatever stands where a list or a text belongs.
    #[test]
    fn objects_of_any_form_never_panic(at in 0_usize..200, with in prop_oneof![Just(json!(null)), Just(json!(7)), Just(json!("x")), Just(json!([])), Just(json!({})), Just(json!([[1]]))]) {
        let mut files = Vec::new();
        for object in parse(&FILES).unwrap().objects {
            let mut value = object.value().clone();
            let mut left = at;
            replace(&mut value, &mut left, &with);
            files.push(value.to_string());
        }
        let text = files.join("\n---\n");
        Given::default().render(&[("f.yaml", &text)]).ok();
    }

    #[test]
    fn pinning_twice_is_pinning_once(values in objects()) {
        let services = given(&values).services;
        let mut objects = read(&values);
        let (uses, remarks) = pin::pin(&mut objects, &services).unwrap();
        let once = objects.clone();
        prop_assert_eq!(pin::pin(&mut objects, &services).unwrap(), (uses, remarks));
        prop_assert_eq!(&objects, &once);
        for object in &objects {
            let text = object.value().to_string();
            prop_assert!(!text.contains("/shop/api:1") && !text.contains("/shop/web\""), "{}", text);
        }
    }

    #[test]
    fn every_reference_that_was_rewritten_exists_and_no_other_changed(values in objects()) {
        let before = read(&values);
        let mut after = before.clone();
        suffix::suffix(&mut after);
        let names: BTreeSet<(String, String)> = after.iter().map(|one| (one.id().kind.clone(), one.id().name.clone())).collect();
        for (old, new) in before.into_iter().zip(after) {
            let (mut old, mut new) = (old.value().clone(), new.value().clone());
            let Some((old, new)) = old.pointer_mut("/spec/template").zip(new.pointer_mut("/spec/template")) else { continue };
            for ((kind, old), (_, new)) in template::references(old).into_iter().zip(template::references(new)) {
                let kind = match kind { Config::Map => "ConfigMap", Config::Secret => "Secret" };
                let is_there = names.contains(&(kind.to_owned(), new.as_str().unwrap().to_owned()));
                prop_assert!(is_there || old == new, "{} {}", old, new);
            }
        }
    }

    #[test]
    fn order_is_a_permutation_and_digest_and_names_do_not_depend_on_it(values in objects()) {
        let rendered = render(&values);
        prop_assert_eq!(rendered.objects().len(), values.len());
        let backwards: Vec<Value> = values.iter().rev().map(turned).collect();
        let other = render(&backwards);
        prop_assert_eq!(rendered.digest(), other.digest());
        let ids = |rendered: &Rendered| rendered.objects().iter().map(Object::id).cloned().collect::<BTreeSet<Id>>();
        prop_assert_eq!(ids(&rendered).len(), values.len());
        prop_assert_eq!(ids(&rendered), ids(&other));
        prop_assert_eq!(rendered.prunable(&[], &BTreeSet::new()), Vec::new());
        let read = Rendered::from_record(&rendered.record().unwrap()).unwrap();
        prop_assert_eq!(read.digest(), rendered.digest());
    }

    #[test]
    fn a_hash_is_of_the_content_alone(data in proptest::collection::btree_map("[a-c]", "[a-c]{0,2}", 0..4), other in proptest::collection::btree_map("[a-c]", "[a-c]{0,2}", 0..4)) {
        let name = |data: &BTreeMap<String, String>| {
            let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data});
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": image("api").to_string(), "envFrom": [{"configMapRef": {"name": "c"}}]}]}});
            render(&[config, pod]).objects()[0].id().name.clone()
        };
        prop_assert_eq!(name(&data) == name(&other), data == other);
    }
}

/// Puts another value in the place of the one with this number.
fn replace(value: &mut Value, left: &mut usize, with: &Value) {
    if *left == 0 {
        *value = with.clone();
    }
    *left = left.wrapping_sub(1);
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|field| replace(field, left, with)),
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, left, with)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
