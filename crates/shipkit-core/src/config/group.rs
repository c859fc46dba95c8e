//! Groups: services that are released together, as if they were a project of their own.

use super::error::{list, suggestion};
use super::types::Config;
use crate::exit::ExitCode;
use crate::hint::Hint;

/// Which group is meant cannot be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// There are groups, and none was named.
    #[error("shipkit.yml has groups, and each is released by itself: none is named")]
    NotNamed {
        /// The groups.
        known: Vec<String>,
    },
    /// There is no such group.
    #[error("shipkit.yml has no group `{name}`")]
    Unknown {
        /// What was named.
        name: String,
        /// The groups.
        known: Vec<String>,
    },
}

impl Hint for GroupError {
    fn hint(&self) -> Option<String> {
        let words = |known: &[String]| list(&known.iter().map(String::as_str).collect::<Vec<_>>());
        match self {
            Self::NotNamed { known } => Some(format!("give one with `--group`: {}", words(known))),
            Self::Unknown { known, .. } if known.is_empty() => {
                Some("it has no groups at all: leave `--group` out".to_owned())
            }
            Self::Unknown { name, known } => {
                suggestion(name, &known.iter().map(String::as_str).collect::<Vec<_>>())
            }
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

impl Config {
    /// The configuration of one group: its services, the checks and hooks that are about them or about no service, and
    /// all the rest as it is. Without groups, and without one named, everything.
    ///
    /// # Errors
    /// When there are groups and none is named, or there is none of this name.
    pub fn in_group(mut self, name: Option<&str>) -> Result<Self, GroupError> {
        let known = || self.groups.keys().cloned().collect();
        let Some(name) = name else {
            return if self.groups.is_empty() {
                Ok(self)
            } else {
                Err(GroupError::NotNamed { known: known() })
            };
        };
        let Some(members) = self.groups.get(name).cloned() else {
            return Err(GroupError::Unknown { name: name.to_owned(), known: known() });
        };
        let is_here = |service: &String| members.contains(service);
        self.services.retain(|service, _| is_here(service));
        for service in self.services.values_mut() {
            service.depends_on.retain(is_here);
        }
        for environment in &mut self.environments {
            environment.smoke.retain(|check| check.service.as_ref().is_none_or(is_here));
            environment.backup_job = environment.backup_job.take().filter(|job| is_here(&job.service));
            environment.migrate = environment.migrate.take().filter(|migrate| is_here(&migrate.service));
        }
        if let Some(compose) = &mut self.compose {
            compose.left.retain(|left| is_here(&left.service));
        }
        self.group = Some(name.to_owned());
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Needed;

    fn config(groups: &str) -> Config {
        let text = format!(
            "version: 1\nname: shop\n{groups}\nservices:\n  api: {{build: {{}}, depends_on: [web]}}\n  web: {{build: {{}}}}\n  worker: {{build: {{}}, depends_on: [api]}}\n\
             environments:\n  staging:\n    target: {{type: swarm}}\n    migrate: {{service: api, command: up}}\n    \
             smoke: [{{get: /a, service: api}}, {{get: /w, service: web}}, {{get: /}}]\n"
        );
        Config::parse("shipkit.yml", &text, &|_| None, Needed::Build).unwrap()
    }

    #[test]
    fn a_group_is_its_services_and_what_is_about_them() {
        let groups = "groups: {back: [api, worker], front: [web]}";
        let back = config(groups).in_group(Some("back")).unwrap();
        assert_eq!(back.services.keys().collect::<Vec<_>>(), ["api", "worker"]);
        assert_eq!(back.services.get("api").map(|api| api.depends_on.len()), Some(0), "`web` is elsewhere");
        assert_eq!(back.services.get("worker").map(|worker| worker.depends_on.len()), Some(1));
        let staging = back.environments.first().unwrap();
        let checks: Vec<_> = staging.smoke.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(checks, ["get /a", "get /"]);
        assert!(staging.migrate.is_some());
        let front = config(groups).in_group(Some("front")).unwrap();
        assert_eq!(front.environments.first().map(|staging| staging.migrate.is_some()), Some(false));
        assert_eq!(front.group.as_deref(), Some("front"));
    }

    #[test]
    fn a_group_has_to_be_named_exactly_where_there_are_groups() {
        assert_eq!(config("").in_group(None).unwrap().services.len(), 3);
        let error = config("").in_group(Some("back")).unwrap_err();
        assert!(error.hint().unwrap().contains("leave `--group` out"), "{error}");
        let groups = "groups: {back: [api, worker], front: [web]}";
        let error = config(groups).in_group(None).unwrap_err();
        assert!(error.hint().unwrap().contains("`back`, `front`"), "{error}");
        let error = config(groups).in_group(Some("bakc")).unwrap_err();
        assert_eq!(error.hint().unwrap(), "did you mean `back`?");
    }
}
