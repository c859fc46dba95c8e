//! `SecretName`: what `secrets` of an environment mean in a cluster. Whether it is there is asked; a value is never kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};
use shipkit_core::manifests::secrets_read;

use crate::cluster::Cluster;
use crate::error::ClusterError;

/// A secret that must exist.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretName {
    /// `name`: a Secret.
    Whole(String),
    /// `name/key`: a key of a Secret.
    Key {
        /// The Secret.
        secret: String,
        /// The key.
        key: String,
    },
    /// `NAME`, which no Secret can be called (RFC 1123, as Kubernetes wants it): a key of some Secret that pods read.
    Anywhere(String),
}

impl SecretName {
    fn of(name: &str) -> Self {
        if let Some((secret, key)) = name.split_once('/') {
            return Self::Key { secret: secret.to_owned(), key: key.to_owned() };
        }
        let is_part = |part: &str| {
            let is_end =
                |end: Option<char>| end.is_some_and(|end| end.is_ascii_lowercase() || end.is_ascii_digit());
            let is_inside = |one: char| is_end(Some(one)) || one == '-';
            is_end(part.chars().next()) && is_end(part.chars().last()) && part.chars().all(is_inside)
        };
        if name.split('.').all(is_part) {
            Self::Whole(name.to_owned())
        } else {
            Self::Anywhere(name.to_owned())
        }
    }

    /// How it and others are made.
    pub(crate) fn hint(&self) -> String {
        let what = match self {
            Self::Whole(name) => name.clone(),
            Self::Key { secret, key } => format!("{secret} --from-file={key}"),
            Self::Anywhere(key) => format!("NAME --from-file={key}"),
        };
        format!("create each of them, as in `kubectl create secret generic {what}`")
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(name) => write!(f, "`{name}`"),
            Self::Key { secret, key } => write!(f, "`{key}` in `{secret}`"),
            Self::Anywhere(key) => write!(f, "`{key}` in any that the pods read"),
        }
    }
}

impl Cluster {
    /// Whether all secrets are there that the environment names.
    ///
    /// # Errors
    /// When some are not, all of which are named, or the cluster cannot be asked.
    pub(crate) async fn secrets_exist(&self) -> Result<(), ClusterError> {
        let wanted: BTreeSet<SecretName> =
            self.place.secrets.iter().map(|name| SecretName::of(name)).collect();
        let mut read = None;
        let mut missing = Vec::new();
        for name in wanted {
            let is_there = match &name {
                SecretName::Whole(secret) => {
                    self.ask("get secrets", self.secrets().get_metadata_opt(secret)).await?.is_some()
                }
                SecretName::Key { secret, key } => self.keys(secret).await?.contains(key),
                SecretName::Anywhere(key) => {
                    if read.is_none() {
                        read = Some(self.keys_that_pods_read().await?);
                    }
                    read.iter().flatten().any(|one| one == key)
                }
            };
            if !is_there {
                missing.push(name);
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(ClusterError::MissingSecrets(missing)) }
    }

    async fn keys_that_pods_read(&self) -> Result<BTreeSet<String>, ClusterError> {
        let mut keys = BTreeSet::new();
        let (mut secrets, mut own) = (BTreeSet::new(), Vec::new());
        if let Some(rendered) = &self.manifests {
            secrets.extend(rendered.secrets_read());
            own.extend(rendered.objects().iter().filter(|object| object.id().is("", "Secret")));
        } else {
            let ours = |name: &str| self.place.workloads.iter().any(|workload| workload.name == name);
            for deployment in self.list_deployments().await? {
                if deployment.metadata.name.as_deref().is_some_and(ours) {
                    let template = deployment.spec.map(|spec| json!(spec.template));
                    secrets.extend(template.iter().flat_map(secrets_read));
                }
            }
        }
        for secret in secrets {
            match own.iter().find(|object| object.id().name == secret) {
                Some(object) => {
                    let parts = ["data", "stringData"]
                        .map(|part| object.value().get(part).and_then(Value::as_object));
                    keys.extend(parts.into_iter().flatten().flat_map(|part| part.keys().cloned()));
                }
                None => keys.extend(self.keys(&secret).await?),
            }
        }
        Ok(keys)
    }

    /// The keys of a Secret; none where it is not there.
    async fn keys(&self, secret: &str) -> Result<BTreeSet<String>, ClusterError> {
        let found = self.ask("get secrets", self.secrets().get_opt(secret)).await?;
        Ok(found.and_then(|found| found.data).into_iter().flat_map(BTreeMap::into_keys).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_can_call_a_secret_is_one_and_all_else_is_a_key() {
        let whole = |name: &str| SecretName::Whole(name.to_owned());
        let anywhere = |name: &str| SecretName::Anywhere(name.to_owned());
        for (name, expected) in [
            ("chat-secrets", whole("chat-secrets")),
            ("tls.example.com", whole("tls.example.com")),
            ("k8s1", whole("k8s1")),
            ("DATABASE_URL", anywhere("DATABASE_URL")),
            ("database_url", anywhere("database_url")),
            ("-a", anywhere("-a")),
            ("a.", anywhere("a.")),
            ("", anywhere("")),
            (
                "chat-secrets/database-url",
                SecretName::Key { secret: "chat-secrets".to_owned(), key: "database-url".to_owned() },
            ),
        ] {
            assert_eq!(SecretName::of(name), expected, "{name}");
        }
    }
}
