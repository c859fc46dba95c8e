//! The policy that a configuration asks for.

use std::sync::Arc;

use jiff::civil::Date;
use shipkit_core::config::{Config, ImageScan, Rule};
use shipkit_core::policy::{Budget, Grace, ImageRule, Policy, Severity, UnknownSeverity, Vex};
use shipkit_runner::Failure;

/// What is asked of the image of a service, here or in an environment; without a configuration the default.
///
/// # Errors
/// When something is asked for that cannot be judged.
pub(crate) fn policy(
    config: Option<(&Config, &ImageScan)>,
    name: &str,
    today: Date,
) -> Result<Policy, Failure> {
    let Some((config, findings)) = config else { return Ok(default(today)) };
    let (service, limits) = (config.services.get(name), config.scan.image.limits);
    Ok(Policy {
        rules: rules(config)?,
        port: service.and_then(|service| service.port),
        budget: Budget {
            unpacked: service.and_then(|service| service.size_limit).or(limits.unpacked),
            ..limits
        },
        severity: findings.severity,
        unknown: findings.unknown,
        grace: findings.grace,
        ignore_unfixed: findings.ignore_unfixed,
        ignores: findings.ignores.clone(),
        ..default(today)
    })
}

fn default(today: Date) -> Policy {
    Policy {
        rules: vec![ImageRule::NonRoot, ImageRule::Healthcheck, ImageRule::PinnedBase],
        port: None,
        budget: Budget::default(),
        severity: Severity::High,
        unknown: UnknownSeverity::Pass,
        grace: Grace::default(),
        exploits: Arc::default(),
        ignore_unfixed: true,
        ignores: Vec::new(),
        today,
        vex: Vex::default(),
    }
}

fn rules(config: &Config) -> Result<Vec<ImageRule>, Failure> {
    let mut rules = Vec::new();
    let mut missing = Vec::new();
    for rule in &config.scan.policy {
        match rule {
            Rule::NonRoot => rules.push(ImageRule::NonRoot),
            Rule::Healthcheck => rules.push(ImageRule::Healthcheck),
            Rule::PinnedBase => rules.push(ImageRule::PinnedBase),
            Rule::ReadOnly => missing.push("`read-only`"),
            Rule::NoNewPrivileges => missing.push("`no-new-privileges`"),
            Rule::NoSecrets => rules.push(ImageRule::NoSecrets),
            Rule::NoSetuid => rules.push(ImageRule::NoSetuid),
            Rule::NoPackageCache => rules.push(ImageRule::NoPackageCache),
            Rule::ExposedPorts => rules.push(ImageRule::ExposedPorts),
            Rule::Supported => rules.push(ImageRule::Supported),
            Rule::Init => missing.push("`init`"),
        }
    }
    if !config.scan.source.is_empty() {
        missing.push("`source`");
    }
    if missing.is_empty() {
        return Ok(rules);
    }
    // A rule that is asked for and not judged must not look like one that passed.
    let missing = missing.join(", ");
    let hint = if config.scan.source.is_empty() {
        "take it out of `scan` in shipkit.yml"
    } else {
        "run those commands in a job and give what they report as `report`; lock files are judged by `source`"
    };
    Err(Failure::usage(format!("`scan` asks for {missing}, which this version cannot judge")).with_hint(hint))
}
