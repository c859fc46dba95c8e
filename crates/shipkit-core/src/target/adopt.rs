//! `Adoption`: what others started becomes what serves, as if it had been deployed, and nothing of it restarts.

use std::fmt;

use jiff::Timestamp;
use serde_json::json;

use super::{Part, Stamp};
use crate::digest::Digest;
use crate::exit::ExitCode;
use crate::hint::Hint;
use crate::reference::ImageRef;

/// The version that stands where a release is not known.
const VERSION: &str = "adopted";

/// A service of the configuration, and what was found of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name within the stack.
    pub service: String,
    /// Whether it holds data.
    pub is_stateful: bool,
    /// What was found.
    pub found: Found,
}

/// What was found of a service that others may have started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// Nothing that has its name; something that may be meant has another one.
    Misnamed {
        /// What has another name.
        there: String,
        /// Which name it would need, or what it lacks.
        wanted: String,
    },
    /// Something of its name that belongs to somebody else.
    Elsewhere {
        /// To whom, as it stands after "belongs to".
        belongs_to: String,
    },
    /// What shipkit knows already.
    Known(Stamp),
    /// It is in the middle of a change: what will serve is not decided.
    Changing,
    /// Nothing of it runs.
    Down,
    /// Its containers run several images.
    Mixed,
    /// It runs.
    Runs {
        /// Its image; `None` if that is not known by digest.
        image: Option<ImageRef>,
        /// How many containers do.
        count: u64,
    },
}

/// What is to be written down as what serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// What is written on each of the services.
    pub stamp: Stamp,
    /// Those that are adopted now.
    pub services: Vec<Adopted>,
    /// Those that were adopted by an earlier run.
    pub before: Vec<Adopted>,
    /// Those that are not there.
    pub absent: Vec<String>,
}

/// A service that is adopted as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Its name within the stack.
    pub service: String,
    /// Whether it holds data.
    pub is_stateful: bool,
    /// Its image; `None` if that is not known by digest.
    pub image: Option<ImageRef>,
    /// How many containers of it run.
    pub count: u64,
}

/// Why a service cannot be adopted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdopted {
    /// There is none of all the services.
    #[error("there is nothing to adopt in `{stack}`: {} are not there", quoted(.services))]
    Nothing {
        /// The stack.
        stack: String,
        /// The services.
        services: Vec<String>,
    },
    /// It has another name.
    #[error("{there} cannot be adopted as `{service}`: {wanted}")]
    Misnamed {
        /// The service.
        service: String,
        /// What has another name.
        there: String,
        /// Which name it would need, or what it lacks.
        wanted: String,
    },
    /// It belongs to somebody else.
    #[error("`{service}` cannot be adopted: it belongs to {belongs_to}")]
    Elsewhere {
        /// The service.
        service: String,
        /// To whom.
        belongs_to: String,
    },
    /// It was deployed.
    #[error("`{service}` cannot be adopted: it is of release {version}")]
    Released {
        /// The service.
        service: String,
        /// The version of the release.
        version: String,
    },
    /// What will serve is not decided.
    #[error("`{0}` cannot be adopted: it is in the middle of a change")]
    Changing(String),
    /// Nothing of it runs.
    #[error("`{0}` cannot be adopted: nothing of it runs")]
    Down(String),
    /// Its containers run several images.
    #[error("`{0}` cannot be adopted: its containers run several images")]
    Mixed(String),
}

/// Decides what is adopted: all that is there, or nothing. What an earlier run has adopted, and could not end with, the
/// rest joins.
///
/// # Errors
/// With everything that is in the way.
pub fn adoption(
    stack: &str,
    candidates: &[Candidate],
    (environment, run, time): (&str, Option<String>, Timestamp),
) -> Result<Adoption, Vec<NotAdopted>> {
    let (mut services, mut before, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    let (mut refused, mut earlier) = (Vec::new(), None);
    for Candidate { service, is_stateful, found } in candidates {
        let adopted = |image: Option<&ImageRef>, count| Adopted {
            service: service.clone(),
            is_stateful: *is_stateful,
            image: image.cloned(),
            count,
        };
        match found {
            Found::Nothing => absent.push(service.clone()),
            Found::Runs { image, count } => services.push(adopted(image.as_ref(), *count)),
            Found::Known(stamp) if stamp.is_adopted() => {
                earlier = Some(stamp.clone());
                before.push(adopted(None, 0));
            }
            Found::Known(_)
            | Found::Misnamed { .. }
            | Found::Elsewhere { .. }
            | Found::Changing
            | Found::Down
            | Found::Mixed => refused.extend(NotAdopted::of(service, found)),
        }
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    if services.is_empty() && before.is_empty() {
        return Err(vec![NotAdopted::Nothing { stack: stack.to_owned(), services: absent }]);
    }
    let fresh = || {
        let what: Vec<_> = services.iter().map(|one| json!([one.service, one.image, one.count])).collect();
        Stamp {
            release: Digest::of(json!([stack, environment, time, what]).to_string().as_bytes()),
            version: VERSION.to_owned(),
            commit: String::new(),
            environment: environment.to_owned(),
            run,
            time,
        }
    };
    Ok(Adoption { stamp: earlier.unwrap_or_else(fresh), services, before, absent })
}

impl Adoption {
    /// All adopted services, as far as they are kept.
    #[must_use]
    pub fn parts(&self) -> Vec<Part<'_>> {
        let all = self.services.iter().chain(&self.before);
        all.map(|one| Part { name: &one.service, is_stateful: one.is_stateful }).collect()
    }
}

impl NotAdopted {
    fn of(service: &str, found: &Found) -> Option<Self> {
        let service = service.to_owned();
        Some(match found {
            Found::Misnamed { there, wanted } => {
                Self::Misnamed { service, there: there.clone(), wanted: wanted.clone() }
            }
            Found::Elsewhere { belongs_to } => Self::Elsewhere { service, belongs_to: belongs_to.clone() },
            Found::Known(stamp) => Self::Released { service, version: stamp.version.clone() },
            Found::Changing => Self::Changing(service),
            Found::Down => Self::Down(service),
            Found::Mixed => Self::Mixed(service),
            Found::Nothing | Found::Runs { .. } => return None,
        })
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Adopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.count == 1 { "" } else { "s" };
        write!(f, "adopt `{}` as it runs: {} container{plural} ", self.service, self.count)?;
        match &self.image {
            Some(image) => write!(f, "at {}", image.digest.short()),
            None => f.write_str("of an image that no digest names"),
        }
    }
}

impl Hint for NotAdopted {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Nothing { .. } => Some(
                "name with `target.stack` the stack or project that runs, or deploy a release: that creates them"
                    .to_owned(),
            ),
            Self::Misnamed { .. } => Some("give it that name, or deploy a release beside it and remove it then".to_owned()),
            Self::Elsewhere { .. } => Some("name that one with `target.stack`, if it is meant".to_owned()),
            Self::Released { .. } => {
                Some("`deploy` goes on from there, and takes the other services over".to_owned())
            }
            Self::Changing(_) => Some("wait for its end, or bring it to one with `reconcile`, then try again".to_owned()),
            Self::Down(_) => Some("start it, or remove it: a deploy creates it again".to_owned()),
            Self::Mixed(_) => Some("bring all of them to the image that should serve".to_owned()),
        }
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{image, stamp};
    use super::*;

    fn candidate(service: &str, found: Found) -> Candidate {
        Candidate { service: service.to_owned(), is_stateful: service == "db", found }
    }

    fn runs(service: &str) -> Candidate {
        candidate(service, Found::Runs { image: Some(image(service, "1")), count: 2 })
    }

    fn asked(candidates: &[Candidate]) -> Result<Adoption, Vec<NotAdopted>> {
        adoption("shop", candidates, ("staging", None, Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn all_that_runs_is_adopted_together_under_a_name_that_is_no_release() {
        let absent = candidate("web", Found::Nothing);
        let by_tag = candidate("cron", Found::Runs { image: None, count: 1 });
        let adoption = asked(&[runs("api"), by_tag, runs("db"), absent]).unwrap();
        let lines: Vec<String> = adoption.services.iter().map(ToString::to_string).collect();
        let at = Digest::of(b"1").short().to_owned();
        assert_eq!(
            lines,
            [
                format!("adopt `api` as it runs: 2 containers at {at}"),
                "adopt `cron` as it runs: 1 container of an image that no digest names".to_owned(),
                format!("adopt `db` as it runs: 2 containers at {at}"),
            ]
        );
        assert_eq!(adoption.absent, ["web"]);
        let stamp = &adoption.stamp;
        assert!(stamp.is_adopted() && stamp.environment == "staging", "{stamp:?}");
        assert_eq!((stamp.version.as_str(), stamp.called()), ("adopted", "what was adopted"));
        let parts: Vec<_> = adoption.parts().iter().map(|part| (part.name, part.is_stateful)).collect();
        assert_eq!(parts, [("api", false), ("cron", false), ("db", true)]);
        assert_ne!(stamp.release, asked(&[runs("api")]).unwrap().stamp.release);
    }

    #[test]
    fn what_a_killed_run_has_adopted_is_joined_by_the_rest() {
        let earlier = Stamp { time: Timestamp::MIN, ..asked(&[runs("api")]).unwrap().stamp };
        let known = candidate("api", Found::Known(earlier.clone()));
        let adoption = asked(&[known.clone(), runs("web")]).unwrap();
        assert_eq!((adoption.stamp, adoption.services.len(), adoption.before.len()), (earlier, 1, 1));
        assert_eq!(asked(&[known]).unwrap().services, []);
    }

    #[test]
    fn everything_that_is_in_the_way_is_told_and_nothing_is_adopted_beside_it() {
        let text = str::to_owned;
        let misnamed = Found::Misnamed { there: text("service `api`"), wanted: text("it is not `shop_api`") };
        let found = [
            runs("ok"),
            candidate("api", misnamed),
            candidate("web", Found::Elsewhere { belongs_to: text("stack `other`") }),
            candidate("cron", Found::Known(stamp("7", 1))),
            candidate("a", Found::Changing),
            candidate("b", Found::Down),
            candidate("c", Found::Mixed),
        ];
        let refused = asked(&found).unwrap_err();
        let said: Vec<String> = refused.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "service `api` cannot be adopted as `api`: it is not `shop_api`",
                "`web` cannot be adopted: it belongs to stack `other`",
                "`cron` cannot be adopted: it is of release 7",
                "`a` cannot be adopted: it is in the middle of a change",
                "`b` cannot be adopted: nothing of it runs",
                "`c` cannot be adopted: its containers run several images",
            ]
        );
        assert!(refused.iter().all(|one| one.hint().is_some() && one.exit_code() == ExitCode::Usage));
        let nothing =
            asked(&[candidate("api", Found::Nothing), candidate("web", Found::Nothing)]).unwrap_err();
        assert_eq!(nothing[0].to_string(), "there is nothing to adopt in `shop`: `api`, `web` are not there");
    }
}
