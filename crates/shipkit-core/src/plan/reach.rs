//! Which environments an event reaches, and why.

use std::collections::BTreeSet;

use super::matches;
use super::{OutOfReach, Reached};
use crate::config::{Config, Environment, EventKind};
use crate::event::{Event, Trigger};

/// The environments that this event may reach, and the others.
pub(super) fn reach(event: &Event, config: &Config) -> (Vec<Reached>, Vec<OutOfReach>) {
    let mut reached = Vec::new();
    let mut out = Vec::new();
    for environment in &config.environments {
        let name = environment.name.clone();
        match reason(&event.trigger, environment) {
            Ok(because) => reached.push(Reached { name, url: environment.url.clone(), because }),
            Err(because) => out.push(OutOfReach { name, because }),
        }
    }
    // An environment behind one that this event does not reach stays in the list: it asks for evidence that the same
    // release passed there, which an earlier run may have left.
    (reached, out)
}

/// Why this environment is reached (`Ok`) or not (`Err`).
fn reason(trigger: &Trigger, environment: &Environment) -> Result<String, String> {
    let fits =
        |patterns: &[String], name: &str| patterns.iter().find(|pattern| matches(pattern, name)).cloned();
    let events: BTreeSet<_> = environment.events.iter().copied().collect();
    match trigger {
        Trigger::Branch { dispatched: true, name } => by_hand(&fits, environment, name),
        // `events` narrows: an environment for releases only is not reached by a push.
        Trigger::Branch { .. } | Trigger::Tag { .. }
            if !events.is_empty() && !events.contains(&EventKind::Push) =>
        {
            Err("pushes are not among its `events`".to_owned())
        }
        Trigger::Branch { name, .. } => branch_reason(&fits, environment, name),
        Trigger::Tag { name } => match fits(&environment.tags, name) {
            Some(pattern) => Ok(format!("tag `{name}` fits `{pattern}`")),
            None => Err(format!("tag `{name}` is not among its `tags`")),
        },
        Trigger::Release { tag, .. } => {
            let listed = events.contains(&EventKind::Release);
            if !events.is_empty() && !listed {
                return Err("releases are not among its `events`".to_owned());
            }
            match fits(&environment.tags, tag) {
                Some(pattern) => Ok(format!("release `{tag}` fits `{pattern}`")),
                None if listed && environment.tags.is_empty() => Ok(format!("release `{tag}`")),
                None => Err(format!("release `{tag}` is not among its `events` and `tags`")),
            }
        }
        Trigger::PullRequest { .. } => Err("pull requests are never deployed".to_owned()),
        Trigger::Other { name, .. } => Err(format!("the event `{name}` deploys nothing")),
    }
}

/// A start by hand reaches what its branch reaches, unless `events` leave it out; an environment without branches and
/// tags is for starts by hand only.
fn by_hand(
    fits: &dyn Fn(&[String], &str) -> Option<String>,
    environment: &Environment,
    name: &str,
) -> Result<String, String> {
    let is_listed = environment.events.contains(&EventKind::WorkflowDispatch);
    if !environment.events.is_empty() && !is_listed {
        return Err("starts by hand are not among its `events`".to_owned());
    }
    let is_open = is_listed || environment.tags.is_empty();
    if environment.branches.is_empty() && is_open {
        return Ok("started by hand".to_owned());
    }
    branch_reason(fits, environment, name)
}

fn branch_reason(
    fits: &dyn Fn(&[String], &str) -> Option<String>,
    environment: &Environment,
    name: &str,
) -> Result<String, String> {
    match fits(&environment.branches, name) {
        Some(pattern) => Ok(format!("branch `{name}` fits `{pattern}`")),
        None => Err(format!("branch `{name}` is not among its `branches`")),
    }
}
