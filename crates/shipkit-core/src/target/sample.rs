//! A stack for the tests of a plan and of the way back.

use std::collections::{BTreeMap, BTreeSet};

use super::{Desired, DesiredService, Observed, ObservedService, Previous, Settings, Stamp};
use crate::digest::Digest;
use crate::reference::{ImageRef, Repository};
use crate::rollout::Status;

pub(super) fn image(name: &str, content: &str) -> ImageRef {
    format!("ghcr.io/a/{name}").parse::<Repository>().unwrap().at(&Digest::of(content.as_bytes()))
}

pub(super) fn stamp(release: &str, minute: u8) -> Stamp {
    Stamp {
        release: Digest::of(release.as_bytes()),
        version: release.to_owned(),
        commit: "c".repeat(40),
        environment: "staging".to_owned(),
        run: None,
        time: format!("2026-01-02T03:{minute:02}:00Z").parse().unwrap(),
    }
}

pub(super) fn wanted(name: &str, depends_on: &[&str]) -> DesiredService {
    DesiredService {
        name: name.to_owned(),
        image: image(name, "1"),
        platforms: BTreeSet::new(),
        revision: "r".to_owned(),
        depends_on: depends_on.iter().map(|&other| other.to_owned()).collect(),
        stateful: false,
        settings: Settings::default(),
    }
}

pub(super) fn there(name: &str, release: &str, minute: u8, previous: Option<&str>) -> ObservedService {
    ObservedService {
        name: name.to_owned(),
        image: Some(image(name, "1")),
        settings: Settings::default(),
        running: BTreeMap::new(),
        stamp: Some(stamp(release, minute)),
        revision: None,
        is_confirmed: true,
        previous: previous.map(|r| Previous { stamp: Some(stamp(r, 0)), image: Some(image(name, "0")) }),
        update: Status::None,
        version: 1,
        problems: Vec::new(),
    }
}

pub(super) fn desired(services: Vec<DesiredService>) -> Desired {
    Desired { stack: "shop".to_owned(), stamp: stamp("2", 2), services }
}

pub(super) fn observed(services: Vec<ObservedService>) -> Observed {
    Observed { has_network: true, absent: Vec::new(), services }
}
