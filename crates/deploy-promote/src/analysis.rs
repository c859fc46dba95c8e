//! What an environment's `analysis` asks Prometheus: before a deploy whether it answers, and afterwards whether what was
//! shifted may stay.

use std::time::Duration;

use serde_json::{Value, json};
use shipkit_core::analysis::{Answer, Metrics, Next, Reading, Share, Times, next, outcome, progress};
use shipkit_core::config::{Analysis, CheckKind, Environment};
use shipkit_core::prometheus::{PrometheusError, Samples, ServiceAddress};
use shipkit_core::verdict::Outcome;
use shipkit_kubernetes::Cluster;
use shipkit_runner::{Failure, Runner};
use shipkit_smoke::Prometheus;
use tokio::time::{Instant, sleep};

use crate::candidate::Candidate;
use crate::deploy::warn;
use crate::problems::Problems;
use crate::target::Target;

/// Where Prometheus is.
enum Source<'a> {
    /// At an address.
    Address(Box<Prometheus>),
    /// In the cluster that the target is in.
    Service(&'a Cluster, ServiceAddress),
}

impl<'a> Source<'a> {
    fn of(analysis: &Analysis, target: Option<&'a Target>) -> Result<Self, Failure> {
        match (analysis.prometheus.parse::<ServiceAddress>(), target) {
            (Ok(service), Some(Target::Cluster(cluster))) => Ok(Self::Service(cluster, service)),
            // A service elsewhere was refused with the configuration.
            (Ok(_) | Err(_), _) => Ok(Self::Address(Box::new(Prometheus::new(&analysis.prometheus)?))),
        }
    }

    async fn ask(&self, query: &str) -> Result<Samples, PrometheusError> {
        match self {
            Self::Address(prometheus) => prometheus.ask(query).await,
            Self::Service(cluster, service) => cluster.prometheus(service, query).await,
        }
    }
}

/// Finds out before anything changes whether Prometheus answers, and can make sense of every query.
pub(crate) async fn check(
    environment: &Environment,
    target: Option<&Target>,
    problems: &mut Problems,
    runner: &Runner,
) {
    let Some(analysis) = &environment.analysis else { return };
    let Some(source) = problems.note(Source::of(analysis, target)) else { return };
    if let Source::Service(cluster, service) = &source
        && problems.note(cluster.may_ask(service).await).is_none()
    {
        return;
    }
    if problems.note(source.ask("vector(1)").await).is_none() {
        return;
    }
    let own = analysis.promql.iter().map(|query| (&query.name, &query.query));
    let checks = environment.smoke.iter().filter_map(|check| {
        if let CheckKind::Promql(query) = &check.kind { Some((&check.name, query)) } else { None }
    });
    for (name, query) in own.chain(checks) {
        let answer = problems.note(source.ask(query).await);
        for warning in answer.into_iter().flat_map(|answer| answer.warnings) {
            warn(runner, "analysis", &format!("Prometheus says of `{name}`: {warning}"));
        }
    }
}

/// Measures for `window` what the environment's `analysis` asks about, beginning now, and judges it. Gives what came of it and
/// the numbers for evidence; `None` where the environment has no analysis.
pub(crate) async fn analyse(
    candidate: &Candidate<'_>,
    target: &Target,
    window: Duration,
    runner: &Runner,
) -> Option<(Outcome, Value)> {
    analyse_from_here(candidate, Some(target), window, runner).await
}

/// As [`analyse`], where there may be no target but commands.
pub(crate) async fn analyse_from_here(
    candidate: &Candidate<'_>,
    target: Option<&Target>,
    window: Duration,
    runner: &Runner,
) -> Option<(Outcome, Value)> {
    let analysis = candidate.project.environment.analysis.as_ref()?;
    let source = match Source::of(analysis, target) {
        Ok(source) => source,
        Err(failure) => return Some((Outcome::inconclusive(failure.sentence()), Value::Null)),
    };
    let namespace = match target {
        Some(Target::Cluster(cluster)) => Some(cluster.namespace()),
        Some(Target::Swarm { .. } | Target::Compose { .. }) | None => None,
    };
    let began = Instant::now();
    let mut readings = Vec::new();
    let findings = loop {
        match next(analysis, window, began.elapsed(), &readings) {
            Next::Done(findings) => break findings,
            Next::Wait(wait) => sleep(wait).await,
        }
        let reading = read(&source, analysis, namespace, began.elapsed()).await;
        runner.say(&format!("analysis: {}", progress(analysis, &reading)));
        readings.push(reading);
    };
    let found = outcome(&findings, began.elapsed());
    let details = json!({"windowMs": began.elapsed().as_millis(), "metrics": findings});
    let found = Outcome { cause: candidate.project.redact(&found.cause), ..found };
    Some((found, candidate.project.redact_all(details)))
}

/// Asks for all that happened within `since`.
async fn read(source: &Source<'_>, analysis: &Analysis, namespace: Option<&str>, since: Duration) -> Reading {
    let mut queries = Vec::new();
    for query in &analysis.promql {
        queries.push(source.ask(&query.query).await.map_or_else(Answer::from, Answer::Given));
    }
    // New instances may tell of metrics that no old one had.
    let metrics = match source.ask(&Metrics::question()).await {
        Ok(found) => Metrics::of(&found, namespace),
        Err(error) => return Reading { errors: error.clone().into(), times: error.into(), queries },
    };
    Reading {
        errors: errors(source, &metrics, since).await,
        times: times(source, &metrics, since).await,
        queries,
    }
}

async fn errors(source: &Source<'_>, metrics: &Metrics, since: Duration) -> Answer<Share> {
    let (query, label) = match metrics.requests(since) {
        Ok(asked) => asked,
        Err(why) => return Answer::Nothing(why),
    };
    match source.ask(&query).await {
        Ok(answer) => Share::of(&answer, label).map_or_else(nothing, Answer::Given),
        Err(error) => error.into(),
    }
}

async fn times(source: &Source<'_>, metrics: &Metrics, since: Duration) -> Answer<Times> {
    let query = match metrics.times(since) {
        Ok(query) => query,
        Err(why) => return Answer::Nothing(why),
    };
    match source.ask(&query).await {
        Ok(answer) => Times::of(&answer).map_or_else(nothing, Answer::Given),
        Err(error) => error.into(),
    }
}

/// A counter has to be scraped twice before it is known to grow.
fn nothing<T>() -> Answer<T> {
    Answer::Nothing("Prometheus has measured no request since the release serves".to_owned())
}
