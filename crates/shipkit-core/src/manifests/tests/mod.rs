//! Tables: what is read, refused, changed and left alone.

mod marks;
mod properties;
mod reading;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::sample::{FILES, Given, RUNS, edited, image, object, parse, shop, with};
use super::{BadManifests, Id, Kind, Remark, Scaled, Scope, Slot, WhyKept};
use crate::hint::Hint as _;

fn id(group: &str, kind: &str, name: &str) -> Id {
    Id {
        group: group.to_owned(),
        kind: kind.to_owned(),
        namespace: Some("shop".to_owned()),
        name: name.to_owned(),
    }
}

fn texts(remarks: &[Remark]) -> Vec<String> {
    remarks.iter().map(ToString::to_string).collect()
}

#[test]
fn objects_get_the_namespace_of_the_target_and_those_of_the_cluster_none() {
    let rendered = shop();
    assert_eq!(object(&rendered, "Deployment", "web")["metadata"]["namespace"], "shop");
    assert_eq!(object(&rendered, "Namespace", "shop")["metadata"].get("namespace"), None);
    let role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: r, namespace: other}}";
    let rendered = with(role).unwrap();
    assert_eq!(
        object(&rendered, "ClusterRole", "r")["metadata"],
        json!({"name": "r", "labels": {"shipkit.dev/stack": "shop"}})
    );
}

#[test]
fn what_is_in_another_namespace_is_refused_all_at_once() {
    let more = "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: other}}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: third}}";
    assert_eq!(
        with(more).unwrap_err().to_string(),
        "objects are not in namespace `shop`, which is that of the target: `Service/a` in `other` (`k8s/more.yaml`, document 1 \
         (line 1)), `ConfigMap/b` in `third` (`k8s/more.yaml`, document 2 (line 3))"
    );
    // Once both are in the target's, two that only the namespace told apart are one.
    let more = "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}}";
    assert!(matches!(with(more), Err(BadManifests::Twice { .. })));
    let more = "{apiVersion: v1, kind: ConfigMap, metadata: {name: api-config, namespace: shop}, data: {other: content}}";
    assert!(matches!(with(more), Err(BadManifests::Twice { .. })));
}

#[test]
fn the_scope_of_a_kind_is_built_in_defined_or_told() {
    let custom = "{apiVersion: acme.example/v1, kind: Till, metadata: {name: t}}";
    let till = Kind::of("acme.example/v1", "Till");
    let files: Vec<_> = FILES.into_iter().chain([("t.yaml", custom)]).collect();
    assert_eq!(parse(&files).unwrap().foreign_kinds(), BTreeSet::from([till.clone()]));
    let mut given = Given::default();
    assert_eq!(
        given.render(&files).unwrap_err().to_string(),
        "the cluster knows no `Till of acme.example/v1`"
    );
    for (scope, namespace) in [(Scope::Namespaced, Some("shop")), (Scope::Cluster, None)] {
        given.scopes = BTreeMap::from([(till.clone(), scope)]);
        let rendered = given.render(&files).unwrap();
        assert_eq!(
            object(&rendered, "Till", "t")["metadata"].get("namespace").and_then(Value::as_str),
            namespace
        );
    }
    for (scope, namespace) in [("Namespaced", Some("shop")), ("Cluster", None)] {
        let definition = format!(
            "{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {{name: tills.acme.example}}, \
             spec: {{group: acme.example, scope: {scope}, names: {{kind: Till}}}}}}"
        );
        let files: Vec<_> = files.iter().copied().chain([("d.yaml", definition.as_str())]).collect();
        assert_eq!(parse(&files).unwrap().foreign_kinds(), BTreeSet::new());
        let rendered = Given::default().render(&files).unwrap();
        assert_eq!(
            object(&rendered, "Till", "t")["metadata"].get("namespace").and_then(Value::as_str),
            namespace
        );
    }
    let old =
        parse(&[("a", "{apiVersion: extensions/v1beta1, kind: Ingress, metadata: {name: a}}")]).unwrap();
    assert_eq!(old.foreign_kinds(), BTreeSet::from([Kind::of("extensions/v1beta1", "Ingress")]));
}

#[test]
fn images_of_the_release_are_named_by_digest_wherever_pods_name_them() {
    let rendered = shop();
    let pod = |kind, name, path: &str| object(&rendered, kind, name).pointer(path).unwrap().clone();
    let api = json!(image("api").to_string());
    assert_eq!(pod("Deployment", "api", "/spec/template/spec/containers/0/image"), api);
    assert_eq!(pod("Deployment", "api", "/spec/template/spec/initContainers/0/image"), api);
    assert_eq!(pod("CronJob", "clean", "/spec/jobTemplate/spec/template/spec/containers/0/image"), api);
    assert_eq!(
        pod("CronJob", "clean", "/spec/jobTemplate/spec/template/spec/volumes/0/image/reference"),
        image("worker").to_string()
    );
    assert_eq!(pod("Deployment", "api", "/spec/template/spec/containers/1/image"), "fluent/fluent-bit:3.2");
    let uses: Vec<_> =
        rendered.uses().iter().map(|one| format!("{} {} {}", one.service, one.workload, one.slot)).collect();
    assert_eq!(
        uses,
        [
            "web Deployment/web container `web`",
            "api Deployment/api init container `wait`",
            "api Deployment/api container `api`",
            "worker Deployment/worker container `worker`",
            "api CronJob/clean container `clean`",
            "worker CronJob/clean volume `model`",
        ]
    );
    let unpinned = rendered.remarks().iter().filter(|one| matches!(one, Remark::Unpinned { .. })).count();
    assert_eq!(unpinned, 2, "{:?}", texts(rendered.remarks()));
}

#[test]
fn every_kind_with_pods_is_known() {
    let template = "{metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: registry.example:5000/shop/api}]}}";
    for (api, kind, body) in [
        ("v1", "Pod", "spec: {containers: [{name: c, image: registry.example:5000/shop/api}]}".to_owned()),
        ("v1", "PodTemplate", format!("template: {template}")),
        ("v1", "ReplicationController", format!("spec: {{template: {template}}}")),
        ("apps/v1", "DaemonSet", format!("spec: {{template: {template}}}")),
        ("apps/v1", "ReplicaSet", format!("spec: {{template: {template}}}")),
        ("apps/v1", "StatefulSet", format!("spec: {{template: {template}}}")),
        ("batch/v1", "Job", format!("spec: {{template: {template}}}")),
        ("batch/v1", "CronJob", format!("spec: {{jobTemplate: {{spec: {{template: {template}}}}}}}")),
    ] {
        let rendered =
            with(&format!("{{apiVersion: {api}, kind: {kind}, metadata: {{name: x}}, {body}}}")).unwrap();
        let text = object(&rendered, kind, "x").to_string();
        assert!(text.contains(&image("api").to_string()), "{kind}: {text}");
        let is_fixed = rendered.remarks().iter().any(|one| matches!(one, Remark::Fixed(_)));
        assert_eq!(is_fixed, kind == "Job");
    }
}

#[test]
fn a_repository_is_compared_as_a_whole() {
    let api = |text: &str| {
        let mut given = Given::default();
        let repository: crate::Repository = "docker.io/library/api".parse().unwrap();
        given.services = BTreeMap::from([(
            "api".to_owned(),
            super::Part { image: Some(repository.at(&image("api").digest)), ..super::Part::default() },
        )]);
        let pod = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{containers: [{{name: c, image: '{text}'}}]}}}}"
        );
        given.render(&[("p.yaml", &pod)]).is_ok()
    };
    for same in [
        "api",
        "api:1",
        "docker.io/api:1",
        "docker.io/library/api",
        "index.docker.io/library/api:1",
        "library/api:2",
    ] {
        assert!(api(same), "{same}");
    }
    for other in
        ["acme/api:1", "api2:1", "localhost:5000/api:1", "ghcr.io/library/api:1", "docker.io/api/library:1"]
    {
        assert!(!api(other), "{other}");
    }
}

#[test]
fn a_service_that_is_nowhere_is_refused_with_the_images_that_there_are() {
    let error = edited("shop/web:dev", "shop/wep:dev").unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(
            "no image of the manifests is that of `web (registry.example:5000/shop/web)`: there are `"
        ),
        "{text}"
    );
    for image in ["`fluent/fluent-bit:3.2`", "`registry.example:5000/shop/wep:dev`", "`postgres:15`"] {
        assert!(text.contains(image), "{text}");
    }
    assert!(error.hint().unwrap().contains("services.NAME.kubernetes"));
    // It is said first, for the image that is meant is often the one that was pushed last.
    let error = edited("registry.example:5000/shop/web:dev", "your-registry/web:latest").unwrap_err();
    assert!(matches!(error, BadManifests::Nowhere { .. }), "{error}");
}

#[test]
fn what_was_pushed_last_is_refused_and_what_cannot_be_read_too() {
    for floating in ["postgres", "postgres:latest"] {
        let text = edited("postgres:15", floating).unwrap_err().to_string();
        let expected = format!(
            "the manifests would run whatever was pushed last: container `postgres` of `StatefulSet/postgres` (`{floating}`)"
        );
        assert_eq!(text, expected);
    }
    let by_digest = format!("postgres@{}", image("x").digest);
    let remarks = edited("postgres:15", &by_digest).unwrap().remarks().len();
    assert_eq!(remarks + 1, shop().remarks().len());
    for (bad, reason) in [
        ("'${IMAGE}'", "is not a repository name"),
        ("7", "there is none"),
        ("a@sha256:1", "does not name an image"),
    ] {
        let error = edited("image: postgres:15", &format!("image: {bad}")).unwrap_err().to_string();
        let place = "container `postgres` of `StatefulSet/postgres` (`k8s/runs.yaml`, document 3";
        assert!(error.starts_with(place) && error.contains(reason), "{error}");
    }
}

#[test]
fn names_in_shipkit_yml_count_before_repositories() {
    let files = [
        ("a.yaml", RUNS.replacen("registry.example:5000/shop/web:dev", "your-registry/web:latest", 1)),
        ("b.json", super::sample::JSON.to_owned()),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let given = Given::default();
    assert!(given.render(&files).is_err());
    let named = |deployment, container| given.clone().named("web", deployment, container).render(&files);
    for names in [(Some("web"), Some("web")), (Some("web"), None), (None, Some("web"))] {
        let rendered = named(names.0, names.1).unwrap();
        assert_eq!(
            object(&rendered, "Deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"],
            image("web").to_string()
        );
    }
    assert_eq!(
        named(Some("front"), None).unwrap_err().to_string(),
        "the manifests have no Deployment `front` for service `web`: there are `web`, `api`, `worker`"
    );
    assert_eq!(
        named(None, Some("nginx")).unwrap_err().to_string(),
        "`Deployment/web` has no container `nginx` for service `web`: there are `web`"
    );
    // Somebody else's container.
    let error = given
        .clone()
        .named("web", Some("api"), Some("api"))
        .named("api", None, None)
        .render(&files)
        .unwrap_err();
    assert!(matches!(error, BadManifests::Ambiguous { .. }), "{error}");
    // One that has no image yet.
    let none =
        files.map(|(name, text)| (name, text.replacen("          image: your-registry/web:latest\n", "", 1)));
    let none = none.each_ref().map(|(name, text)| (*name, text.as_str()));
    assert!(given.clone().named("web", None, None).render(&none).is_ok());
}

#[test]
fn the_same_image_in_the_same_pods_goes_with_a_named_container_and_nowhere_else() {
    let deployment = |name: &str| {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {{template: {{spec: {{initContainers: \
         [{{name: migrate, image: 'placeholder:1'}}], containers: [{{name: web, image: 'placeholder:1'}}]}}}}}}}}"
        )
    };
    let (one, two) = (deployment("front"), deployment("other"));
    let mut given = Given::default().named("web", Some("front"), None);
    given.services.retain(|name, _| name == "web");
    let rendered = given.render(&[("a", &one), ("b", &two)]).unwrap();
    let slots: Vec<_> =
        rendered.uses().iter().map(|one| (one.workload.name.as_str(), one.slot.clone())).collect();
    assert_eq!(
        slots,
        [("front", Slot::InitContainer("migrate".to_owned())), ("front", Slot::Container("web".to_owned()))]
    );
    assert!(object(&rendered, "Deployment", "other").to_string().contains("placeholder:1"));
    // Two that are named are each their own, and then nobody knows whose the third is.
    let two = one.replacen("migrate", "api", 1).replacen("initContainers", "containers", 1);
    let two = two.replacen("], containers: [", ", ", 1);
    let mut given = Given::default().named("web", Some("front"), None).named("api", Some("front"), None);
    given.services.retain(|name, _| name == "web" || name == "api");
    let rendered = given.render(&[("a", &two)]).unwrap();
    assert_eq!(rendered.uses().iter().map(|one| one.service.as_str()).collect::<Vec<_>>(), ["api", "web"]);
    let third = two.replacen("containers: [", "containers: [{name: x, image: 'placeholder:1'}, ", 1);
    assert!(matches!(given.render(&[("a", &third)]), Err(BadManifests::Ambiguous { .. })));
}

#[test]
fn replicas_are_left_to_autoscalers() {
    let rendered = shop();
    assert_eq!(object(&rendered, "Deployment", "api")["spec"].get("replicas"), None);
    assert_eq!(object(&rendered, "Deployment", "web")["spec"]["replicas"], 2);
    assert_eq!(rendered.scaled(), &BTreeSet::from([id("apps", "Deployment", "api")]));
    let expected = "`replicas` of `Deployment/api` is left out: `HorizontalPodAutoscaler/api` decides it";
    assert!(texts(rendered.remarks()).contains(&expected.to_owned()));
    let v1 = edited("autoscaling/v2", "autoscaling/v1").unwrap();
    assert_eq!(v1.scaled(), rendered.scaled());
    let keda = "{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: k}, spec: {scaleTargetRef: {name: web}}}";
    let scopes = BTreeMap::from([(Kind::of("keda.sh/v1alpha1", "ScaledObject"), Scope::Namespaced)]);
    let given = Given { scopes, ..Given::default() };
    let files: Vec<_> = FILES.into_iter().chain([("k.yaml", keda)]).collect();
    assert_eq!(given.render(&files).unwrap().scaled().len(), 2);
    let scaled = BTreeSet::from([Scaled {
        group: "apps".to_owned(),
        kind: "StatefulSet".to_owned(),
        name: "postgres".to_owned(),
    }]);
    let given = Given { scaled, ..given };
    let rendered = given.render(&files).unwrap();
    assert_eq!(object(&rendered, "StatefulSet", "postgres")["spec"].get("replicas"), None);
    let expected =
        "`replicas` of `StatefulSet/postgres` is left out: an autoscaler in the cluster decides it";
    assert!(texts(rendered.remarks()).contains(&expected.to_owned()));
    // An autoscaler of something else of that name owns nothing here.
    let other = edited("kind: Deployment, name: api}", "kind: StatefulSet, name: api}").unwrap();
    assert_eq!(object(&other, "Deployment", "api")["spec"]["replicas"], 3);
}

#[test]
fn names_of_what_pods_read_end_with_its_hash_and_every_reference_follows() {
    let rendered = shop();
    let config =
        object(&rendered, "ConfigMap", "api-config")["metadata"]["name"].as_str().unwrap().to_owned();
    let secret = object(&rendered, "Secret", "postgres")["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!((config.len(), secret.len()), ("api-config".len() + 11, "postgres".len() + 11));
    let api = &object(&rendered, "Deployment", "api")["spec"]["template"]["spec"];
    assert_eq!(api["containers"][0]["envFrom"][0]["configMapRef"]["name"], config);
    assert_eq!(api["containers"][0]["env"][1]["valueFrom"]["secretKeyRef"]["name"], secret);
    assert_eq!(
        api["volumes"][0]["projected"]["sources"],
        json!([{"configMap": {"name": config}}, {"secret": {"name": secret}}])
    );
    let clean = &object(&rendered, "CronJob", "clean")["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(clean["containers"][0]["envFrom"][0]["secretRef"]["name"], secret);
    // What the manifests do not bring keeps its name, and so does a Service's.
    let web = &object(&rendered, "Deployment", "web")["spec"]["template"]["spec"];
    assert_eq!(web["imagePullSecrets"][0]["name"], "pull");
    assert_eq!(web["volumes"][0]["secret"], json!({"secretName": "shop-tls", "defaultMode": 256}));
    assert_eq!(object(&rendered, "StatefulSet", "postgres")["spec"]["serviceName"], "postgres");
}

#[test]
fn every_place_where_a_pod_names_configuration_is_known() {
    let secret = "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: YQ==}}";
    for (number, spec) in [
        "imagePullSecrets: [{name: s}]",
        "volumes: [{name: v, secret: {secretName: s}}]",
        "volumes: [{name: v, projected: {sources: [{secret: {name: s}}]}}]",
        "volumes: [{name: v, csi: {driver: d, nodePublishSecretRef: {name: s}}}]",
        "volumes: [{name: v, azureFile: {secretName: s, shareName: x}}]",
        "volumes: [{name: v, cephfs: {secretRef: {name: s}}}]",
        "initContainers: [{name: i, image: 'a:1', envFrom: [{secretRef: {name: s}}]}]",
        "initContainers: [{name: i, image: 'a:1', env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: a}}}]}]",
    ].into_iter().enumerate() {
        let pod = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{containers: [], {spec}}}}}");
        let rendered = with(&format!("{secret}\n---\n{pod}")).unwrap();
        let name = object(&rendered, "Secret", "s")["metadata"]["name"].as_str().unwrap();
        assert_eq!(name.len(), 12, "{number}");
        assert!(object(&rendered, "Pod", "p").to_string().contains(&format!("\"{name}\"")), "{spec}");
    }
}

#[test]
fn the_hash_sees_the_content_and_nothing_else() {
    let name = |old: &str, new: &str| {
        let rendered = edited(old, new).unwrap();
        object(&rendered, "ConfigMap", "api-config")["metadata"]["name"].as_str().unwrap().to_owned()
    };
    let before = name("info", "info");
    assert_ne!(name("LOG_LEVEL: info", "LOG_LEVEL: debug"), before);
    assert_ne!(name("kind: ConfigMap", "immutable: true\nkind: ConfigMap"), before);
    assert_ne!(name("LOG_LEVEL: info", "LEVEL: info"), before);
    assert_eq!(name("labels: {app: api}}\ndata:", "labels: {app: b}, annotations: {c: d}}\ndata:"), before);
    assert_eq!(
        name("  LOG_LEVEL: info\n  \"FEATURES\": \"a,b\"\n", "  FEATURES: a,b\n  LOG_LEVEL: info\n"),
        before
    );
    let secret = |old: &str, new: &str| {
        object(&edited(old, new).unwrap(), "Secret", "postgres")["metadata"]["name"].clone()
    };
    assert_ne!(secret("type: Opaque", "type: acme.example/x"), secret("Opaque", "Opaque"));
    // A name that somebody else has already cannot be given.
    let taken = with("{apiVersion: v1, kind: ConfigMap, metadata: {name: api-config-c4ad1d2c31}}");
    assert!(matches!(taken, Err(BadManifests::Twice { .. })));
    // The value that it was when this was written: another one would restart every pod once.
    assert_eq!(before, "api-config-c4ad1d2c31");
}

/// What is said about names that stay.
fn kept(rendered: &super::Rendered) -> Vec<String> {
    let remarks = rendered.remarks().iter().filter(|one| matches!(one, Remark::NameKept { .. }));
    remarks.map(ToString::to_string).collect()
}

#[test]
fn what_something_else_names_keeps_its_name_with_a_remark() {
    assert_eq!(
        kept(&shop()),
        [
            "`Secret/shop-tls` keeps its name, because `Ingress/shop` names it: pods of the release before see what is in it now",
            "`ConfigMap/web-pages` keeps its name, because its annotation says so: pods of the release before see what is in it now",
        ]
    );
    for (more, by) in [
        (
            "{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}, imagePullSecrets: [{name: api-config}]}",
            "ServiceAccount/a",
        ),
        ("{apiVersion: v1, kind: Service, metadata: {name: a, annotations: {x: api-config}}}", "Service/a"),
        (
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: a}, rules: [{resourceNames: [api-config]}]}",
            "Role/a",
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: 'x:1', args: [api-config]}]}}",
            "Pod/a",
        ),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: 'x:1', env: [{name: A, value: api-config}]}]}}",
            "Pod/a",
        ),
        ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {from: api-config}}", "ConfigMap/a"),
    ] {
        let rendered = with(more).unwrap();
        let remarks = kept(&rendered);
        assert!(
            remarks.iter().any(|one| one
                .starts_with(&format!("`ConfigMap/api-config` keeps its name, because `{by}` names it"))),
            "{more}: {remarks:?}"
        );
        let api = &object(&rendered, "Deployment", "api")["spec"]["template"]["spec"];
        assert_eq!(api["containers"][0]["envFrom"][0]["configMapRef"]["name"], "api-config");
    }
}

#[test]
fn a_name_that_is_somebody_elses_counts_where_kinds_are_unknown_alone() {
    for more in [
        "{apiVersion: v1, kind: Service, metadata: {name: api-config}, spec: {selector: {app: api-config}}}",
        "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {x: api-config}}, spec: {containers: [{name: api-config, image: 'x:1'}]}}",
    ] {
        assert_eq!(kept(&with(more).unwrap()).len(), 2, "{more}");
    }
    let custom = "{apiVersion: acme.example/v1, kind: Till, metadata: {name: t}, spec: {deep: [{selector: api-config}]}}";
    let scopes = BTreeMap::from([(Kind::of("acme.example/v1", "Till"), Scope::Namespaced)]);
    let given = Given { scopes, ..Given::default() };
    let files: Vec<_> = FILES.into_iter().chain([("t.yaml", custom)]).collect();
    assert_eq!(kept(&given.render(&files).unwrap()).len(), 3);
    let token = edited("type: Opaque", "type: kubernetes.io/service-account-token").unwrap();
    let is_filled = |one: &Remark| matches!(one, Remark::NameKept { because: WhyKept::Filled, .. });
    assert!(token.remarks().iter().any(is_filled));
}

#[test]
fn a_rolling_update_without_a_drain_is_remarked_where_requests_come() {
    let drains = |rendered: &super::Rendered| -> Vec<String> {
        let found = rendered.remarks().iter().filter_map(|one| match one {
            Remark::NoDrain(id) => Some(id.name.clone()),
            Remark::Unpinned { .. }
            | Remark::ReplicasLeft { .. }
            | Remark::NameKept { .. }
            | Remark::Fixed(_)
            | Remark::NotShifted(_) => None,
        });
        found.collect()
    };
    assert_eq!(drains(&shop()), ["api"]);
    let both = edited("          lifecycle: {preStop: {sleep: {seconds: 5}}}\n", "").unwrap();
    assert_eq!(drains(&both), ["web", "api"]);
    let recreated = edited("  replicas: 3\n", "  strategy: {type: Recreate}\n").unwrap();
    assert_eq!(drains(&recreated), Vec::<String>::new());
    assert_eq!(
        drains(&edited("selector: {app: api}, ports", "selector: {app: api, x: y}, ports").unwrap()),
        Vec::<String>::new()
    );
}
