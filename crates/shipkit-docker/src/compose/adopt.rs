//! What others started in a project becomes what serves: it is written down, and no container is touched.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use shipkit_core::ImageRef;
use shipkit_core::compose::{Deployed, State};
use shipkit_core::journal::Migration;
use shipkit_core::target::{Adopted, Adoption, Found};

use super::Compose;
use super::container::{Container, PROJECT};
use super::error::ComposeError;
use crate::spec::{at, items};

impl Compose {
    /// What there is of each of these services of the project, whoever started it.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn found(&self, services: &[&str]) -> Result<Vec<Found>, ComposeError> {
        let state = self.state().await?;
        let mut found = Vec::new();
        for name in services {
            found.push(match known(&state, name) {
                Some(known) => known,
                None => self.found_there(name).await?,
            });
        }
        Ok(found)
    }

    /// What there is of a service that nothing is remembered of.
    async fn found_there(&self, name: &str) -> Result<Found, ComposeError> {
        let containers = self.containers(name).await?;
        if containers.is_empty() {
            let namesake = self.container(name).await?.filter(|one| one.label(PROJECT).is_none());
            return Ok(namesake.map_or(Found::Nothing, |_| Found::Misnamed {
                there: format!("container `{name}`"),
                wanted: "`docker compose` did not start it".to_owned(),
            }));
        }
        if containers.iter().any(|one| one.key().is_some()) {
            let belongs_to = "a release of shipkit that the project does not remember".to_owned();
            return Ok(Found::Elsewhere { belongs_to });
        }
        let running: Vec<&Container> = containers.iter().filter(|one| one.is_running()).collect();
        let images: BTreeSet<_> = running.iter().map(|one| one.image_names().1).collect();
        let Some(first) = running.first() else { return Ok(Found::Down) };
        if 1 < images.len() {
            return Ok(Found::Mixed);
        }
        let count = u64::try_from(running.len()).unwrap_or(u64::MAX);
        Ok(Found::Runs { image: self.by_digest(first).await?, count })
    }

    /// The image of a container by the digest that it has at a registry, if the engine knows one.
    async fn by_digest(&self, container: &Container) -> Result<Option<ImageRef>, ComposeError> {
        let (name, id) = container.image_names();
        if let Some(image) = container.image() {
            return Ok(Some(image));
        }
        let image = self.engine.find("show an image", &format!("/images/{id}/json")).await?;
        Ok(image.and_then(|image| digest_of(&image, name)))
    }

    /// Writes down that these services serve, as they are, and keeps what it takes to come back to them: their images, and
    /// what the Compose files say of them now. Touches no container. To be called by the holder of the lease.
    ///
    /// # Errors
    /// When the host cannot be asked, or Compose cannot render the project.
    pub async fn adopt(&self, adoption: &Adoption, time: Timestamp) -> Result<(), ComposeError> {
        let mut services = Vec::new();
        for adopted in &adoption.services {
            services.push((&adopted.service, self.as_adopted(adopted, adoption).await?));
        }
        self.remember(|state| {
            for (service, deployed) in services {
                state.adopt(service, deployed);
            }
        })
        .await?;
        let (release, parts) = (&adoption.stamp.release, adoption.parts());
        self.record_parts((release, &parts), Migration::Compatible, time).await
    }

    /// A service as it is written down.
    async fn as_adopted(&self, adopted: &Adopted, adoption: &Adoption) -> Result<Deployed, ComposeError> {
        let (model, name) = (self.model().await?, &adopted.service);
        let absent = || ComposeError::NotInFiles(name.clone());
        model.service(name).ok_or_else(absent)?;
        let theirs = adopted.image.as_ref().and_then(|image| model.of_others(name, image));
        Ok(Deployed {
            image: adopted.image.clone(),
            stop_grace: model.stop_grace(name),
            container_name: model.container_name(name).map(str::to_owned),
            stamp: Some(adoption.stamp.clone()),
            model: theirs.map_or(Value::Null, |theirs| theirs.value().clone()),
            ..Deployed::by_others(adopted.count)
        })
    }
}

/// The digest of an image in the repository of `name`, else in the first that the engine knows.
fn digest_of(image: &Value, name: &str) -> Option<ImageRef> {
    let digests = || items(at(image, &["RepoDigests"])).filter_map(Value::as_str);
    let is_same = |digest: &&str| {
        let rest = digest.split_once('@').and_then(|(repository, _)| name.strip_prefix(repository));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '@']))
    };
    digests().find(is_same).or_else(|| digests().next())?.parse().ok()
}

/// What is remembered of a service, if anything is.
fn known(state: &State, name: &str) -> Option<Found> {
    let now = &state.services.get(name)?.now;
    Some(match &now.stamp {
        Some(stamp) if now.is_confirmed => Found::Known(stamp.clone()),
        Some(_) | None => Found::Changing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shipkit_core::Digest;

    #[test]
    fn an_image_is_named_in_the_repository_that_it_was_started_from() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let digests = [format!("host:5000/shop/api@{one}"), format!("host:5000/shop/api-v2@{two}")];
        let image = json!({"RepoDigests": digests});
        for (name, expected) in [
            ("host:5000/shop/api:1.2", &digests[0]),
            ("host:5000/shop/api", &digests[0]),
            ("host:5000/shop/api-v2:1.2", &digests[1]),
            ("elsewhere/api:1.2", &digests[0]),
        ] {
            assert_eq!(digest_of(&image, name), Some(expected.parse().unwrap()), "{name}");
        }
        assert_eq!(digest_of(&json!({"RepoDigests": []}), "api"), None);
    }
}
