//! The check engine: is the release that was shipped the one that answers, and does it answer as it should?
//!
//! [`run`] asks once, in stages: ready, then the release, then what the answers hold. [`watch`] asks at a fixed rate while
//! something else changes the target. What an answer means is decided by functions without I/O (`judge`, `redirect`,
//! `streak`, `tally`, `bounds`, `latency`, `rate_limit`, `websocket`, `socketio`, `page`, `security_headers`); `client` is the only place that sends requests; `tcp`
//! and `tls` connect by themselves. [`Prometheus`] asks what others have measured.

mod bounds;
mod check;
mod class;
mod client;
mod configured;
mod error;
mod judge;
mod latency;
mod marked;
mod open_loop;
mod page;
mod prometheus;
mod rate_limit;
mod redirect;
mod report;
mod run;
mod security_headers;
mod socketio;
mod streak;
mod tally;
mod tcp;
mod timeline;
mod tls;
mod usual;
mod watch;
mod websocket;

pub use check::{Check, Expect, Http, Kind, Method, READY_PATHS, Severity, Wanted};
pub use class::Class;
pub use configured::{Shipped, configured, ready_paths};
pub use error::SmokeError;
pub use latency::Measured;
pub use marked::Marked;
pub use prometheus::Prometheus;
pub use report::{Attempt, CheckReport, Report};
pub use run::{Options, meet, run, validate};
pub use tally::{Example, Latency, Seen, WatchReport};
pub use timeline::{Part, Timeline};
pub use watch::{Connections, WatchOptions, watch};
