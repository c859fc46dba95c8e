//! The way back from the release that was deployed last.

use std::fmt;

use super::{Observed, ObservedService, Previous, Stamp};
use crate::reference::ImageRef;

/// One service that a rollback puts back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// The service's name within the stack.
    pub service: String,
    /// Whether it is there; what is not is created again.
    pub is_there: bool,
    /// The release that it leaves; `None` if it was not deployed by shipkit.
    pub from: Option<Stamp>,
    /// What it runs now; `None` if that is not named by digest.
    pub from_image: Option<ImageRef>,
    /// Where it goes.
    pub to: Previous,
}

/// A rollback of a whole stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayBack {
    /// The services that go back, together.
    pub returns: Vec<Return>,
    /// Services that came after the release that comes back: they have nothing to go back to and stay.
    pub stay: Vec<String>,
    /// Services of the release that comes back that hold data: they are never touched.
    pub data: Vec<String>,
}

/// Why a stack cannot go back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWayBack {
    /// Nothing in the stack was deployed by shipkit.
    #[error("`{0}` holds nothing that shipkit deployed")]
    NothingDeployed(String),
    /// The release that runs is the first one, or a rollback has already left the one after it.
    #[error("`{stack}` runs release `{version}` and remembers no good release before it")]
    NothingBefore {
        /// The stack.
        stack: String,
        /// The version that runs.
        version: String,
    },
}

/// The way back from the release that was deployed last.
///
/// Only services of that deploy go back, and those that an unfinished one left unconfirmed: after a killed run some
/// already run the new release and some still the old one, and the latter are where they should be. So a rollback
/// that was killed half way is finished by the next one.
///
/// # Errors
/// When there is nothing to go back to.
pub fn way_back(stack: &str, observed: &Observed) -> Result<WayBack, NoWayBack> {
    let stamped = || observed.services.iter().filter_map(|s| s.stamp.as_ref().map(|stamp| (s, stamp)));
    let Some((_, newest)) = stamped().max_by_key(|(_, stamp)| stamp.time) else {
        return Err(NoWayBack::NothingDeployed(stack.to_owned()));
    };
    let (mut returns, mut stay) = (Vec::new(), Vec::new());
    let is_left = |service: &ObservedService, stamp: &Stamp| {
        !service.is_confirmed || (&stamp.release, stamp.time) == (&newest.release, newest.time)
    };
    for (service, stamp) in stamped().filter(|(service, stamp)| is_left(service, stamp)) {
        match &service.previous {
            Some(previous) => returns.push(Return {
                service: service.name.clone(),
                is_there: true,
                from: Some(stamp.clone()),
                from_image: service.image.clone(),
                to: previous.clone(),
            }),
            None => stay.push(service.name.clone()),
        }
    }
    if returns.is_empty() {
        return Err(NoWayBack::NothingBefore { stack: stack.to_owned(), version: newest.version.clone() });
    }
    Ok(WayBack { returns, stay, data: Vec::new() })
}

impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |image: &Option<ImageRef>| {
            image.as_ref().map_or_else(|| "a tag".to_owned(), |image| image.digest.short().to_owned())
        };
        let to = self.to.stamp.as_ref().map_or("what ran before shipkit", |stamp| &stamp.version);
        if !self.is_there {
            return write!(f, "create `{}` again at {} (release {to})", self.service, short(&self.to.image));
        }
        let from = self.from.as_ref().map_or("what is not of shipkit", |stamp| &stamp.version);
        write!(f, "return `{}` {} -> {}", self.service, short(&self.from_image), short(&self.to.image))?;
        write!(f, " (release {from} -> {to})")
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{observed, there};
    use super::*;
    use crate::digest::Digest;

    #[track_caller]
    fn check_back(services: Vec<ObservedService>, returns: &[&str], stay: &[&str]) {
        let way = way_back("shop", &observed(services)).unwrap();
        let names: Vec<&str> = way.returns.iter().map(|r| r.service.as_str()).collect();
        assert_eq!((names.as_slice(), way.stay), (returns, stay.iter().map(|&s| s.to_owned()).collect()));
    }

    #[test]
    fn all_services_of_the_newest_release_go_back_together() {
        let services = vec![
            there("api", "2", 2, Some("1")),
            there("db", "1", 1, None),
            there("new", "2", 2, None),
            there("web", "2", 2, Some("1")),
        ];
        check_back(services, &["api", "web"], &["new"]);
    }

    #[test]
    fn after_a_killed_run_only_what_already_runs_the_new_release_goes_back() {
        check_back(vec![there("api", "2", 2, Some("1")), there("web", "1", 1, Some("0"))], &["api"], &[]);
    }

    #[test]
    fn what_an_unfinished_deploy_left_goes_back_too_and_a_confirmed_earlier_deploy_stays() {
        let unconfirmed = ObservedService { is_confirmed: false, ..there("api", "2", 1, Some("0")) };
        let services = vec![unconfirmed, there("web", "2", 2, Some("0")), there("x", "2", 1, Some("0"))];
        check_back(services, &["api", "web"], &[]);
    }

    #[test]
    fn there_is_no_way_back_from_the_first_release_or_from_nothing() {
        let first = way_back("shop", &observed(vec![there("api", "1", 1, None)])).unwrap_err();
        assert_eq!(first.to_string(), "`shop` runs release `1` and remembers no good release before it");
        let foreign = ObservedService { stamp: None, ..there("api", "1", 1, None) };
        let nothing = way_back("shop", &observed(vec![foreign])).unwrap_err();
        assert_eq!(nothing, NoWayBack::NothingDeployed("shop".to_owned()));
    }

    #[test]
    fn a_return_says_which_release_it_leaves_and_where_it_goes() {
        let way = way_back("shop", &observed(vec![there("api", "2", 2, Some("1"))])).unwrap();
        let (from, to) = (Digest::of(b"1"), Digest::of(b"0"));
        let line = format!("return `api` {} -> {} (release 2 -> 1)", from.short(), to.short());
        assert_eq!(way.returns[0].to_string(), line);
    }
}
