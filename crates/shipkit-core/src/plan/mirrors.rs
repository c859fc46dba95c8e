//! Where mirrors have the images of services.

use std::collections::BTreeMap;

use super::PlanError;
use crate::reference::Repository;

/// Where a mirror has the image of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The service.
    pub service: String,
    /// The repository at the mirror.
    pub repository: Repository,
}

/// Where the images of these services, each with the repository that it has, are at mirrors: mirror by mirror, an image
/// being `<mirror>/<service>`, as it is `<registry>/<service>`.
///
/// # Errors
/// When a mirror would have an image where an image lives already: one of the two would get the tags of the other.
pub fn places(
    services: &BTreeMap<&str, &Repository>,
    mirrors: &[Repository],
) -> Result<Vec<Place>, PlanError> {
    let mut places = Vec::new();
    for mirror in mirrors {
        for service in services.keys() {
            let failed = |source| PlanError::Repository { what: format!("{mirror}/{service}"), source };
            let repository = mirror.join(service).map_err(failed)?;
            let there = repository.canonical();
            if let Some((other, _)) = services.iter().find(|(_, home)| home.canonical() == there) {
                let (service, other) = ((*service).to_owned(), (*other).to_owned());
                return Err(PlanError::NoOtherPlace { place: repository, service, other });
            }
            places.push(Place { service: (*service).to_owned(), repository });
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(text: &str) -> Repository {
        text.parse().unwrap()
    }

    fn at(homes: &[(&str, &str)], mirrors: &[&str]) -> Result<Vec<String>, PlanError> {
        let homes: Vec<_> =
            homes.iter().map(|(service, home)| ((*service).to_owned(), repository(home))).collect();
        let mirrors: Vec<_> = mirrors.iter().map(|mirror| repository(mirror)).collect();
        let homes = homes.iter().map(|(service, home)| (service.as_str(), home)).collect();
        let places = places(&homes, &mirrors)?;
        Ok(places.into_iter().map(|place| format!("{} {}", place.service, place.repository)).collect())
    }

    #[test]
    fn an_image_is_below_a_mirror_as_it_would_be_below_the_registry() {
        let homes = [("api", "ghcr.io/acme/shop/api"), ("web", "ghcr.io/elsewhere/front")];
        assert_eq!(
            at(&homes, &["docker.io/acme", "ghcr.io/other"]).unwrap(),
            [
                "api docker.io/acme/api",
                "web docker.io/acme/web",
                "api ghcr.io/other/api",
                "web ghcr.io/other/web"
            ]
        );
        assert!(at(&homes, &[]).unwrap().is_empty());
    }

    #[test]
    fn no_mirror_has_an_image_where_one_lives() {
        let homes = [("api", "ghcr.io/acme/shop/api"), ("web", "index.docker.io/acme/api")];
        for (mirror, other) in [("ghcr.io/acme/shop", "api"), ("docker.io/acme", "web")] {
            let error = at(&homes, &[mirror]).unwrap_err().to_string();
            let wanted = format!(
                "`{mirror}/api` would be the mirror of `api`, and is where the image of `{other}` lives"
            );
            assert_eq!(error, wanted);
        }
        let long = format!("docker.io/{}", "a".repeat(243));
        assert!(matches!(at(&homes, &[&long]), Err(PlanError::Repository { .. })));
    }
}
