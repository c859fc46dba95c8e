//! Environments: `defaults` merged in, checks read, and put in the order of `needs`.

use std::time::Duration;

use super::check::{
    Alerts, Check, CheckKind, Cors, Expect, Exposition, Openapi, Profile, Running, SecurityHeaders, SocketIo,
    Tls, TlsVersion,
};
use super::dns::dns;
use super::hook::{backup_job, migrate};
use super::raw::{RawAnalysis, RawAuth, RawCanary, RawConfig, RawEnvironment, RawProxy, RawTarget};
use super::raw_check::{
    Brief, CheckSeverity, Flaky, RawCheck, RawCors, RawMethod, RawProfile, RawRunning, RawSecurityHeaders,
    RawSocketIo, RawTls, RawTlsVersion,
};
use super::raw_expect::RawStatuses;
use super::request::{Method, Request};
use super::resolve::{Context, list, or, plain_texts};
use super::target::{AksAuth, Auth, Ca, EksAuth, EnvFile, GkeAuth, Proxy, Target, TargetKind};
use super::types::{Analysis, Canary, Environment, ImageScan, Query, Threshold};
use super::units::BasisPoints;
use super::values::{Limits, Percent, Span};
use super::yaml::join;
use super::{Needed, check_rules, findings, rules};
use crate::compose::ProxyKind;
use crate::project_path::{NotInProject, ProjectPath};

impl Target {
    /// Whether it is a Swarm that has its services from stack files.
    #[must_use]
    pub fn is_stack_of_files(&self) -> bool {
        self.kind == TargetKind::Swarm && !self.files.is_empty()
    }
}

/// All environments in the order of `needs`, and otherwise of the file.
pub(super) fn all(context: &mut Context<'_>, raw: &RawConfig, scan: &ImageScan) -> Vec<Environment> {
    let mut names: Vec<&String> = raw.environments.keys().collect();
    names.sort_by_key(|name| context.document.place(&join("environments", name)).key);
    let empty = RawEnvironment::default();
    let defaults = raw.defaults.as_ref().unwrap_or(&empty);
    let resolved: Vec<Environment> = names
        .into_iter()
        .filter_map(|name| raw.environments.get(name).map(|own| (name, own.as_ref().unwrap_or(&empty))))
        .map(|(name, own)| one(context, &raw.name, name, &Layers { own, defaults, scan }))
        .collect();
    rules::in_order(context, resolved)
}

/// What an environment says, over what all of them share.
struct Layers<'a> {
    own: &'a RawEnvironment,
    defaults: &'a RawEnvironment,
    /// How images are judged where an environment says nothing.
    scan: &'a ImageScan,
}

impl<'a> Layers<'a> {
    fn pick<T>(&self, key: impl Fn(&'a RawEnvironment) -> Option<&'a T>) -> Option<&'a T> {
        key(self.own).or_else(|| key(self.defaults))
    }
}

/// Where `key` of an environment is written: there, or in the defaults.
pub(super) fn origin(context: &Context<'_>, environment: &str, key: &str) -> String {
    let own = format!("environments.{environment}.{key}");
    let shared = format!("defaults.{key}");
    if !context.document.has(&own) && context.document.has(&shared) { shared } else { own }
}

fn one(context: &mut Context<'_>, project: &str, name: &str, layers: &Layers<'_>) -> Environment {
    context.is_needed = context.needed == Needed::Environment(name);
    let mut environment = context.texts("defaults.environment", layers.defaults.environment.as_ref());
    environment
        .extend(context.texts(&format!("environments.{name}.environment"), layers.own.environment.as_ref()));
    let url_path = origin(context, name, "url");
    let smoke_path = origin(context, name, "smoke");
    let smoke = layers.pick(|raw| raw.smoke.as_ref()).map(Vec::as_slice).unwrap_or_default();
    Environment {
        name: name.to_owned(),
        branches: list(layers.pick(|raw| raw.branches.as_ref())),
        tags: list(layers.pick(|raw| raw.tags.as_ref())),
        events: layers.pick(|raw| raw.events.as_ref()).cloned().unwrap_or_default(),
        needs: list(layers.pick(|raw| raw.needs.as_ref())),
        approval: layers.pick(|raw| raw.approval.as_ref()).copied().unwrap_or_default(),
        url: layers
            .pick(|raw| raw.url.as_ref())
            .map(|text| context.text(&url_path, text))
            .filter(|url| !url.is_empty() || context.is_needed),
        target: target(context, layers.pick(|raw| raw.target.as_ref()), project, name),
        strategy: layers.pick(|raw| raw.strategy.as_ref()).copied().unwrap_or_default(),
        canary: canary(context, name, layers.pick(|raw| raw.canary.as_ref())),
        timeout: or(layers.pick(|raw| raw.timeout.as_ref()).copied(), Duration::from_mins(10)),
        migrate: layers.pick(|raw| raw.migrate.as_ref()).map(|raw| migrate(context, name, raw)),
        backup: layers.pick(|raw| raw.backup.as_ref()).map(|raw| list(raw.run.as_ref())).unwrap_or_default(),
        backup_job: layers.pick(|raw| raw.backup.as_ref()).and_then(|raw| backup_job(context, name, raw)),
        environment,
        secrets: layers.pick(|raw| raw.secrets.as_ref()).cloned().unwrap_or_default(),
        smoke: smoke
            .iter()
            .enumerate()
            .filter_map(|(index, raw)| check(context, &format!("{smoke_path}[{index}]"), raw))
            .collect(),
        analysis: layers.pick(|raw| raw.analysis.as_ref()).map(analysis),
        rollback: layers.pick(|raw| raw.rollback.as_ref()).copied().unwrap_or_default(),
        on_inconclusive: layers.pick(|raw| raw.on_inconclusive.as_ref()).copied().unwrap_or_default(),
        runner: layers.pick(|raw| raw.runner.as_ref()).cloned(),
        notify: layers.pick(|raw| raw.notify.as_ref()).cloned().unwrap_or_default(),
        scan: scan(context, name, layers),
    }
}

/// How images are judged before they come here, where that is said.
fn scan(context: &mut Context<'_>, name: &str, layers: &Layers<'_>) -> Option<ImageScan> {
    let raw = layers.pick(|raw| raw.policy.as_ref())?.scan.clone()?;
    let path = join(&origin(context, name, "policy"), "scan");
    Some(findings::over(context, &path, raw, layers.scan.clone()))
}

fn target(context: &mut Context<'_>, raw: Option<&RawTarget>, project: &str, environment: &str) -> Target {
    let kind = raw.map_or(TargetKind::Compose, |raw| raw.kind);
    let stack = match kind {
        TargetKind::Compose | TargetKind::Swarm => {
            Some(raw.and_then(|raw| raw.stack.clone()).unwrap_or_else(|| format!("{project}-{environment}")))
        }
        TargetKind::Kubernetes | TargetKind::Command => None,
    };
    let path = origin(context, environment, "target");
    let mut all_in_project = |key: &str, files: Option<&[String]>| {
        let files = files.unwrap_or_default().iter().enumerate();
        files.filter_map(|(at, file)| in_project(context, &format!("{path}.{key}[{at}]"), file)).collect()
    };
    let files = all_in_project("files", raw.and_then(|raw| raw.files.as_deref()));
    let rule_files = all_in_project("rule_files", raw.and_then(|raw| raw.rule_files.as_deref()));
    let env_file =
        raw.and_then(|raw| raw.env_file.as_deref()).and_then(|file| match file.strip_prefix('/') {
            Some(_) => Some(EnvFile::Host(file.to_owned())),
            None => in_project(context, &join(&path, "env_file"), file).map(EnvFile::Project),
        });
    // A path has no line breaks, and nobody's file is called as PEM begins in base64.
    let ca = raw.and_then(|raw| raw.ca.as_deref()).and_then(|text| match text {
        _ if text.contains("-----BEGIN") || text.starts_with("LS0tLS1") => Some(Ca::Text(text.to_owned())),
        file => in_project(context, &join(&path, "ca"), file).map(Ca::File),
    });
    Target {
        kind,
        host: raw.and_then(|raw| raw.host.clone()),
        files,
        env_file,
        rule_files,
        directory: raw.and_then(|raw| raw.directory.clone()),
        proxy: raw.and_then(|raw| raw.proxy.as_ref()).and_then(|raw| proxy(context, &path, raw)),
        manifests: raw.and_then(|raw| raw.manifests.clone()),
        kustomize: raw.and_then(|raw| raw.kustomize.clone()),
        namespace: raw.and_then(|raw| raw.namespace.clone()),
        context: raw.and_then(|raw| raw.context.clone()),
        server: raw.and_then(|raw| raw.server.clone()),
        ca,
        auth: raw.and_then(|raw| raw.auth.as_ref()).and_then(|raw| auth(context, &path, raw)),
        run: list(raw.and_then(|raw| raw.run.as_ref())),
        rollback: list(raw.and_then(|raw| raw.rollback.as_ref())),
        stack,
    }
}

/// The one cloud that is named.
fn auth(context: &mut Context<'_>, path: &str, raw: &RawAuth) -> Option<Auth> {
    let all = [
        raw.eks.as_ref().map(|raw| {
            let (cluster, region) = (raw.cluster.clone(), raw.region.clone());
            Auth::Eks(EksAuth { cluster, region, role: raw.role.clone() })
        }),
        raw.gke.as_ref().map(|raw| {
            Auth::Gke(GkeAuth {
                cluster: raw.cluster.clone(),
                workload_identity_provider: raw.workload_identity_provider.clone(),
                service_account: raw.service_account.clone(),
            })
        }),
        raw.aks.as_ref().map(|raw| {
            Auth::Aks(AksAuth { tenant_id: raw.tenant_id.clone(), client_id: raw.client_id.clone() })
        }),
    ];
    let mut named = all.into_iter().flatten();
    let (first, second) = (named.next(), named.next());
    let path = join(path, "auth");
    if first.is_none() {
        context.wrong_key(&path, "neither `eks`, `gke` nor `aks` is given", Some("say which cloud it is"));
    }
    if second.is_some() {
        context.wrong_key(&path, "more than one cloud is given", Some("keep one of them"));
    }
    first
}

/// The one proxy that is named.
fn proxy(context: &mut Context<'_>, path: &str, raw: &RawProxy) -> Option<Proxy> {
    let all = [
        (ProxyKind::Nginx, &raw.nginx),
        (ProxyKind::Traefik, &raw.traefik),
        (ProxyKind::KamalProxy, &raw.kamal_proxy),
    ];
    let mut named = all.iter().filter_map(|(kind, service)| Some((*kind, service.as_ref()?)));
    let Some((kind, service)) = named.next() else {
        let hint = "say which service it is: `nginx: SERVICE`, `traefik: SERVICE` or `kamal-proxy: SERVICE`";
        context.wrong_key(
            &join(path, "proxy"),
            "neither `nginx`, `traefik` nor `kamal-proxy` is given",
            Some(hint),
        );
        return None;
    };
    if let Some((other, _)) = named.next() {
        let both = format!("both `{}` and `{}` are given", kind.key(), other.key());
        context.wrong_key(&join(path, "proxy"), both, Some("keep one of them"));
        return None;
    }
    let directory = raw.directory.clone().unwrap_or_else(|| kind.directory().to_owned());
    Some(Proxy { kind, service: service.clone(), directory })
}

/// The path of a file beside the configuration; what is none is noted.
pub(super) fn in_project(context: &mut Context<'_>, path: &str, file: &str) -> Option<ProjectPath> {
    file.parse().map_err(|error: NotInProject| context.wrong(path, error.to_string(), None)).ok()
}

/// The steps, which are whole percentages and ascend; what is wrong with them is noted.
fn canary(context: &mut Context<'_>, environment: &str, raw: Option<&RawCanary>) -> Canary {
    let path = join(&origin(context, environment, "canary"), "steps");
    let mut steps: Vec<u8> = Vec::new();
    let shares = raw.and_then(|raw| raw.steps.as_deref());
    for (index, Percent(BasisPoints(points))) in shares.unwrap_or_default().iter().enumerate() {
        let percent = u8::try_from(points / 100).ok().filter(|percent| (1..=99).contains(percent));
        let hint = Some("each step is a whole percentage from `1%` to `99%`, and more than the one before");
        match percent.filter(|percent| points % 100 == 0 && steps.last() < Some(percent)) {
            Some(percent) => steps.push(percent),
            None => context.wrong(&format!("{path}[{index}]"), "is no step", hint),
        }
    }
    match shares {
        Some([]) => context.wrong(&path, "there is no step", Some("`strategy: blue-green` shifts at once")),
        Some(_) => {}
        None => steps.extend([25, 50]),
    }
    Canary { steps, interval: or(raw.and_then(|raw| raw.interval), Duration::from_mins(1)) }
}

fn analysis(raw: &RawAnalysis) -> Analysis {
    let error_rate = raw.error_rate.unwrap_or(Limits { warning: None, critical: None });
    let p95 = raw.p95.unwrap_or(Limits { warning: None, critical: None });
    Analysis {
        prometheus: raw.prometheus.clone(),
        window: or(raw.window, Duration::from_mins(5)),
        error_rate: Threshold {
            warning: error_rate.warning.map(|Percent(points)| points),
            critical: error_rate.critical.map_or(BasisPoints(500), |Percent(points)| points),
        },
        p95: Threshold {
            warning: p95.warning.map(|Span(duration)| duration),
            critical: or(p95.critical, Duration::from_secs(1)),
        },
        promql: raw
            .promql
            .iter()
            .flatten()
            .map(|raw| Query {
                name: raw.name.clone().unwrap_or_else(|| raw.query.clone()),
                query: raw.query.clone(),
            })
            .collect(),
    }
}

fn check(context: &mut Context<'_>, path: &str, raw: &RawCheck) -> Option<Check> {
    let kind = kind(context, path, raw)?;
    let expect = raw.expect.clone().unwrap_or_default();
    Some(Check {
        name: raw.name.clone().unwrap_or_else(|| title(&kind)),
        service: raw.service.clone(),
        kind,
        headers: raw.headers.as_ref().map(|headers| headers.0.clone()).unwrap_or_default(),
        expect: Expect {
            status: expect.status.map(|RawStatuses(statuses)| statuses),
            json: expect.json.unwrap_or_default(),
            html: expect.html.unwrap_or_default(),
            body: expect.body,
            schema: expect.schema.and_then(|file| in_project(context, &join(path, "expect.schema"), &file)),
            p95: expect.p95.map(|Span(duration)| duration),
            max_regress: expect.max_regress,
            errors: expect.errors.map(|Percent(points)| points),
            within: expect.within.map(|Span(duration)| duration),
            cookies: list(expect.cookies.as_ref()),
            bounds: expect.bounds,
        },
        retries: raw.retries,
        writes: raw.writes.unwrap_or(false),
        only_warns: raw.severity == Some(CheckSeverity::Warn),
        flaky_fails: raw.flaky == Some(Flaky::Fail),
        line: context.document.place(path).value.line,
    })
}

/// The one kind of an entry.
fn kind(context: &mut Context<'_>, path: &str, raw: &RawCheck) -> Option<CheckKind> {
    let others = [
        raw.ws.clone().map(CheckKind::Ws),
        raw.socketio.clone().map(|Brief(said)| CheckKind::SocketIo(socketio(said))),
        raw.tcp.clone().map(CheckKind::Tcp),
        raw.dns.as_ref().map(|Brief(wanted)| CheckKind::Dns(dns(context, path, wanted))),
        raw.tls.as_ref().map(|wanted| CheckKind::Tls(tls(wanted))),
        raw.redirect.clone().map(|url| CheckKind::Redirect { url, to: raw.to.clone() }),
        raw.metrics.clone().map(|path| {
            let (series, grows) = (list(raw.series.as_ref()), list(raw.grows.as_ref()));
            CheckKind::Metrics(Exposition { path, series, grows, by: raw.by.clone() })
        }),
        raw.alerts.as_ref().map(|raw| {
            CheckKind::Alerts(Alerts { jobs: list(raw.job.as_ref()), allow: list(raw.allow.as_ref()) })
        }),
        raw.page.clone().map(CheckKind::Page),
        raw.caching.clone().map(CheckKind::Caching),
        raw.compression.clone().map(CheckKind::Compression),
        raw.security_headers
            .clone()
            .map(|Brief(wanted)| CheckKind::SecurityHeaders(security_headers(wanted))),
        raw.cors.clone().map(|wanted| CheckKind::Cors(cors(wanted))),
        raw.promql.clone().map(CheckKind::Promql),
        raw.openapi
            .clone()
            .map(|file| CheckKind::Openapi(Openapi { file, send: plain_texts(raw.send.as_ref()) })),
        raw.rate_limit.clone().map(CheckKind::RateLimit),
        raw.run.clone().map(CheckKind::Run),
        raw.release.clone().map(|Brief(RawRunning { path, addresses })| {
            CheckKind::Release(Running { path, every_address: addresses.is_some() })
        }),
        raw.hurl.as_ref().map(|patterns| CheckKind::Hurl(list(Some(patterns)))),
    ];
    let kinds: Vec<CheckKind> = requests(raw).chain(others.into_iter().flatten()).collect();
    check_rules::one_kind(context, path, raw, &kinds);
    kinds.into_iter().next()
}

fn tls(raw: &RawTls) -> Tls {
    Tls {
        min_version: raw.min_version.map(|version| match version {
            RawTlsVersion::V1_2 => TlsVersion::V1_2,
            RawTlsVersion::V1_3 => TlsVersion::V1_3,
        }),
        expires_in: raw.expires_in.map(|Span(duration)| duration),
        hsts: raw.hsts.unwrap_or(false),
        ocsp_stapling: raw.ocsp_stapling.unwrap_or(false),
        http2: raw.http2.unwrap_or(false),
    }
}

fn cors(raw: RawCors) -> Cors {
    let RawCors { path, origin, method, credentials } = raw;
    let method = match method {
        Some(RawMethod::Get) | None => Method::Get,
        Some(RawMethod::Post) => Method::Post,
        Some(RawMethod::Put) => Method::Put,
        Some(RawMethod::Patch) => Method::Patch,
        Some(RawMethod::Delete) => Method::Delete,
    };
    Cors { path, origin, method, credentials: credentials.unwrap_or(false) }
}

fn socketio(raw: RawSocketIo) -> SocketIo {
    let RawSocketIo { path, namespace, auth, emit } = raw;
    SocketIo {
        path: path.unwrap_or_else(|| "/socket.io/".to_owned()),
        namespace: namespace.unwrap_or_else(|| "/".to_owned()),
        auth,
        emit: emit.unwrap_or_default(),
    }
}

fn security_headers(raw: RawSecurityHeaders) -> SecurityHeaders {
    let profile = match raw.profile {
        Some(RawProfile::Baseline) | None => Profile::Baseline,
        Some(RawProfile::Strict) => Profile::Strict,
        Some(RawProfile::Api) => Profile::Api,
    };
    SecurityHeaders { profile, paths: raw.paths.unwrap_or_default() }
}

fn requests(raw: &RawCheck) -> impl Iterator<Item = CheckKind> {
    let request = |method, url: &String| {
        let send = plain_texts(raw.send.as_ref());
        let captures =
            raw.capture.iter().flatten().map(|(name, raw)| (name.clone(), raw.0.clone())).collect();
        CheckKind::Http(Request { method, url: url.clone(), send, body: raw.body.clone(), captures })
    };
    Method::ALL.into_iter().filter_map(move |method| Some(request(method, raw.url_of(method)?)))
}

fn title(kind: &CheckKind) -> String {
    match kind {
        CheckKind::Tls(_) | CheckKind::SecurityHeaders(_) | CheckKind::Alerts(_) => kind.word().to_owned(),
        CheckKind::Http(Request { url: what, .. })
        | CheckKind::Ws(what)
        | CheckKind::SocketIo(SocketIo { path: what, .. })
        | CheckKind::Tcp(what)
        | CheckKind::Redirect { url: what, .. }
        | CheckKind::Metrics(Exposition { path: what, .. })
        | CheckKind::Page(what)
        | CheckKind::Caching(what)
        | CheckKind::Compression(what)
        | CheckKind::Cors(Cors { path: what, .. })
        | CheckKind::Promql(what)
        | CheckKind::Openapi(Openapi { file: what, .. })
        | CheckKind::RateLimit(what)
        | CheckKind::Run(what)
        | CheckKind::Release(Running { path: what, .. }) => format!("{} {what}", kind.word()),
        CheckKind::Dns(wanted) => match &wanted.name {
            Some(name) => format!("{} {name}", kind.word()),
            None => kind.word().to_owned(),
        },
        CheckKind::Hurl(patterns) => format!("{} {}", kind.word(), patterns.join(" ")),
    }
}
