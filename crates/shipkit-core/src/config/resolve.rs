//! From `RawConfig` to `Config`: the one place where defaults are applied.

use std::collections::BTreeMap;
use std::time::Duration;

use super::compose::Taken;
use super::environment::in_project;
use super::error::{ConfigError, Problem};
use super::raw::{
    RawBuild, RawConfig, RawDeploy, RawEndpointMode, RawHealthcheck, RawImageScan, RawOrder, RawScan,
    RawService, RawTags, RawTest, RawUpdate,
};
use super::raw_scan::RawIgnore;
use super::template::{BadTemplate, Part};
use super::types::{
    Build, BuildArg, BuildContext, Config, Deploy, EndToEnd, Healthcheck, ImageScan, KubernetesNames, Latest,
    Metrics, Rule, Scan, Service, Source, TagKind, Tags, Test, TestService, UpdateConfig,
};
use super::values::{HealthTest, Span, Text, Texts};
use super::yaml::{Document, join};
use super::{Needed, compose, environment, findings, mirrors, rules, test_rules};
use crate::policy::{Grace, Ignore, Severity, UnknownSeverity};
use crate::target::{EndpointMode, Order};

/// What is known while a file is resolved, and what has been found wrong with it.
pub(super) struct Context<'a> {
    pub(super) document: &'a Document,
    /// Where the services come from, if not from there.
    pub(super) compose: Option<&'a Taken>,
    pub(super) variables: &'a dyn Fn(&str) -> Option<String>,
    pub(super) needed: Needed<'a>,
    /// Whether the values that are read now have to be known.
    pub(super) is_needed: bool,
    pub(super) problems: Vec<Problem>,
}

impl Context<'_> {
    /// Notes that the value at `path` is wrong.
    pub(super) fn wrong(&mut self, path: &str, message: impl Into<String>, hint: Option<&str>) {
        self.problems.push(self.origin(path).problem(path, message, hint.map(str::to_owned)));
    }

    /// Notes that the key at `path` is wrong.
    pub(super) fn wrong_key(&mut self, path: &str, message: impl Into<String>, hint: Option<&str>) {
        self.problems.push(self.origin(path).key_problem(path, message, hint.map(str::to_owned)));
    }

    /// Whether there is anything at `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.origin(path).has(path)
    }

    /// The file that `path` belongs to.
    fn origin(&self, path: &str) -> &Document {
        self.taken(path).map_or(self.document, |taken| &taken.document)
    }

    /// The Compose file, for what is in it.
    fn taken(&self, path: &str) -> Option<&Taken> {
        self.compose.filter(|_| path == "services" || path.starts_with("services."))
    }

    /// The value, or that of the variable it names.
    pub(super) fn text(&mut self, path: &str, text: &str) -> String {
        if let Some(taken) = self.taken(path) {
            let parts = taken.scope(self.variables).fill(text);
            return self.of_parts(path, parts);
        }
        match self.own_arg(path, text) {
            Own::Literal(text) => text,
            Own::Variable(name) => (self.variables)(&name).unwrap_or_else(|| {
                if !self.is_needed {
                    return String::new();
                }
                let hint = format!("set the environment variable `{name}` for this step");
                self.wrong(path, format!("the variable `{name}` is not set"), Some(&hint));
                String::new()
            }),
        }
    }

    /// A text of the Compose file.
    fn of_parts(&mut self, path: &str, parts: Result<Vec<Part>, BadTemplate>) -> String {
        let mut whole = String::new();
        for part in self.parts(path, parts) {
            match part {
                Part::Text(text) => whole.push_str(&text),
                Part::Variable { name, message } if self.is_needed => {
                    let (message, hint) = compose::unset(&name, message.as_deref());
                    self.wrong(path, message, Some(&hint));
                }
                Part::Variable { .. } => {}
            }
        }
        whole
    }

    fn parts(&mut self, path: &str, parts: Result<Vec<Part>, BadTemplate>) -> Vec<Part> {
        parts.unwrap_or_else(|bad| {
            let (message, hint) = bad.words();
            self.wrong(path, message, Some(hint));
            Vec::new()
        })
    }

    /// A build argument, whose variables are known when the build is planned.
    fn arg(&mut self, path: &str, text: &str) -> BuildArg {
        let Some(taken) = self.taken(path) else {
            return match self.own_arg(path, text) {
                Own::Literal(text) => BuildArg::Literal(text),
                Own::Variable(name) => BuildArg::Variable(name),
            };
        };
        let parts = taken.scope(self.variables).fill_argument(text);
        let parts = self.parts(path, parts);
        match parts.as_slice() {
            [] => BuildArg::Literal(String::new()),
            [Part::Text(text)] => BuildArg::Literal(text.clone()),
            [Part::Variable { name, message: None }] => BuildArg::Variable(name.clone()),
            _ => BuildArg::Mixed(parts),
        }
    }

    /// The value, or the variable it names.
    fn own_arg(&mut self, path: &str, text: &str) -> Own {
        if let Some(name) = rules::variable(text) {
            return Own::Variable(name.to_owned());
        }
        if text.contains("${") {
            self.wrong(path, "a variable can only be the whole value, as in `${NAME}`", None);
        }
        Own::Literal(text.to_owned())
    }

    /// Environment variables, with variables replaced.
    pub(super) fn texts(
        &mut self,
        path: &str,
        map: Option<&BTreeMap<String, Text>>,
    ) -> BTreeMap<String, String> {
        let entries = map.into_iter().flatten();
        entries.map(|(name, Text(text))| (name.clone(), self.text(&join(path, name), text))).collect()
    }
}

/// A value of `shipkit.yml`: a text, or one variable and nothing else.
enum Own {
    Literal(String),
    Variable(String),
}

/// A text map as it is.
pub(super) fn plain_texts(map: Option<&BTreeMap<String, Text>>) -> BTreeMap<String, String> {
    map.into_iter().flatten().map(|(name, Text(text))| (name.clone(), text.clone())).collect()
}

/// The texts, or none.
pub(super) fn list(texts: Option<&Texts>) -> Vec<String> {
    texts.map(|Texts(texts)| texts.clone()).unwrap_or_default()
}

/// The duration, or the default.
pub(super) fn or(span: Option<Span>, default: Duration) -> Duration {
    span.map_or(default, |Span(duration)| duration)
}

impl RawConfig {
    /// Applies every default and checks every rule.
    pub(super) fn resolve(&self, mut context: Context<'_>) -> Result<Config, ConfigError> {
        let none = BTreeMap::new();
        let taken = context.compose.map(|taken| &taken.services);
        let services = self.services.as_ref().or(taken).unwrap_or(&none);
        rules::whole_file(&mut context, self, services);
        let registry = self.registry.as_ref().map(|text| context.text("registry", text));
        context.is_needed = matches!(context.needed, Needed::Names | Needed::Build);
        let mirrors = self.mirrors.as_deref().unwrap_or_default();
        let mirrors = mirrors::mirrors(&mut context, registry.as_deref(), mirrors);
        context.is_needed = matches!(context.needed, Needed::Environment(_));
        let services: BTreeMap<_, _> = services
            .iter()
            .map(|(name, raw)| (name.clone(), service(&mut context, &join("services", name), raw)))
            .collect();
        context.is_needed = context.needed == Needed::Build;
        let test = self.test.as_ref().map(|raw| test(&mut context, raw));
        let scan = scan(&mut context, self.scan.as_ref());
        let environments = environment::all(&mut context, self, &scan.image);
        let config = Config {
            name: self.name.clone(),
            registry,
            mirrors,
            tags: tags(self.tags.as_ref()),
            test,
            services,
            compose: context.compose.map(Taken::origin),
            groups: self.groups.clone().unwrap_or_default(),
            group: None,
            scan,
            environments,
        };
        rules::config(&mut context, &config);
        match ConfigError::of(context.problems) {
            Some(error) => Err(error),
            None => Ok(config),
        }
    }
}

fn tags(raw: Option<&RawTags>) -> Tags {
    let raw = raw.cloned().unwrap_or_default();
    let include = raw.include.unwrap_or_else(|| vec![TagKind::Sha, TagKind::Branch, TagKind::Semver]);
    let has_versions = include.contains(&TagKind::Semver);
    Tags {
        latest: raw.latest.unwrap_or(if has_versions { Latest::Release } else { Latest::Never }),
        include,
        immutable: raw.immutable.unwrap_or(true),
        labels: plain_texts(raw.labels.as_ref()),
    }
}

fn test(context: &mut Context<'_>, raw: &RawTest) -> Test {
    let services = raw.services.iter().flatten().map(|(name, raw)| {
        let path = format!("test.services.{name}.environment");
        let service = TestService {
            image: raw.image.clone(),
            environment: context.texts(&path, raw.environment.as_ref()),
            ports: raw.ports.iter().flatten().map(|Text(port)| port.clone()).collect(),
            healthcheck: raw.healthcheck.as_ref().map(healthcheck),
        };
        (name.clone(), service)
    });
    let services = services.collect();
    let test = Test {
        setup: plain_texts(raw.setup.as_ref()),
        services,
        environment: context.texts("test.environment", raw.environment.as_ref()),
        secrets: raw.secrets.clone().unwrap_or_default(),
        run: list(raw.run.as_ref()),
        e2e: raw.e2e.as_ref().map(|raw| EndToEnd {
            files: raw.files.clone().unwrap_or_default(),
            run: list(raw.run.as_ref()),
        }),
        coverage: raw.coverage.clone(),
        artifacts: raw.artifacts.clone().unwrap_or_default(),
    };
    test_rules::test(context, &test);
    test
}

fn service(context: &mut Context<'_>, path: &str, raw: &RawService) -> Service {
    let source = match (&raw.build, &raw.image) {
        (Some(_), Some(_)) => {
            context.wrong_key(path, "both `build` and `image` are given", Some("keep one of them"));
            Source::Image(String::new())
        }
        (Some(raw), None) => Source::Build(build(context, &join(path, "build"), raw)),
        (None, Some(image)) => Source::Image(image.clone()),
        (None, None) => {
            context.wrong_key(path, "neither `build` nor `image` is given", Some("give one of them"));
            Source::Image(String::new())
        }
    };
    Service {
        source,
        image_name: raw.image_name.clone(),
        size_limit: raw.size_limit.map(|size| size.0),
        port: raw.port,
        stateful: raw.stateful.unwrap_or(false),
        depends_on: raw.depends_on.clone().unwrap_or_default(),
        healthcheck: raw.healthcheck.as_ref().map(healthcheck),
        metrics: raw.metrics.as_ref().map(|raw| Metrics {
            path: raw.path.clone().unwrap_or_else(|| "/metrics".to_owned()),
            required: raw.required.clone().unwrap_or_default(),
        }),
        deploy: deploy(raw.deploy.as_ref()),
        strategy: raw.strategy,
        environment: context.texts(&join(path, "environment"), raw.environment.as_ref()),
        secrets: raw.secrets.clone().unwrap_or_default(),
        volumes: raw.volumes.clone().unwrap_or_default(),
        stop_grace_period: raw.stop_grace_period.map(|span| span.0),
        kubernetes: raw.kubernetes.as_ref().map(|raw| KubernetesNames {
            deployment: raw.deployment.clone(),
            container: raw.container.clone(),
        }),
    }
}

fn build(context: &mut Context<'_>, path: &str, raw: &RawBuild) -> Build {
    let args = raw.args.iter().flatten().map(|(name, Text(text))| {
        let value = context.arg(&format!("{path}.args.{name}"), text);
        (name.clone(), value)
    });
    let args = args.collect();
    Build {
        context: raw.context.clone().unwrap_or_else(|| ".".to_owned()),
        dockerfile: raw.dockerfile.clone().unwrap_or_else(|| "Dockerfile".to_owned()),
        target: raw.target.clone(),
        args,
        secrets: raw.secrets.clone().unwrap_or_default(),
        platforms: raw.platforms.clone().unwrap_or_default(),
        contexts: raw
            .contexts
            .iter()
            .flatten()
            .map(|(name, Text(text))| (name.clone(), build_context(text)))
            .collect(),
        cache: raw.cache.unwrap_or_default(),
        max_age: or(raw.max_age, Duration::from_hours(30 * 24)),
        provenance: raw.provenance,
        sbom: raw.sbom.unwrap_or(false),
        per_environment: raw.per_environment.unwrap_or(false),
        runner: raw.runner.clone(),
    }
}

fn build_context(text: &str) -> BuildContext {
    match (text.strip_prefix("service:"), text.strip_prefix("docker-image://")) {
        (Some(service), _) => BuildContext::Service(service.to_owned()),
        (None, Some(image)) => BuildContext::Image(image.to_owned()),
        (None, None) => BuildContext::Other(text.to_owned()),
    }
}

fn healthcheck(raw: &RawHealthcheck) -> Healthcheck {
    Healthcheck {
        live: raw.live.clone(),
        ready: raw.ready.clone().or_else(|| raw.live.clone()),
        test: raw.test.as_ref().map(|HealthTest(words)| words.clone()),
        interval: raw.interval.map(|span| span.0),
        timeout: raw.timeout.map(|span| span.0),
        start_period: raw.start_period.map(|span| span.0),
        retries: raw.retries,
    }
}

fn deploy(raw: Option<&RawDeploy>) -> Deploy {
    let raw = raw.cloned().unwrap_or_default();
    let update: RawUpdate = raw.update_config.unwrap_or_default();
    Deploy {
        replicas: raw.replicas,
        update: UpdateConfig {
            parallelism: update.parallelism.unwrap_or(1),
            delay: or(update.delay, Duration::from_secs(10)),
            order: match update.order {
                Some(RawOrder::StartFirst) | None => Order::StartFirst,
                Some(RawOrder::StopFirst) => Order::StopFirst,
            },
            failure_action: update.failure_action.unwrap_or_default(),
            monitor: or(update.monitor, Duration::from_secs(5)),
        },
        resources: raw.resources.map(serde_json::Value::Object),
        endpoint_mode: match raw.endpoint_mode {
            Some(RawEndpointMode::Vip) | None => EndpointMode::Vip,
            Some(RawEndpointMode::Dnsrr) => EndpointMode::Dnsrr,
        },
    }
}

fn ignore(context: &mut Context<'_>, index: usize, raw: RawIgnore) -> Option<Ignore> {
    let path = format!("scan.image.ignore[{index}]");
    for (key, value) in [("id", &raw.id), ("reason", &raw.reason)] {
        if value.trim().is_empty() {
            context.wrong(&join(&path, key), format!("an entry without `{key}` accepts nothing"), None);
        }
    }
    let Ok(until) = raw.until.parse() else {
        let message = format!("`{}` is no day", raw.until);
        context.wrong(
            &join(&path, "until"),
            message,
            Some("write the year, the month and the day: `2027-01-31`"),
        );
        return None;
    };
    let RawIgnore { id, package, reason, owner, .. } = raw;
    Some(Ignore { id, package, reason, owner, until })
}

fn scan(context: &mut Context<'_>, raw: Option<&RawScan>) -> Scan {
    let raw = raw.cloned().unwrap_or_default();
    let image: RawImageScan = raw.image.unwrap_or_default();
    let findings = image.findings();
    let ignores = image.ignore.unwrap_or_default().into_iter().enumerate();
    let ignores = ignores.filter_map(|(index, raw)| ignore(context, index, raw)).collect();
    let vex = image.vex.unwrap_or_default().into_iter().enumerate();
    let vex =
        vex.filter_map(|(at, file)| in_project(context, &format!("scan.image.vex[{at}]"), &file)).collect();
    let shared = ImageScan {
        severity: Severity::High,
        ignore_unfixed: true,
        unknown: UnknownSeverity::Pass,
        grace: Grace::default(),
        kev: None,
        epss: None,
        advisories: image.advisories,
        baseline: None,
        ignores,
        limits: image.limits.unwrap_or_default().resolve(),
        vex,
        report: image.report,
    };
    Scan {
        image: findings::over(context, "scan.image", findings, shared),
        source: raw.source.map(|source| list(source.run.as_ref())).unwrap_or_default(),
        policy: raw.policy.unwrap_or_else(|| vec![Rule::NonRoot, Rule::Healthcheck, Rule::PinnedBase]),
    }
}
