//! The job that runs before a release is rolled out: made from what the pods of a service are made from, for one command and once.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::{Affinity, Container, PodReadinessGate, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use shipkit_core::Digest;
use shipkit_core::journal::Hook;
use shipkit_core::target;

use crate::annotations::Annotations;
use crate::cluster::Workload;

/// What tells the jobs of shipkit, and their pods, from others. Its value is what they do.
pub(crate) const LABEL: &str = "shipkit.dev/job";
/// How many digits of the release's digest are in the name.
const DIGITS: usize = 16;

/// A job as the cluster has it.
pub(crate) type Object = Job;

/// How a job ended, in the cluster's own words where it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// It did all that it should.
    Complete,
    /// It failed.
    Failed {
        /// In one word.
        reason: String,
        /// In a sentence.
        message: String,
    },
}

/// The name of the job of a release.
pub(crate) fn name(hook: Hook, release: &Digest) -> String {
    let digest = release.as_str();
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    format!("shipkit-{hook}-{}", hex.chars().take(DIGITS).collect::<String>())
}

/// The job. `None` if the deployment has no such container.
pub(crate) fn object(
    (hook, name): (Hook, String),
    (deployment, workload): (&Deployment, &Workload),
    job: target::Job<'_>,
    annotations: Annotations,
) -> Option<Job> {
    let spec = deployment.spec.clone().unwrap_or_default();
    let before = spec.template.spec.unwrap_or_default();
    let container = before.containers.iter().find(|one| one.name == workload.container)?;
    let pod = pod(container, &before, job);
    let all = spec.template.metadata.unwrap_or_default();
    // A label that the deployment selects by may be one that a Service, an autoscaler or a disruption budget does.
    let selected = selected(&spec.selector);
    let mut labels = all.labels.unwrap_or_default();
    labels.retain(|name, _| !selected.contains(&name.as_str()));
    labels.insert(LABEL.to_owned(), hook.to_string());
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: all.annotations,
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    };
    Some(Job {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some([(LABEL.to_owned(), hook.to_string())].into()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            // It begins when somebody says so, and not by being made.
            suspend: Some(true),
            backoff_limit: Some(0),
            active_deadline_seconds: Some(job.limit.as_secs().max(1).try_into().unwrap_or(i64::MAX)),
            template,
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// Whether a job was made and not begun.
pub(crate) fn is_fresh(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

/// How a job ended; `None` while it has not.
pub(crate) fn end(status: Option<&JobStatus>) -> Option<End> {
    status?.conditions.iter().flatten().filter(|one| one.status == "True").find_map(|one| {
        match one.type_.as_str() {
            "Complete" => Some(End::Complete),
            "Failed" => {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                Some(End::Failed { reason: text(&one.reason), message: text(&one.message) })
            }
            // It is on its way to one of the two, or suspended.
            _ => None,
        }
    })
}

/// The pod of the service with one container, whose image gets the command in place of its own.
fn pod(container: &Container, before: &PodSpec, job: target::Job<'_>) -> PodSpec {
    let container = Container {
        image: Some(job.service.image.to_string()),
        command: None,
        args: Some(job.command.to_vec()),
        // Nobody asks it anything, and a port of the node has one user.
        ports: None,
        liveness_probe: None,
        readiness_probe: None,
        startup_probe: None,
        lifecycle: None,
        ..container.clone()
    };
    let node_affinity = before.affinity.as_ref().and_then(|affinity| affinity.node_affinity.clone());
    PodSpec {
        containers: vec![container],
        restart_policy: Some("Never".to_owned()),
        // So that it never becomes ready: a Service that selects by other labels sends it no request.
        readiness_gates: Some(vec![PodReadinessGate { condition_type: "shipkit.dev/serves".to_owned() }]),
        // Where the other pods are is no concern of it.
        affinity: node_affinity.map(|node| Affinity { node_affinity: Some(node), ..Affinity::default() }),
        topology_spread_constraints: None,
        ..before.clone()
    }
}

/// The labels that a selector looks at.
fn selected(selector: &LabelSelector) -> Vec<&str> {
    let equal = selector.match_labels.iter().flatten().map(|(name, _)| name.as_str());
    let other = selector.match_expressions.iter().flatten().map(|one| one.key.as_str());
    equal.chain(other).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use serde_json::{Value, json};
    use shipkit_core::target::{DesiredService, Settings};

    use super::*;

    fn made(template: &Value) -> Option<Value> {
        let deployment = json!({"spec": {
            "selector": {
                "matchLabels": {"app": "shop"},
                "matchExpressions": [{"key": "tier", "operator": "Exists"}],
            },
            "template": template,
        }});
        let deployment = serde_json::from_value(deployment).unwrap();
        let image = "registry.example/shop/api".parse::<shipkit_core::Repository>().unwrap();
        let service = DesiredService {
            name: "api".to_owned(),
            image: image.at(&Digest::of(b"new")),
            platforms: BTreeSet::new(),
            revision: "r".to_owned(),
            depends_on: Vec::new(),
            stateful: false,
            settings: Settings::default(),
        };
        let workload = Workload {
            service: "api".to_owned(),
            name: "shop-api".to_owned(),
            container: "app".to_owned(),
            monitor: Duration::ZERO,
        };
        let command = ["up".to_owned(), "all".to_owned()];
        let limit = Duration::from_mins(2);
        let job = target::Job { service: &service, command: &command, is_begun: false, limit };
        let annotations = [("shipkit.dev/version".to_owned(), "2".to_owned())].into();
        object((Hook::Migrate, "m".to_owned()), (&deployment, &workload), job, annotations)
            .map(|job| json!(job))
    }

    #[test]
    fn it_has_all_that_the_service_has_and_gets_none_of_its_requests() {
        let probe = json!({"httpGet": {"port": 80}});
        let job = made(&json!({
            "metadata": {
                "labels": {"app": "shop", "tier": "back", "team": "a"},
                "annotations": {"vault": "yes"},
            },
            "spec": {
                "serviceAccountName": "shop", "restartPolicy": "Always", "imagePullSecrets": [{"name": "pull"}],
                "initContainers": [{"name": "wait", "image": "wait:1"}],
                "volumes": [{"name": "data", "emptyDir": {}}],
                "affinity": {"nodeAffinity": {}, "podAntiAffinity": {}},
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
                "containers": [
                    {"name": "proxy", "image": "proxy:1"},
                    {
                        "name": "app", "image": "registry.example/shop/api:1", "command": ["serve"], "args": ["--all"],
                        "env": [{"name": "A", "value": "b"}], "envFrom": [{"secretRef": {"name": "key"}}],
                        "resources": {"limits": {"memory": "1Gi"}}, "ports": [{"containerPort": 80, "hostPort": 80}],
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                        "livenessProbe": probe, "readinessProbe": probe, "startupProbe": probe,
                        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},
                    },
                ],
            },
        }));
        let image = format!("registry.example/shop/api@{}", Digest::of(b"new"));
        let expected = json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": "m", "labels": {"shipkit.dev/job": "migrate"}, "annotations": {"shipkit.dev/version": "2"},
            },
            "spec": {
                "activeDeadlineSeconds": 120, "backoffLimit": 0, "suspend": true,
                "template": {
                    "metadata": {
                        "labels": {"team": "a", "shipkit.dev/job": "migrate"}, "annotations": {"vault": "yes"},
                    },
                    "spec": {
                        "serviceAccountName": "shop", "restartPolicy": "Never", "imagePullSecrets": [{"name": "pull"}],
                        "initContainers": [{"name": "wait", "image": "wait:1"}],
                        "volumes": [{"name": "data", "emptyDir": {}}],
                        "affinity": {"nodeAffinity": {}},
                        "readinessGates": [{"conditionType": "shipkit.dev/serves"}],
                        "containers": [{
                            "name": "app", "image": image, "args": ["up", "all"],
                            "env": [{"name": "A", "value": "b"}], "envFrom": [{"secretRef": {"name": "key"}}],
                            "resources": {"limits": {"memory": "1Gi"}},
                            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                        }],
                    },
                },
            },
        });
        assert_eq!(job, Some(expected));
        assert_eq!(made(&json!({"spec": {"containers": [{"name": "other"}]}})), None);
    }

    #[test]
    fn it_has_ended_when_the_cluster_says_that_it_is_complete_or_failed_and_not_before() {
        let of = |conditions: Value| {
            let status: JobStatus = serde_json::from_value(json!({"conditions": conditions})).unwrap();
            end(Some(&status))
        };
        let condition = |kind: &str, status: &str| json!([{"type": kind, "status": status, "reason": "R", "message": "m"}]);
        assert_eq!((end(None), of(json!([]))), (None, None));
        assert_eq!(of(condition("Complete", "True")), Some(End::Complete));
        let failed = End::Failed { reason: "R".to_owned(), message: "m".to_owned() };
        assert_eq!(of(condition("Failed", "True")), Some(failed));
        for (kind, status) in [
            ("Complete", "False"),
            ("Failed", "False"),
            ("FailureTarget", "True"),
            ("SuccessCriteriaMet", "True"),
        ] {
            assert_eq!(of(condition(kind, status)), None, "{kind} {status}");
        }
    }

    #[test]
    fn its_name_is_that_of_the_release_and_one_that_pods_can_have() {
        let (one, two) = (name(Hook::Migrate, &Digest::of(b"1")), name(Hook::Migrate, &Digest::of(b"2")));
        assert_eq!(one.strip_prefix("shipkit-migrate-").map(str::len), Some(DIGITS));
        assert_ne!(one, two);
        assert!(name(Hook::Backup, &Digest::of(b"1")).starts_with("shipkit-backup-"));
    }
}
