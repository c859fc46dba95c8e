//! `smoke-test run`: gathers the checks, asks them, reports.

use std::path::{Path, PathBuf};
use std::time::Instant;

use shipkit_core::config::{self, CheckKind, Config, Environment};
use shipkit_core::{Outcome, ProjectPath, Release, Secret};
use shipkit_registry::{Credentials, Registry};
use shipkit_runner::{Failure, Runner};
use shipkit_smoke::{
    Baseline, Beside, Check, Given, Options, Prometheus, READY_PATHS, Report, Shipped, Wanted, configured,
    ready_paths,
};
use url::Url;

use crate::args::{self, RunArgs};
use crate::read;
use crate::report::{self, About};

/// Asks the checks of an environment, or the usual ones of an address.
pub(crate) async fn run(args: &RunArgs, runner: &Runner) -> Result<Outcome, Failure> {
    let workspace = runner.env().workspace();
    let config =
        args.environment.as_ref().map(|_named| runner.config(&workspace, &args.config)).transpose()?;
    let environment = match (&config, &args.environment) {
        (Some(config), Some(name)) => Some(environment(config, name)?),
        _ => None,
    };
    let url = url(args, environment)?;
    let ca_pem = args.ca_file.as_ref().map(|file| read(runner, file)).transpose()?;
    let options = Options {
        deadline: args.deadline,
        timeout: args.timeout,
        control: args.control_url.clone(),
        is_production: config
            .iter()
            .any(|config| environment.is_some_and(|environment| config.is_production(&environment.name))),
        ca_pem,
        baseline: args.baseline.as_ref().map(|with| baseline(runner, with)).transpose()?.flatten(),
        since: args.since.map(|since| since.moment(runner.now())),
        prometheus: Prometheus::of(environment.and_then(|environment| environment.analysis.as_ref()))?,
        detects: environment.is_none(),
        folder: folder(args, &workspace),
        release: args.release.clone(),
        // Who names a release, or the moment of a change, has changed something.
        is_settled: args.release.is_none() && args.since.is_none(),
        ..Options::default()
    };
    let mut about = About {
        environment: args.environment.clone(),
        release: args.release.clone(),
        config: args.config.to_string_lossy().into_owned(),
        ..About::of(runner, &url, args.report.as_deref())?
    };
    let release = release(args, runner).await?;
    let checks = checks(args, runner, (config.as_ref(), environment), release.as_ref())?;
    let began = Instant::now();
    let asked = shipkit_smoke::run(&url, checks, &options);
    let found = tokio::select! {
        found = asked => found?,
        signal = runner.cancelled() => {
            return Ok(Outcome::inconclusive(format!("{} came before the checks were done", signal.name())));
        }
    };
    about.took = began.elapsed();
    show_detected(runner, &found);
    for secret in &found.secrets {
        runner.mask(secret);
    }
    report::checks(runner, &found, &about)?;
    Ok(found.outcome)
}

/// What was asked because it fits the address, as it would stand in a configuration.
fn show_detected(runner: &Runner, found: &Report) {
    if found.detected.is_empty() {
        return;
    }
    runner.say("no environment is named, so what fits the address was asked besides and only warns; in `shipkit.yml` it is\n  smoke:");
    for yaml in &found.detected {
        runner.say(&format!("    - {yaml}"));
    }
}

/// What is compared with; `None` if there was no good run yet.
fn baseline(runner: &Runner, with: &args::Baseline) -> Result<Option<Baseline>, Failure> {
    let file = match with {
        args::Baseline::Report(file) => file,
        args::Baseline::Release(url) => {
            report::mask_password(runner, url);
            let name = url.origin().ascii_serialization();
            return Ok(Some(Baseline::Beside(Beside { url: url.clone(), name, is_before: false })));
        }
    };
    let json = match read(runner, file) {
        Ok(json) => json,
        Err(unreadable) if unreadable.is_missing() => {
            runner.say(&format!(
                "there is no baseline `{}` yet, so nothing is compared with it",
                file.display()
            ));
            return Ok(None);
        }
        Err(unreadable) => return Err(unreadable.into()),
    };
    let no_report =
        |error| Failure::usage(format!("`baseline`: `{}` is no report of a run: {error}", file.display()));
    Baseline::read(&json).map(Some).map_err(no_report)
}

fn environment<'a>(config: &'a Config, name: &str) -> Result<&'a Environment, Failure> {
    config.environments.iter().find(|environment| environment.name == name).ok_or_else(|| {
        let names: Vec<_> = config.environments.iter().map(|known| format!("`{}`", known.name)).collect();
        Failure::usage(format!("`environment`: there is no environment `{name}`"))
            .with_hint(format!("the environments are {}", names.join(", ")))
    })
}

fn url(args: &RunArgs, environment: Option<&Environment>) -> Result<Url, Failure> {
    if let Some(url) = &args.url {
        return Ok(url.clone());
    }
    let Some(text) = environment.and_then(|environment| environment.url.as_ref()) else {
        return Err(Failure::usage("nothing says which address to ask")
            .with_hint("give `url`, or `environment` with a `url` in the configuration"));
    };
    text.parse()
        .map_err(|error| Failure::usage(format!("the `url` of the environment is no address: {error}")))
}

/// The release that is named and stored in a registry.
async fn release(args: &RunArgs, runner: &Runner) -> Result<Option<Release>, Failure> {
    let (Some(name), Some(repository)) = (&args.release, &args.repository) else {
        return match &args.release {
            Some(name) if name.starts_with("sha256:") => {
                Err(Failure::usage("`release` is a digest, and nothing says which repository holds it")
                    .with_hint("give `repository`: `ghcr.io/acme/shop/release`"))
            }
            Some(_) | None => Ok(None),
        };
    };
    let (username, password) = (args.registry_username.as_deref(), args.registry_password.as_ref());
    if let Some(password) = password {
        runner.mask(password);
    }
    let docker_config = runner.env().docker_config();
    let registry = Registry::new(Credentials::new(repository.registry(), username, password, docker_config))?;
    let digest = registry.find_release(repository, name).await?;
    Ok(Some(registry.release(repository, &digest).await?))
}

/// Readiness, then what the environment asks, the release if one is named, and the extra paths.
fn checks(
    args: &RunArgs,
    runner: &Runner,
    (config, environment): (Option<&Config>, Option<&Environment>),
    release: Option<&Release>,
) -> Result<Vec<Check>, Failure> {
    let named = args.release.as_deref().map(Wanted::from_text);
    let shipped = match (release, &named) {
        (Some(release), _) => Shipped::Release(release),
        (None, Some(wanted)) => Shipped::Named(wanted),
        (None, None) => Shipped::Unknown,
    };
    let paths = match config {
        _ if !args.ready_paths.is_empty() => args.ready_paths.clone(),
        Some(config) => ready_paths(config),
        None => READY_PATHS.map(str::to_owned).to_vec(),
    };
    let mut wanted: Vec<config::Check> = environment.map(|found| found.smoke.clone()).unwrap_or_default();
    let asks_release = wanted.iter().any(|check| matches!(check.kind, CheckKind::Release(_)));
    if args.release.is_some() && !asks_release {
        wanted.push(release_check(args));
    }
    let mut checks = vec![Check::ready(paths)];
    let variables = |name: &str| runner.env().lookup(name).map(Secret::from);
    let folder = folder(args, &runner.env().workspace());
    let files = |file: &ProjectPath| std::fs::read(folder.join(file.as_str()));
    let given = Given { shipped, variables: &variables, files: &files };
    checks.extend(configured(&wanted, &given)?.into_iter().map(|check| Check {
        // A check that stands in no file has no line.
        line: check.line.filter(|line| 0 < *line),
        ..check
    }));
    checks.extend(args.gets.iter().map(Check::get));
    Ok(checks)
}

/// The folder of the configuration.
fn folder(args: &RunArgs, workspace: &Path) -> PathBuf {
    workspace.join(args.config.parent().unwrap_or(Path::new("")))
}

fn release_check(args: &RunArgs) -> config::Check {
    config::Check {
        name: format!("release {}", args.revision_path),
        service: args.service.clone(),
        kind: CheckKind::Release(config::Running { path: args.revision_path.clone(), every_address: false }),
        headers: Vec::new(),
        expect: config::Expect::default(),
        retries: None,
        writes: false,
        only_warns: false,
        flaky_fails: false,
        line: 0,
    }
}
