//! `Session`: what the calls of one undertaking have in common.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::Options;

/// What tokens must allow, until when, and what went over the wire.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// By registry: one token for all calls, where each call alone would need another one.
    pub(crate) scopes: BTreeMap<String, Vec<String>>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) meter: Meter,
}

/// Counts requests and the bytes of bodies.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Session {
    /// When a call that begins now must be over.
    pub(crate) fn deadline(&self, options: &Options) -> Instant {
        self.deadline.unwrap_or_else(|| Instant::now() + options.deadline)
    }

    pub(crate) fn scopes(&self, registry: &str) -> Option<&[String]> {
        self.scopes.get(registry).map(Vec::as_slice)
    }
}

impl Meter {
    pub(crate) fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Requests, bytes sent, bytes received.
    pub(crate) fn read(&self) -> (u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.requests), read(&self.sent), read(&self.received))
    }
}
