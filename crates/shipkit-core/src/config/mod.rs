//! `shipkit.yml`: types, defaults, resolution and errors that say where.

pub mod check;
mod types;
mod units;

pub use check::{Check, CheckKind, Expect, Tls, TlsVersion, WantedHeader};
pub use types::{
    Analysis, Approval, Build, BuildArg, Cache, Config, Deploy, EndToEnd, Environment, EventKind,
    FailureAction, Healthcheck, ImageScan, KubernetesNames, Latest, Metrics, Migrate, OnInconclusive, Query,
    ReportFormat, Rollback, Rule, Scan, Service, Source, Strategy, TagKind, Tags, Target, TargetKind, Test,
    TestService, Threshold, UpdateConfig,
};
pub use units::{BadUnit, BasisPoints, duration, percent, size};
