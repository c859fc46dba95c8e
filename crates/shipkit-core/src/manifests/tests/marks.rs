//! Order, label, pruning, digest and record.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::order::{backwards, rank};
use super::super::sample::{FILES, Given, edited, object, part, shop, with};
use super::super::{BadManifests, BadRecord, Id, Kind, Object, Rendered};
use super::id;
use crate::exit::ExitCode;
use crate::hint::Hint as _;

fn order(rendered: &Rendered) -> Vec<String> {
    rendered
        .objects()
        .iter()
        .map(|object| {
            object
                .id()
                .to_string()
                .split_once('-')
                .map_or_else(|| object.id().to_string(), |(a, _)| a.to_owned())
        })
        .collect()
}

#[test]
fn what_others_need_is_applied_first() {
    assert_eq!(
        order(&shop()),
        [
            "Namespace/shop",
            "ConfigMap/api",
            "Secret/postgres",
            "Secret/shop",
            "ConfigMap/web",
            "Service/api",
            "Service/web",
            "StatefulSet/postgres",
            "Deployment/api",
            "Deployment/web",
            "Deployment/worker",
            "CronJob/clean",
            "HorizontalPodAutoscaler/api",
            "PodDisruptionBudget/api",
            "Ingress/shop",
        ]
    );
}

#[test]
fn every_kind_has_its_place() {
    let kinds = [
        ("v1", "Namespace"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("scheduling.k8s.io/v1", "PriorityClass"),
        ("v1", "ResourceQuota"),
        ("v1", "ServiceAccount"),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
        ("external-secrets.io/v1", "ExternalSecret"),
        ("v1", "PersistentVolumeClaim"),
        ("v1", "Service"),
        ("apps/v1", "DaemonSet"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("policy/v1", "PodDisruptionBudget"),
        ("gateway.networking.k8s.io/v1", "HTTPRoute"),
        ("monitoring.coreos.com/v1", "ServiceMonitor"),
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ];
    let ids: Vec<Id> = kinds.iter().map(|(api, kind)| id(&Kind::of(api, kind).group, kind, "x")).collect();
    let ranks: Vec<_> = ids.iter().map(rank).collect();
    assert!(ranks.windows(2).all(|pair| pair[0] < pair[1]), "{ranks:?}");
    let mut back = backwards(ids.iter().cloned().collect());
    back.reverse();
    assert_eq!(back, ids);
}

#[test]
fn a_circle_of_services_still_has_an_order() {
    let mut given = Given::default();
    given.services.extend([part("api", &["web"]), part("web", &["api"])]);
    assert_eq!(given.render(&FILES).unwrap().objects().len(), shop().objects().len());
}

#[test]
fn the_label_is_on_objects_and_never_in_selectors_or_pod_templates() {
    let rendered = shop();
    for object in rendered.objects() {
        assert_eq!(object.value()["metadata"]["labels"]["shipkit.dev/stack"], "shop", "{}", object.id());
        let text = object.value().to_string();
        assert_eq!(text.matches("shipkit.dev/stack").count(), 1, "{text}");
    }
    assert_eq!(object(&rendered, "ConfigMap", "api-config")["metadata"]["labels"]["app"], "api");
    let more = with("{apiVersion: v1, kind: Service, metadata: {name: s, labels: null}}").unwrap();
    assert_eq!(object(&more, "Service", "s")["metadata"]["labels"], json!({"shipkit.dev/stack": "shop"}));
    for stack in ["", "-a", "a-", "a b", "ä", &"a".repeat(64)] {
        let error = super::super::prune::check_stack(stack).unwrap_err();
        assert_eq!(
            (error.clone(), error.exit_code()),
            (BadManifests::Stack(stack.to_owned()), ExitCode::Usage)
        );
    }
}

/// Objects as the cluster shows them.
fn live(rendered: &Rendered) -> Vec<Value> {
    rendered.objects().iter().map(|object| object.value().clone()).collect()
}

#[test]
fn what_is_no_longer_part_of_it_is_taken_away_but_never_data() {
    let rendered = shop();
    let mut there = live(&rendered);
    assert_eq!(rendered.prunable(&there, &BTreeSet::new()), []);
    let labels = json!({"shipkit.dev/stack": "shop"});
    let old = |api: &str, kind: &str, name: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "shop", "labels": labels}});
    there.extend([
        old("v1", "PersistentVolumeClaim", "data"),
        old("v1", "Endpoints", "api"),
        old("discovery.k8s.io/v1", "EndpointSlice", "api-x"),
        old("v1", "ConfigMap", "api-config-0000000000"),
        old("v1", "ConfigMap", "old-1111111111"),
        old("apps/v1", "Deployment", "gone"),
        old("networking.k8s.io/v1", "Ingress", "gone"),
        json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv", "labels": labels}}),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "old", "labels": labels}}),
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x", "labels": labels}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "of-somebody", "namespace": "shop", "labels": labels, "ownerReferences": [{"uid": "1"}]}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "stranger", "namespace": "shop", "labels": {"shipkit.dev/stack": "other"}}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "unlabelled", "namespace": "shop"}}),
        json!({"kind": 1}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api", "namespace": "other", "labels": labels}}),
    ]);
    // The version that something is written in says nothing about what it is.
    there.extend([
        old("apps/v1beta1", "Deployment", "api"),
        old("autoscaling/v1", "HorizontalPodAutoscaler", "api"),
    ]);
    let in_use = BTreeSet::from([id("", "ConfigMap", "old-1111111111"), id("apps", "Deployment", "gone")]);
    let gone: Vec<_> = rendered.prunable(&there, &in_use).iter().map(ToString::to_string).collect();
    assert_eq!(gone, ["Ingress/gone", "Deployment/gone", "ConfigMap/api-config-0000000000"]);
    // What a release still names is known from its record.
    let before =
        Rendered::from_record(&edited("LOG_LEVEL: info", "LOG_LEVEL: debug").unwrap().record().unwrap())
            .unwrap();
    let there = live(&before);
    assert_eq!(rendered.prunable(&there, &before.config()), []);
    assert_eq!(rendered.prunable(&there, &BTreeSet::new()).len(), 1);
}

#[test]
fn the_digest_sees_every_change_and_no_order() {
    let digest = |old: &str, new: &str| edited(old, new).unwrap().digest();
    let before = shop().digest();
    assert_eq!(
        digest(
            "metadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80}]}",
            "spec: {ports: [{port: 80}], selector: {app: web}}\nmetadata: {name: web}"
        ),
        before
    );
    let mut backwards = FILES;
    backwards.reverse();
    assert_eq!(Given::default().render(&backwards).unwrap().digest(), before);
    // What only the cluster writes is no change.
    assert_eq!(digest("  creationTimestamp: null\n", "  resourceVersion: \"7\"\n"), before);
    for (old, new) in [
        ("minAvailable: 1", "minAvailable: 2"),
        ("info", "debug"),
        ("postgres:15", "postgres:16"),
        ("maxReplicas: 6", "maxReplicas: 7"),
    ] {
        assert_ne!(digest(old, new), before, "{new}");
    }
}

#[test]
fn a_record_gives_back_what_was_recorded() {
    let rendered = shop();
    let read = Rendered::from_record(&rendered.record().unwrap()).unwrap();
    assert_eq!(
        (read.objects(), read.uses(), read.scaled(), read.stack()),
        (rendered.objects(), rendered.uses(), rendered.scaled(), "shop")
    );
    assert_eq!((read.digest(), read.remarks().len()), (rendered.digest(), 0));
    assert_eq!(
        read.objects().iter().map(Object::id).collect::<Vec<_>>(),
        rendered.objects().iter().map(Object::id).collect::<Vec<_>>()
    );
}

#[test]
fn a_record_that_is_none_or_too_large_says_so() {
    for text in [
        "",
        "{}",
        "[]",
        "{\"format\":1}",
        "{\"format\":1,\"stack\":\"a\",\"namespace\":\"a\",\"objects\":[{}],\"uses\":[],\"scaled\":[]}",
    ] {
        let error = Rendered::from_record(text).unwrap_err();
        assert!(matches!(error, BadRecord::Damaged(_)) && error.exit_code() == ExitCode::Unknown, "{text}");
    }
    assert_eq!(Rendered::from_record("{\"format\":2,\"else\":1}").unwrap_err(), BadRecord::Format(2));
    let large = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: l}}, data: {{a: {}}}}}",
        "x".repeat(1 << 20)
    );
    let error = with(&large).unwrap().record().unwrap_err();
    let BadRecord::TooLarge { bytes, .. } = error else { panic!("{error}") };
    assert!((1 << 20) < bytes);
}
