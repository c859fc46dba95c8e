//! Images of the release take the place of those that the manifests name, by digest.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{BadManifests, Remark};
use super::object::Object;
use super::template::{self, Slot};
use super::{Part, Use};
use crate::reference::{ImageName, Repository};

/// An image of the manifests.
struct Found {
    key: Key,
    text: Option<String>,
}

/// Which object, and what of its pods.
type Key = (usize, Slot);

/// The services that images belong to.
type Owners<'a> = BTreeMap<Key, &'a str>;

/// Names images by the digests of the release.
pub(super) fn pin(
    objects: &mut [Object],
    services: &BTreeMap<String, Part>,
) -> Result<(Vec<Use>, Vec<Remark>), BadManifests> {
    let found = found(objects);
    let owners = owners(objects, &found, services)?;
    refuse_absent(&found, &owners, services)?;
    let remarks = left(objects, &found, &owners)?;
    let mut uses = Vec::new();
    for (index, object) in objects.iter_mut().enumerate() {
        let workload = object.id().clone();
        for mut image in template::of_mut(object).map(template::images).unwrap_or_default() {
            let slot = image.slot.clone();
            let owner = owners.get(&(index, slot.clone())).copied();
            let pinned = owner.and_then(|service| Some((service, services.get(service)?.image.as_ref()?)));
            if let Some((service, pinned)) = pinned {
                image.set(&pinned.to_string());
                uses.push(Use { service: service.to_owned(), workload: workload.clone(), slot });
            }
        }
    }
    Ok((uses, remarks))
}

/// A deploy that changes nothing of a service would only look like one.
fn refuse_absent(
    found: &[Found],
    owners: &Owners<'_>,
    services: &BTreeMap<String, Part>,
) -> Result<(), BadManifests> {
    let there: BTreeSet<&str> = owners.values().copied().collect();
    let released = services.iter().filter_map(|(name, part)| Some((name, part.image.as_ref()?)));
    let absent = released.filter(|(name, _)| !there.contains(name.as_str()));
    let absent: Vec<_> = absent.map(|(name, image)| format!("{name} ({})", image.repository)).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let images = found.iter().filter_map(|one| one.text.clone()).collect();
    Err(BadManifests::Nowhere { services: absent, images })
}

fn found(objects: &mut [Object]) -> Vec<Found> {
    let mut found = Vec::new();
    for (index, object) in objects.iter_mut().enumerate() {
        let images = template::of_mut(object).map(template::images).unwrap_or_default();
        found.extend(
            images
                .into_iter()
                .map(|image| Found { text: image.text().map(str::to_owned), key: (index, image.slot) }),
        );
    }
    found
}

/// Which service each image belongs to. A name in `shipkit.yml` counts first, with whatever else in the same pods is the same
/// image; for the rest it is the repository.
fn owners<'a>(
    objects: &[Object],
    found: &[Found],
    services: &'a BTreeMap<String, Part>,
) -> Result<Owners<'a>, BadManifests> {
    let mut named: Owners<'a> = BTreeMap::new();
    for (service, part) in services.iter().filter(|(_, part)| part.image.is_some() && part.names.is_some()) {
        own(objects, &mut named, container(objects, found, (service, part))?, service)?;
    }
    let mut owners = named.clone();
    for (key, service) in &named {
        let text = found.iter().find(|one| one.key == *key).and_then(|one| one.text.as_ref());
        let is_same = |one: &&Found| one.key.0 == key.0 && text.is_some() && one.text.as_ref() == text;
        for one in found.iter().filter(is_same).filter(|one| !named.contains_key(&one.key)) {
            own(objects, &mut owners, one.key.clone(), service)?;
        }
    }
    let owners_by_name: BTreeSet<Key> = owners.keys().cloned().collect();
    let mut repositories: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for (service, part) in services {
        if let Some(image) = &part.image {
            repositories.entry(place(&image.repository)).or_default().push(service);
        }
    }
    for one in found.iter().filter(|one| !owners_by_name.contains(&one.key)) {
        let repository = one.text.as_deref().and_then(repository);
        let of = repository.and_then(|repository| repositories.get(&place(&repository)));
        for service in of.into_iter().flatten() {
            own(objects, &mut owners, one.key.clone(), service)?;
        }
    }
    Ok(owners)
}

/// The container that `shipkit.yml` names for a service.
fn container(
    objects: &[Object],
    found: &[Found],
    (service, part): (&str, &Part),
) -> Result<Key, BadManifests> {
    let names = part.names.clone().unwrap_or_default();
    let deployment = names.deployment.unwrap_or_else(|| service.to_owned());
    let name = names.container.unwrap_or_else(|| service.to_owned());
    let deployments =
        || objects.iter().enumerate().filter(|(_, object)| object.id().is("apps", "Deployment"));
    let Some((index, object)) = deployments().find(|(_, object)| object.id().name == deployment) else {
        let there = deployments().map(|(_, object)| object.id().name.clone()).collect();
        return Err(BadManifests::NoDeployment { service: service.to_owned(), deployment, there });
    };
    let slot = Slot::Container(name.clone());
    if found.iter().any(|one| one.key == (index, slot.clone())) {
        return Ok((index, slot));
    }
    let there = found.iter().filter(|one| one.key.0 == index).filter_map(|one| match &one.key.1 {
        Slot::Container(name) => Some(name.clone()),
        Slot::InitContainer(_) | Slot::Volume(_) => None,
    });
    let (service, workload) = (service.to_owned(), object.id().to_string());
    Err(BadManifests::NoContainer { service, workload, container: name, there: there.collect() })
}

/// Says whose an image is, once.
fn own<'a>(
    objects: &[Object],
    owners: &mut Owners<'a>,
    key: Key,
    service: &'a str,
) -> Result<(), BadManifests> {
    let workload = objects.get(key.0).map(|object| object.id().to_string());
    let slot = key.1.clone();
    match (owners.insert(key, service), workload) {
        (Some(first), Some(workload)) if first != service => {
            let (first, second) = (first.to_owned(), service.to_owned());
            Err(BadManifests::Ambiguous { workload, slot, first, second })
        }
        _ => Ok(()),
    }
}

/// What to say about images that are none of the release.
fn left(objects: &[Object], found: &[Found], owners: &Owners<'_>) -> Result<Vec<Remark>, BadManifests> {
    let (mut remarks, mut floating) = (Vec::new(), Vec::new());
    for one in found.iter().filter(|one| !owners.contains_key(&one.key)) {
        let Some(object) = objects.get(one.key.0) else { continue };
        let refused = |reason| BadManifests::Image {
            workload: object.id().to_string(),
            place: object.place().clone(),
            slot: one.key.1.clone(),
            reason,
        };
        let text = one.text.as_deref().ok_or_else(|| refused("there is none".to_owned()))?;
        match text.parse::<ImageName>().map_err(|error| refused(error.to_string()))? {
            ImageName::Fixed(_) => {}
            ImageName::Tagged(_, tag) if tag.as_str() == "latest" => {
                floating.push(format!("{} of `{}` (`{text}`)", one.key.1, object.id()));
            }
            ImageName::Tagged(..) => remarks.push(Remark::Unpinned {
                workload: object.id().clone(),
                slot: one.key.1.clone(),
                image: text.to_owned(),
            }),
        }
    }
    if floating.is_empty() { Ok(remarks) } else { Err(BadManifests::Floating(floating)) }
}

fn repository(text: &str) -> Option<Repository> {
    match text.parse::<ImageName>().ok()? {
        ImageName::Tagged(repository, _) => Some(repository),
        ImageName::Fixed(image) => Some(image.repository),
    }
}

/// Registry and path under which a repository is compared: `docker.io/nginx` is `nginx`.
fn place(repository: &Repository) -> (String, String) {
    let repository = repository.canonical();
    let path = repository.path();
    let is_short = repository.registry() == "docker.io" && !path.contains('/');
    let path = if is_short { format!("library/{path}") } else { path.to_owned() };
    (repository.registry().to_owned(), path)
}
