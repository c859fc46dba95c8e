//! The releases that were confirmed on a stack: a config object of the Swarm for each, because one is made whole or not at
//! all and cannot be changed afterwards.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_core::history::{Entry, Kept, Means, growth};
use shipkit_core::journal::Migration;
use shipkit_core::target::{Desired, Part, Stamp};

use crate::engine::filtered;
use crate::error::SwarmError;
use crate::labels;
use crate::rollout::{Applied, text};
use crate::spec::{self, full_name, items};
use crate::swarm::{Login, Swarm};

/// How often an entry is tried again because its number was taken by somebody else.
const TRIES: usize = 8;
/// An engine takes fewer bytes than these in one object; newer ones take twice as many.
const LIMIT: usize = 500 * 1024;
/// The label of an entry; its value is for people.
const LABEL: &str = "dev.shipkit.history";
/// The name of an entry within its stack, before its number.
const OBJECT: &str = "shipkit-history-";

/// The releases that were confirmed on a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The newest first.
    pub entries: Vec<Entry>,
    /// Objects that cannot be read: the full name of each, with why.
    pub unreadable: Vec<String>,
}

/// What became of a release that was confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It is written, or was before.
    Kept,
    /// Its specifications are too large for the engine: it is only listed.
    OnlyListed {
        /// How many bytes they have.
        bytes: usize,
    },
}

impl Swarm {
    /// The releases that were confirmed on a stack.
    ///
    /// # Errors
    /// When the Swarm cannot be asked.
    pub async fn history(&self, stack: &str) -> Result<History, SwarmError> {
        let mut history = History { entries: Vec::new(), unreadable: Vec::new() };
        for (number, entry) in self.numbered(stack).await?.into_iter().rev() {
            match entry {
                Ok(entry) => history.entries.push(entry),
                Err(why) => history.unreadable.push(format!("`{}`: {why}", object(stack, number))),
            }
        }
        Ok(history)
    }

    /// Writes down what was confirmed of this deploy, as it is there, and removes what is older than the newest ten. What is
    /// written already is not written again. To be called by the holder of the lease, after [`confirm`](Self::confirm).
    ///
    /// # Errors
    /// When the Swarm refuses or cannot be asked.
    pub async fn remember(
        &self,
        desired: &Desired,
        migration: Migration,
        time: Timestamp,
    ) -> Result<Memory, SwarmError> {
        self.remember_parts((&desired.stack, &desired.stamp.release, &desired.parts()), migration, time).await
    }

    pub(crate) async fn remember_parts(
        &self,
        of: (&str, &Digest, &[Part<'_>]),
        migration: Migration,
        time: Timestamp,
    ) -> Result<Memory, SwarmError> {
        let Some(entry) = self.entry(of, migration, time).await? else { return Ok(Memory::Kept) };
        let stack = of.0;
        for _ in 0..TRIES {
            let there = self.numbered(stack).await?;
            let there = there.into_iter().map(|(number, entry)| (number, entry.ok())).collect();
            let growth = growth(&there, &entry);
            let mut memory = Memory::Kept;
            if let Some(number) = growth.number {
                match self.write(stack, number, &entry).await? {
                    Some(written) => memory = written,
                    None => continue,
                }
            }
            for number in growth.surplus {
                let path = format!("/configs/{}", object(stack, number));
                self.engine.delete("remove a config", &path).await?;
            }
            return Ok(memory);
        }
        Err(SwarmError::Overtaken { service: full_name(stack, OBJECT) })
    }

    /// Puts one service back to what `entry` keeps of it, or creates it again. Afterwards it remembers no release before.
    ///
    /// # Errors
    /// When the entry keeps nothing of it, the Swarm refuses or cannot be asked.
    pub async fn come_back(
        &self,
        stack: &str,
        entry: &Entry,
        service: &str,
        login: Option<&Login>,
    ) -> Result<Applied, SwarmError> {
        let kept = entry.services.get(service).map(|kept| &kept.means);
        let Some(Means::Specification(good)) = kept else {
            return Err(SwarmError::NothingBefore(full_name(stack, service)));
        };
        self.return_to((stack, service), good, login).await
    }

    /// Makes a service forget which release it would go back to: one that stays while the others go further back. Restarts
    /// nothing.
    ///
    /// # Errors
    /// When the Swarm refuses or cannot be asked.
    pub async fn forget(&self, stack: &str, service: &str) -> Result<(), SwarmError> {
        let edit = |spec: &Value| {
            let mut spec = spec.clone();
            labels::forget_previous(&mut spec);
            spec
        };
        let standing = self.standing_there(stack, service).await?;
        self.swap(standing.full_name(), edit, None).await.map(drop)
    }

    /// What is there of a deploy to a stack; `None` if nothing is.
    async fn entry(
        &self,
        (stack, release, parts): (&str, &Digest, &[Part<'_>]),
        migration: Migration,
        time: Timestamp,
    ) -> Result<Option<Entry>, SwarmError> {
        let mut stamp = None;
        let mut services = BTreeMap::new();
        for standing in self.standings(stack).await? {
            let (name, mut spec) = (standing.service.clone(), standing.spec().clone());
            let Some(part) = parts.iter().find(|part| part.name == name) else { continue };
            let image = spec::image(&spec);
            if part.is_stateful {
                services.insert(name, Kept { image, means: Means::HoldsData });
            } else if labels::mark(&spec).is_some_and(|(of, _)| of == release.as_str())
                && labels::is_confirmed(&spec)
            {
                let newer = |one: Stamp, other: Stamp| if one.time < other.time { other } else { one };
                stamp = stamp.into_iter().chain(labels::stamp(&spec)).reduce(newer);
                labels::forget_previous(&mut spec);
                services.insert(name, Kept { image, means: Means::Specification(spec) });
            }
        }
        Ok(stamp.map(|stamp| Entry::new(stamp, time, migration, services)))
    }

    /// Writes an entry; `None` if its number is taken.
    async fn write(&self, stack: &str, number: u64, entry: &Entry) -> Result<Option<Memory>, SwarmError> {
        let mut data = json!(entry).to_string();
        let mut memory = Memory::Kept;
        if LIMIT <= data.len() {
            memory = Memory::OnlyListed { bytes: data.len() };
            data = json!(entry.clone().only_listed()).to_string();
        }
        let labels = json!({labels::NAMESPACE: stack, LABEL: entry.stamp.version});
        let body = json!({"Name": object(stack, number), "Labels": labels, "Data": STANDARD.encode(data)});
        match self.engine.post("create a config", "/configs/create", &body, None).await {
            Ok(_) => Ok(Some(memory)),
            Err(SwarmError::Refused { message, .. }) if message.contains("already exists") => Ok(None),
            // The answer may be lost and the object there: the next look tells.
            Err(SwarmError::NoAnswer { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The entries by number; of those that cannot be read, why.
    async fn numbered(&self, stack: &str) -> Result<BTreeMap<u64, Result<Entry, String>>, SwarmError> {
        let filters = json!({"label": [format!("{}={stack}", labels::NAMESPACE), LABEL]});
        let answer = self.engine.get("list configs", &filtered("/configs", &filters)).await?;
        let prefix = full_name(stack, OBJECT);
        let numbered = |config: &Value| {
            let number = text(config, &["Spec", "Name"]).strip_prefix(&prefix)?.parse().ok()?;
            let data = STANDARD.decode(text(config, &["Spec", "Data"])).map_err(|error| error.to_string());
            Some((number, data.and_then(|data| Entry::parse(&data).map_err(|error| error.to_string()))))
        };
        Ok(items(&answer).filter_map(numbered).collect())
    }
}

/// The full name of an entry.
fn object(stack: &str, number: u64) -> String {
    full_name(stack, &format!("{OBJECT}{number}"))
}
