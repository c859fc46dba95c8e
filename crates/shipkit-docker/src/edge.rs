//! `Edge`: Traefik on a Swarm. It reads the labels of services every few seconds; how many, stands in what it was started
//! with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use crate::error::SwarmError;
use crate::spec::{at, full_name, items};
use crate::swarm::Swarm;

/// How often Traefik asks a Swarm where nothing is said (doc.traefik.io, "refreshSeconds").
const REFRESH: Duration = Duration::from_secs(15);
/// How long it may hold back what it has seen where nothing is said (`providersThrottleDuration`).
const THROTTLE: Duration = Duration::from_secs(2);
/// How long a manager and Traefik may take for one look.
const LOOK: Duration = Duration::from_secs(2);

/// Traefik as a service of a Swarm, and what it passes requests on to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    /// Its service: of the stack or, if that has none of this name, of the Swarm.
    pub service: String,
    /// The services that it passes requests on to, each with the port that they answer at.
    pub ports: BTreeMap<String, u16>,
}

impl Swarm {
    /// How long Traefik may take until it acts upon a label. Where it is not there any more, as long as one does that was
    /// told nothing.
    pub(crate) async fn poll(&self, stack: &str, edge: &str) -> Result<Duration, SwarmError> {
        let there = self.edge(stack, edge).await?;
        Ok(poll(there.as_ref().map_or(&Value::Null, |service| at(service, &["Spec"]))))
    }

    /// What prevents that Traefik sends traffic to services of this stack by their labels; `networks` are those that these
    /// are attached to besides the stack's own.
    pub(crate) async fn edge_problem(
        &self,
        stack: &str,
        edge: &str,
        networks: &BTreeSet<String>,
    ) -> Result<Option<SwarmError>, SwarmError> {
        let Some(there) = self.edge(stack, edge).await? else {
            return Ok(Some(SwarmError::NoEdge { stack: stack.to_owned(), service: edge.to_owned() }));
        };
        let spec = at(&there, &["Spec"]);
        if !has_swarm_provider(spec) {
            return Ok(Some(SwarmError::BlindEdge(edge.to_owned())));
        }
        let own = self.network(stack).await?;
        let attached = networks_of(spec);
        let is_beside = own.iter().chain(networks).any(|network| attached.contains(network));
        Ok((!is_beside).then(|| SwarmError::ApartEdge { stack: stack.to_owned(), service: edge.to_owned() }))
    }

    async fn edge(&self, stack: &str, edge: &str) -> Result<Option<Value>, SwarmError> {
        match self.service(&full_name(stack, edge)).await? {
            Some(there) => Ok(Some(there)),
            None => self.service(edge).await,
        }
    }
}

/// The networks that the tasks of a service are attached to.
pub(crate) fn networks_of(spec: &Value) -> BTreeSet<String> {
    let networks = items(at(spec, &["TaskTemplate", "Networks"]));
    networks.filter_map(|network| at(network, &["Target"]).as_str()).map(str::to_owned).collect()
}

fn poll(spec: &Value) -> Duration {
    let said = |key: &str| setting(spec, key).and_then(|text| seconds(&text));
    let refresh = said("providers.swarm.refreshseconds").unwrap_or(REFRESH);
    let throttle = said("providers.providersthrottleduration").unwrap_or(THROTTLE);
    refresh.saturating_add(throttle).saturating_add(LOOK)
}

fn has_swarm_provider(spec: &Value) -> bool {
    let is_on = |key: &str, value: &str| match key.strip_prefix("providers.swarm") {
        Some("") => value != "false",
        Some(rest) => rest.starts_with('.'),
        None => false,
    };
    settings(spec).any(|(key, value)| is_on(&key, &value))
}

/// One thing that Traefik was told.
fn setting(spec: &Value, key: &str) -> Option<String> {
    settings(spec).filter(|(there, _)| there == key).map(|(_, value)| value).last()
}

/// What Traefik was told by its environment, then by its arguments, which count more; names in small letters.
fn settings(spec: &Value) -> impl Iterator<Item = (String, String)> {
    let list = |key| items(at(spec, &["TaskTemplate", "ContainerSpec", key])).filter_map(Value::as_str);
    let pair = |text: &str| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_lowercase(), value.to_owned())
    };
    let environment = list("Env").filter_map(move |line| {
        let (key, value) = pair(line);
        Some((key.strip_prefix("traefik_")?.replace('_', "."), value))
    });
    // Images differ in whether the program is their command or their entrypoint.
    let words = list("Command").chain(list("Args"));
    environment.chain(words.filter_map(move |word| word.strip_prefix("--").map(pair)))
}

/// A duration as Traefik reads it: `15`, `1m30s`, `500ms`.
fn seconds(text: &str) -> Option<Duration> {
    if let Ok(whole) = text.parse() {
        return Some(Duration::from_secs(whole));
    }
    text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn started(env: &[&str], args: &[&str]) -> Value {
        json!({"TaskTemplate": {"ContainerSpec": {"Env": env, "Args": args}}})
    }

    #[test]
    fn what_traefik_was_started_with_says_how_long_it_takes() {
        let table: [(&[&str], &[&str], u64); 7] = [
            (&[], &["--providers.swarm=true"], 19_000),
            (&[], &["traefik", "--providers.swarm.refreshSeconds=1"], 5_000),
            (&["TRAEFIK_PROVIDERS_SWARM_REFRESHSECONDS=30"], &[], 34_000),
            (
                &["TRAEFIK_PROVIDERS_SWARM_REFRESHSECONDS=30"],
                &["--providers.swarm.refreshseconds=1m"],
                64_000,
            ),
            (&[], &["--providers.providersThrottleDuration=10s"], 27_000),
            (&[], &["--providers.swarm.refreshSeconds=500ms"], 4_500),
            (&[], &["--providers.swarm.refreshSeconds=soon"], 19_000),
        ];
        for (env, args, expected) in table {
            assert_eq!(poll(&started(env, args)), Duration::from_millis(expected), "{env:?} {args:?}");
        }
        assert_eq!(poll(&Value::Null), Duration::from_secs(19));
    }

    #[test]
    fn only_its_provider_for_a_swarm_reads_services() {
        for args in ["--providers.swarm", "--providers.swarm=true", "--providers.swarm.endpoint=unix:///x"] {
            assert!(has_swarm_provider(&started(&[], &[args])), "{args}");
        }
        assert!(has_swarm_provider(&started(&["TRAEFIK_PROVIDERS_SWARM=true"], &[])));
        for args in ["--providers.docker=true", "--providers.swarmlike=1", "--providers.swarm=false"] {
            assert!(!has_swarm_provider(&started(&["TRAEFIK_PROVIDERS_DOCKER=true"], &[args])), "{args}");
        }
    }
}
