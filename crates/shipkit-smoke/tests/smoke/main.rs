//! The engine against servers that misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests stop at the first surprise"
)]

mod alerts;
mod caching;
mod captures;
mod compression;
mod cookies;
mod cors;
mod dns;
mod dnsmasq;
mod expectations;
mod exposition;
mod fixture;
mod latency;
mod methods;
mod name_server;
mod nginx;
mod openapi;
mod pages;
mod prometheus;
mod promql;
mod rate_limit;
mod redirect;
mod run;
mod settled;
mod socketio;
mod tcp;
mod tls;
mod watch;
mod websocket;
