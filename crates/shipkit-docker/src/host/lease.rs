//! The lease on a stack, and the journal of its last run: files in the folder of the stack, changed as compare-and-swap under
//! a lock that the kernel gives up for whoever is killed.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use shipkit_core::journal::Journal;
use shipkit_core::lease::{Claim, Claimant, Lease, claim};

use super::{Host, HostError};
use crate::ssh::{Ended, Output};

/// How often a change is tried again because somebody was quicker.
const SWAPS: usize = 8;
/// More than any lease or journal has, in bytes.
const LIMIT: usize = 1 << 20;

const LEASE: &str = "lease.json";
const JOURNAL: &str = "journal.json";

/// How `LOOK` ends when there is no lease.
const ABSENT: u32 = 44;
/// How `SWAP` ends when the lease is not the one that was read.
const CHANGED: u32 = 45;

/// Argument: folder. Gives the time, then the lease.
const LOOK: &str = r#"
export LC_ALL=C
date -u +%Y-%m-%dT%H:%M:%SZ
[ -e "$1/lease.json" ] || exit 44
exec cat "$1/lease.json"
"#;

/// Arguments: folder. Makes it, for its owner alone.
const MAKE: &str = r#"
export LC_ALL=C
umask 077
mkdir -p "$1" && exec chmod 700 "$1"
"#;

/// Arguments: folder, the lease that was read, a file in the folder, its new content: it is written if the lease is still
/// that one. What is new comes as an argument, so that nobody waits for input while they have the lock. The mark behind the
/// lease keeps the ends of its lines.
const SWAP: &str = r#"
set -eu
export LC_ALL=C
umask 077
command -v flock > /dev/null || exit 47
exec 9>> "$1/lock"
flock -w 20 9 || exit 46
there=$([ ! -e "$1/lease.json" ] || cat "$1/lease.json"; printf x)
[ "$there" = "$2x" ] || exit 45
printf %s "$4" > "$1/$3.new"
sync "$1/$3.new" 2> /dev/null || sync
exec mv -f "$1/$3.new" "$1/$3"
"#;

impl Host {
    /// Takes or renews the lease on a stack, if it can be had. [`Claim::Take`] and [`Claim::Renew`] are written when this
    /// returns.
    ///
    /// # Errors
    /// When the host cannot be asked, or what lies there is not a lease.
    pub async fn claim(&self, stack: &str, me: &Claimant, duration: Duration) -> Result<Claim, HostError> {
        let folder = self.folder(stack);
        let made = self.script(MAKE, &[&folder], b"").await?;
        self.succeeded(&made, &format!("make `{folder}`"))?;
        for _ in 0..SWAPS {
            let (there, now) = self.look(&folder).await?;
            let lease = there.as_deref().map(|text| self.lease(&folder, text)).transpose()?;
            let claim = claim(lease.as_ref(), me, now, duration);
            let (Claim::Take(lease) | Claim::Renew(lease)) = &claim else { return Ok(claim) };
            if self.swap(&folder, there.as_deref(), (LEASE, &json!(lease).to_string())).await? {
                return Ok(claim);
            }
        }
        Err(self.restless(&folder))
    }

    /// Gives the lease up, if it is still the one of this token.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub async fn give_up(&self, stack: &str, token: u64) -> Result<(), HostError> {
        let folder = self.folder(stack);
        for _ in 0..SWAPS {
            let (there, now) = self.look(&folder).await?;
            let lease = there.as_deref().and_then(|text| Lease::parse(text).ok());
            let Some(mine) = lease.filter(|lease| lease.token == token) else { return Ok(()) };
            let released = json!(mine.released(now)).to_string();
            if self.swap(&folder, there.as_deref(), (LEASE, &released)).await? {
                return Ok(());
            }
        }
        Err(self.restless(&folder))
    }

    /// The journal of the last run on a stack.
    ///
    /// # Errors
    /// When the host cannot be asked, or what lies there is not a journal.
    pub async fn journal(&self, stack: &str) -> Result<Option<Journal>, HostError> {
        let path = format!("{}/{JOURNAL}", self.folder(stack));
        let Some(bytes) = self.read(&path, LIMIT).await? else { return Ok(None) };
        Ok(Some(Journal::parse(&String::from_utf8_lossy(&bytes))?))
    }

    /// Writes the journal of the run that holds the lease with this token.
    ///
    /// # Errors
    /// When the host cannot be asked, or the lease is not this run's any more.
    pub async fn write_journal(&self, stack: &str, token: u64, journal: &Journal) -> Result<(), HostError> {
        let (folder, text) = (self.folder(stack), json!(journal).to_string());
        for _ in 0..SWAPS {
            let (there, _now) = self.look(&folder).await?;
            let lease = there.as_deref().map(|text| self.lease(&folder, text)).transpose()?;
            if lease.is_none_or(|lease| lease.token != token) {
                return Err(HostError::LeaseLost(stack.to_owned()));
            }
            if self.swap(&folder, there.as_deref(), (JOURNAL, &text)).await? {
                return Ok(());
            }
        }
        Err(self.restless(&folder))
    }

    /// The lease as it lies there, and the time by the clock of the host.
    async fn look(&self, folder: &str) -> Result<(Option<String>, Timestamp), HostError> {
        let output = self.script(LOOK, &[folder], b"").await?;
        let what = format!("read `{folder}/{LEASE}`");
        if output.ended != Ended::Code(ABSENT) {
            self.succeeded(&output, &what)?;
        }
        let Output { ended, stdout, is_cut, .. } = output;
        let text = String::from_utf8_lossy(&stdout);
        let (time, lease) = text.split_once('\n').unwrap_or((&text, ""));
        let now = time.parse().map_err(|_bad| self.failed(&what, "`date` says no time"))?;
        if is_cut {
            return Err(self.failed(&what, "it is too long for a lease"));
        }
        Ok(((ended != Ended::Code(ABSENT)).then(|| lease.to_owned()), now))
    }

    /// Writes a file of the folder if the lease is still the one that was read; `false` if somebody was quicker.
    async fn swap(
        &self,
        folder: &str,
        there: Option<&str>,
        (name, text): (&str, &str),
    ) -> Result<bool, HostError> {
        let output = self.script(SWAP, &[folder, there.unwrap_or_default(), name, text], b"").await?;
        if output.ended == Ended::Code(CHANGED) {
            return Ok(false);
        }
        self.locked(&output, &format!("write `{folder}/{name}`"))?;
        Ok(true)
    }

    fn lease(&self, folder: &str, text: &str) -> Result<Lease, HostError> {
        Lease::parse(text).map_err(|source| HostError::BadLease {
            path: format!("{folder}/{LEASE}"),
            host: self.to_string(),
            source,
        })
    }

    fn restless(&self, folder: &str) -> HostError {
        self.failed(&format!("change `{folder}/{LEASE}`"), "somebody else was quicker, again and again")
    }
}
