//! A shop as its people would write it, for tests.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{BadManifests, Kind, Manifests, Part, Rendered, Scope, Wanted};
use crate::config::KubernetesNames;
use crate::digest::Digest;
use crate::reference::{ImageRef, Repository};

/// What does not run.
pub(crate) const BASE: &str = r#"# What everything else needs.
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: api-config, labels: {app: api}}
data:
  LOG_LEVEL: info
  "FEATURES": "a,b"
---
apiVersion: v1
kind: Secret
metadata: {name: postgres, annotations: {team: data}}
type: Opaque
stringData: {password: correct horse}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-tls}
type: kubernetes.io/tls
data: {tls.crt: Y2VydA==, tls.key: a2V5}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web-pages, annotations: {shipkit.dev/keep-name: "true"}}
data: {index.html: "<h1>{{ shop }}</h1>"}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  tls: [{hosts: [shop.example], secretName: shop-tls}]
  rules:
    - host: shop.example
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
# Nothing here.
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: api}
spec: {minAvailable: 1, selector: {matchLabels: {app: api}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: api}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: api}
  minReplicas: 2
  maxReplicas: 6
"#;

/// What runs.
pub(crate) const RUNS: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  creationTimestamp: null
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      imagePullSecrets: [{name: pull}]
      containers:
        - name: web
          image: registry.example:5000/shop/web:dev
          lifecycle: {preStop: {sleep: {seconds: 5}}}
          volumeMounts: [{name: tls, mountPath: /tls}, {name: pages, mountPath: /pages}]
      volumes:
        - {name: tls, secret: {secretName: shop-tls, defaultMode: 0400}}
        - {name: pages, configMap: {name: web-pages}}
status: {replicas: 2}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      initContainers:
        - {name: wait, image: "registry.example:5000/shop/api@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
      containers:
        - name: api
          image: registry.example:5000/shop/api
          envFrom: [{configMapRef: {name: api-config}}]
          env:
            - {name: DB_HOST, value: postgres.shop.svc}
            - name: DB_PASSWORD
              valueFrom: {secretKeyRef: {name: postgres, key: password}}
        - {name: log, image: "fluent/fluent-bit:3.2"}
      volumes:
        - name: all
          projected: {sources: [{configMap: {name: api-config}}, {secret: {name: postgres}}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: postgres}
spec:
  serviceName: postgres
  replicas: 1
  selector: {matchLabels: {app: postgres}}
  template:
    metadata: {labels: {app: postgres}}
    spec:
      containers:
        - name: postgres
          image: postgres:15
          env: [{name: POSTGRES_PASSWORD, valueFrom: {secretKeyRef: {name: postgres, key: password}}}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"#;

/// What a release of its own brings, as `kubectl get -o json` would print it.
pub(crate) const JSON: &str = r#"{
	"apiVersion": "v1", "kind": "List",
	"items": [
		{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "worker", "uid": "1"},
		 "spec": {"selector": {"matchLabels": {"app": "worker"}}, "template": {
			"metadata": {"labels": {"app": "worker"}},
			"spec": {"containers": [{"name": "worker", "image": "registry.example:5000/shop/worker:1.0"}]}}}},
		{"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "clean"},
		 "spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {
			"restartPolicy": "Never",
			"containers": [{"name": "clean", "image": "registry.example:5000/shop/api:latest",
				"envFrom": [{"secretRef": {"name": "postgres"}}]}],
			"volumes": [{"name": "model", "image": {"reference": "registry.example:5000/shop/worker"}}]}}}}}}
	]
}"#;

/// All files of the shop.
pub(crate) const FILES: [(&str, &str); 3] =
    [("k8s/base.yaml", BASE), ("k8s/runs.yaml", RUNS), ("k8s/worker.json", JSON)];

/// What the cluster and the configuration say, with the means to say something else.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) namespace: String,
    pub(crate) scopes: BTreeMap<Kind, Scope>,
    pub(crate) services: BTreeMap<String, Part>,
    pub(crate) scaled: BTreeSet<super::Scaled>,
}

impl Default for Given {
    fn default() -> Self {
        let services = [
            part("api", &["postgres"]),
            part("web", &["api"]),
            part("worker", &["api"]),
            ("postgres".to_owned(), Part::default()),
        ];
        Self {
            namespace: "shop".to_owned(),
            scopes: BTreeMap::new(),
            services: services.into_iter().collect(),
            scaled: BTreeSet::new(),
        }
    }
}

impl Given {
    /// The same with names in the cluster for one service.
    pub(crate) fn named(mut self, service: &str, deployment: Option<&str>, container: Option<&str>) -> Self {
        let names = KubernetesNames {
            deployment: deployment.map(str::to_owned),
            container: container.map(str::to_owned),
        };
        self.services.get_mut(service).unwrap().names = Some(names);
        self
    }

    /// The same with services that are replaced by a shift.
    pub(crate) fn shifted(mut self, services: &[&str]) -> Self {
        for service in services {
            self.services.get_mut(*service).unwrap().has_slots = true;
        }
        self
    }

    pub(crate) fn render(&self, files: &[(&str, &str)]) -> Result<Rendered, BadManifests> {
        parse(files)?.rendered(&Wanted {
            stack: "shop",
            namespace: &self.namespace,
            scopes: &self.scopes,
            services: &self.services,
            scaled: &self.scaled,
        })
    }
}

pub(crate) fn part(service: &str, depends_on: &[&str]) -> (String, Part) {
    let depends_on = depends_on.iter().map(|on| (*on).to_owned()).collect();
    (service.to_owned(), Part { image: Some(image(service)), depends_on, ..Part::default() })
}

/// The image of a service of the release.
pub(crate) fn image(service: &str) -> ImageRef {
    format!("registry.example:5000/shop/{service}")
        .parse::<Repository>()
        .unwrap()
        .at(&Digest::of(service.as_bytes()))
}

pub(crate) fn parse(files: &[(&str, &str)]) -> Result<Manifests, BadManifests> {
    Manifests::parse(files.iter().map(|(name, text)| (*name, text.as_bytes())))
}

pub(crate) fn shop() -> Rendered {
    Given::default().render(&FILES).unwrap()
}

/// The shop with one place of its files changed.
pub(crate) fn edited(old: &str, new: &str) -> Result<Rendered, BadManifests> {
    let texts = FILES.map(|(name, text)| (name, text.replacen(old, new, 1)));
    assert!(FILES.iter().any(|(_, text)| text.contains(old)), "{old}");
    Given::default().render(&texts.each_ref().map(|(name, text)| (*name, text.as_str())))
}

/// The shop with a file more.
pub(crate) fn with(more: &str) -> Result<Rendered, BadManifests> {
    let files: Vec<_> = FILES.into_iter().chain([("k8s/more.yaml", more)]).collect();
    Given::default().render(&files)
}

/// An object by its kind and how its name begins.
pub(crate) fn object<'a>(rendered: &'a Rendered, kind: &str, name: &str) -> &'a Value {
    let fits = |id: &super::Id| {
        id.kind == kind
            && (id.name == name
                || id.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('-') && rest.len() == 11))
    };
    let found = rendered.objects().iter().find(|object| fits(object.id()));
    found.unwrap_or_else(|| panic!("no {kind}/{name}")).value()
}
