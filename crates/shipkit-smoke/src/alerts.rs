//! `alerts`: what Prometheus says about itself, and which alerts a change is to blame for.

use std::collections::BTreeMap;
use std::time::Duration;

use shipkit_core::Outcome;
use shipkit_core::config::Alerts;
use shipkit_core::prometheus::{Rule, Sample, Target};

/// The series that Prometheus keeps of alerts while they fire ("Alerting rules", "Inspecting alerts during runtime").
pub(crate) const FIRING: &str = "ALERTS{alertstate=\"firing\"}";

/// What a deploy changes of an alert that fires on: where the thing runs.
const PLACES: [&str; 3] = ["instance", "pod", "node"];
/// How often Prometheus scrapes and evaluates if it does not say (the default of `scrape_interval`).
const INTERVAL: Duration = Duration::from_mins(1);
/// How many of one kind are named.
const NAMED: usize = 3;

/// What Prometheus said at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) rules: Vec<Rule>,
    pub(crate) targets: Vec<Target>,
    /// The alerts that fire.
    pub(crate) firing: Vec<Sample>,
    /// Those that fired before the change; `None` if nobody said when that was.
    pub(crate) before: Option<Vec<Sample>>,
}

impl State {
    /// What it means: rules are evaluated, the targets of the jobs are up, and no alert fires but those that may.
    pub(crate) fn judged(&self, wanted: &Alerts) -> Outcome {
        let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
        if self.rules.is_empty() {
            wrong.push("no rules are loaded, so no alert can fire".to_owned());
        }
        for Rule { group, name, health, error } in &self.rules {
            match health.as_str() {
                "ok" => {}
                "unknown" => unknown.push(format!("rule `{name}` of group `{group}` was not evaluated yet")),
                _ => wrong.push(format!("rule `{name}` of group `{group}` cannot be evaluated: {error}")),
            }
        }
        for job in &wanted.jobs {
            let targets: Vec<_> = self.of_job(job).collect();
            if targets.is_empty() {
                wrong.push(format!("job `{job}` has no targets"));
            }
            for Target { instance, health, error, .. } in targets {
                match health.as_str() {
                    "up" => {}
                    "unknown" => {
                        unknown.push(format!("target `{instance}` of job `{job}` was not scraped yet"));
                    }
                    _ => wrong.push(format!("target `{instance}` of job `{job}` is {health}: {error}")),
                }
            }
        }
        let (forgiven, blamed) = self.firing(wanted);
        let hint = match self.before {
            None if !blamed.is_empty() => ", and nothing says since when, so no alert is forgiven",
            None | Some(_) => "",
        };
        wrong.extend(blamed);
        if !wrong.is_empty() {
            return Outcome::fail(format!("{}{hint}", first(&wrong)));
        }
        if !unknown.is_empty() {
            return Outcome::inconclusive(first(&unknown));
        }
        let (rules, jobs) = (self.rules.len(), &wanted.jobs);
        let up: usize = jobs.iter().map(|job| self.of_job(job).count()).sum();
        let up = if jobs.is_empty() { String::new() } else { format!(", {up} targets are up") };
        let alerts = if forgiven.is_empty() { "no alert fires".to_owned() } else { first(&forgiven) };
        Outcome::pass(format!("{rules} rules are evaluated{up}, {alerts}"))
    }

    /// The alerts that fire: those that may, and those that may not.
    fn firing(&self, wanted: &Alerts) -> (Vec<String>, Vec<String>) {
        let before: Vec<_> = self.before.iter().flatten().map(identity).collect();
        let (mut forgiven, mut blamed) = (Vec::new(), Vec::new());
        for alert in &self.firing {
            let name = alert.labels.get("alertname").map(String::as_str).unwrap_or_default();
            if wanted.allow.iter().any(|allowed| allowed == name) {
                forgiven.push(format!("alert `{name}` fires, which is allowed"));
            } else if before.contains(&identity(alert)) {
                forgiven.push(format!("alert `{name}` fires as it did before"));
            } else {
                blamed.push(format!("alert `{name}` fires{}", labels(alert)));
            }
        }
        forgiven.dedup();
        (forgiven, blamed)
    }

    /// Whether something may be better after the next scrape or evaluation.
    pub(crate) fn is_on_its_way(&self, wanted: &Alerts) -> bool {
        let is_new = self.rules.iter().any(|rule| rule.health == "unknown");
        let is_up = |job: &String| self.of_job(job).all(|target| target.health == "up");
        let is_there = |job: &String| self.of_job(job).next().is_some();
        is_new || !wanted.jobs.iter().all(|job| is_there(job) && is_up(job))
    }

    /// How long after the beginning of a run that is waited for.
    pub(crate) fn patience(&self, wanted: &Alerts) -> Duration {
        let intervals = wanted.jobs.iter().flat_map(|job| self.of_job(job)).filter_map(|one| one.interval);
        intervals.max().unwrap_or(INTERVAL).saturating_mul(2)
    }

    fn of_job<'a>(&'a self, job: &'a str) -> impl Iterator<Item = &'a Target> {
        self.targets.iter().filter(move |target| target.job == job)
    }
}

/// The labels by which an alert is the same as before.
fn identity(alert: &Sample) -> BTreeMap<&str, &str> {
    let labels = alert.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    labels.filter(|(name, _)| !PLACES.contains(name)).collect()
}

/// What tells an alert from others of its name.
fn labels(alert: &Sample) -> String {
    let own = alert
        .labels
        .iter()
        .filter(|(name, _)| !["__name__", "alertname", "alertstate"].contains(&name.as_str()));
    let own: Vec<_> = own.map(|(name, value)| format!("{name}={value:?}")).collect();
    if own.is_empty() {
        String::new()
    } else {
        format!(" for `{{{}}}`", crate::judge::short(&own.join(", ")))
    }
}

/// The first of them, and how many more there are.
fn first(all: &[String]) -> String {
    let named: Vec<&str> = all.iter().take(NAMED).map(String::as_str).collect();
    let more = all.len() - named.len();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    format!("{}{more}", named.join("; "))
}

#[cfg(test)]
mod tests {
    use shipkit_core::Verdict;

    use super::*;

    fn rule(health: &str) -> Rule {
        let [group, name, health, error] = ["g", "R", health, "many-to-many"].map(str::to_owned);
        Rule { group, name, health, error }
    }

    fn target(health: &str) -> Target {
        let [job, instance, health, error] = ["api", "a:1", health, "refused"].map(str::to_owned);
        Target { job, instance, health, error, interval: Some(Duration::from_secs(15)) }
    }

    fn alert(labels: &[(&str, &str)]) -> Sample {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Sample { labels: labels.iter().map(own).collect(), value: 1.0 }
    }

    fn fine() -> State {
        State { rules: vec![rule("ok")], targets: vec![target("up")], ..State::default() }
    }

    fn api() -> Alerts {
        Alerts { jobs: vec!["api".to_owned()], allow: vec!["Quiet".to_owned()] }
    }

    #[track_caller]
    fn check(state: &State, verdict: Verdict, cause: &str) {
        assert_eq!(state.judged(&api()), Outcome { verdict, cause: cause.to_owned() });
    }

    #[test]
    fn rules_are_evaluated_and_targets_are_up() {
        check(&fine(), Verdict::Pass, "1 rules are evaluated, 1 targets are up, no alert fires");
        let unasked = fine().judged(&Alerts::default());
        assert_eq!(unasked, Outcome::pass("1 rules are evaluated, no alert fires"));
        let none = State { rules: Vec::new(), ..fine() };
        check(&none, Verdict::Fail, "no rules are loaded, so no alert can fire");
        let broken = State { rules: vec![rule("ok"), rule("err")], ..fine() };
        check(&broken, Verdict::Fail, "rule `R` of group `g` cannot be evaluated: many-to-many");
        let new = State { rules: vec![rule("unknown")], ..fine() };
        check(&new, Verdict::Inconclusive, "rule `R` of group `g` was not evaluated yet");
        let down = State { targets: vec![target("up"), target("down")], ..fine() };
        check(&down, Verdict::Fail, "target `a:1` of job `api` is down: refused");
        let new = State { targets: vec![target("unknown")], ..fine() };
        check(&new, Verdict::Inconclusive, "target `a:1` of job `api` was not scraped yet");
        let other = State { targets: vec![Target { job: "web".to_owned(), ..target("up") }], ..fine() };
        check(&other, Verdict::Fail, "job `api` has no targets");
    }

    #[test]
    fn only_what_the_next_scrape_may_mend_is_waited_for() {
        let is_on_its_way = |state: &State| state.is_on_its_way(&api());
        assert!(!is_on_its_way(&fine()));
        assert!(!is_on_its_way(&State { rules: vec![rule("err")], ..fine() }));
        assert!(!is_on_its_way(&State { firing: vec![alert(&[("alertname", "A")])], ..fine() }));
        assert!(is_on_its_way(&State { rules: vec![rule("unknown")], ..fine() }));
        assert!(is_on_its_way(&State { targets: Vec::new(), ..fine() }));
        for health in ["unknown", "down"] {
            assert!(
                is_on_its_way(&State { targets: vec![target("up"), target(health)], ..fine() }),
                "{health}"
            );
        }
        assert_eq!(fine().patience(&api()), Duration::from_secs(30));
        assert_eq!(fine().patience(&Alerts::default()), Duration::from_mins(2));
    }

    #[test]
    fn an_alert_is_forgiven_if_it_may_fire_or_did_before() {
        let fires = |before: Option<Sample>, now: Sample| State {
            firing: vec![now],
            before: Some(before.into_iter().collect()),
            ..fine()
        };
        let of = |pod: &str, code: &str| alert(&[("alertname", "A"), ("pod", pod), ("code", code)]);
        let part = "1 rules are evaluated, 1 targets are up, alert `A` fires as it did before";
        check(&fires(Some(of("x-1", "500")), of("x-2", "500")), Verdict::Pass, part);
        let part = "alert `A` fires for `{code=\"503\", pod=\"x-1\"}`";
        check(&fires(Some(of("x-1", "500")), of("x-1", "503")), Verdict::Fail, part);
        check(&fires(None, of("x-1", "503")), Verdict::Fail, part);
        let part = "1 rules are evaluated, 1 targets are up, alert `Quiet` fires, which is allowed";
        check(&fires(None, alert(&[("alertname", "Quiet")])), Verdict::Pass, part);
        let unknown = State { before: None, ..fires(None, alert(&[("alertname", "B")])) };
        check(
            &unknown,
            Verdict::Fail,
            "alert `B` fires, and nothing says since when, so no alert is forgiven",
        );
        let named = |name: &str| alert(&[("alertname", name)]);
        let many = State { firing: ["B", "C", "D", "E", "F"].map(named).to_vec(), ..fires(None, named("A")) };
        check(&many, Verdict::Fail, "alert `B` fires; alert `C` fires; alert `D` fires; and 2 more");
    }
}
