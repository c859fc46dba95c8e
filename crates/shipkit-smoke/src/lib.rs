//! The check engine: is the release that was shipped the one that answers, and does it answer as it should?
//!
//! [`run`] asks once, in stages: ready, then the release, then what the answers hold. [`watch`] asks at a fixed rate while
//! something else changes the target. What an answer means is decided by functions without I/O (`judge`, `matcher`, `redirect`,
//! `replicas`, `streak`, `tally`, `bounds`, `latency`, `series`, `gauge`, `baseline`, `rate_limit`, `websocket`, `socketio`, `page`, `caching`, `compression`, `cookies`, `cors`, `security_headers`,
//! `exposition`, `alerts`, `dns`), as is what is filled in (`variable`) and who waits for whom (`graph`); `client` is the only place that sends requests;
//! `tcp`, `dns` and `tls` connect by themselves. [`Prometheus`] asks what others have measured.

mod alerts;
mod baseline;
mod bounds;
mod caching;
mod capture;
mod check;
mod class;
mod client;
mod compression;
mod configured;
mod cookies;
mod cors;
mod dns;
mod error;
mod expected;
mod exposition;
mod gauge;
mod graph;
mod html;
mod hurl;
mod json_path;
mod judge;
mod kinds;
mod latency;
mod marked;
mod matcher;
mod open_loop;
mod openapi;
mod page;
mod prometheus;
mod rate_limit;
mod redirect;
mod replicas;
mod report;
mod run;
mod schema;
mod secrets;
mod security_headers;
mod series;
mod socketio;
mod streak;
mod tally;
mod tcp;
mod timeline;
mod tls;
mod usual;
mod variable;
mod watch;
mod websocket;

pub use baseline::{Baseline, Beside, Earlier};
pub use check::{Capture, Check, Expect, Http, Kind, READY_PATHS, Severity, Wanted};
pub use class::Class;
pub use client::Phases;
pub use configured::{Given, Shipped, configured, ready_paths, without_strangers};
pub use error::SmokeError;
pub use kinds::{KindOfCheck, kinds};
pub use latency::{Measured, MeasuredBeside, WarmUp};
pub use marked::Marked;
pub use openapi::{Api, Operation};
pub use prometheus::Prometheus;
pub use report::{Attempt, CheckReport, Report};
pub use run::{Options, meet, run, validate};
pub use shipkit_core::config::{Method, Statuses};
pub use tally::{Example, Latency, Seen, WatchReport};
pub use timeline::{Part, Timeline};
pub use watch::{Connections, WatchOptions, watch};
