//! What is known about an image, and the policy that judges it into a verdict.

pub mod advice;
pub mod baseline;
pub mod bill;
pub mod budget;
pub mod build;
mod cyclonedx;
mod decision;
pub mod exploits;
pub mod finding;
pub mod grace;
pub mod ignore;
pub mod packages;
pub mod purl;
pub mod report;
pub mod size;
pub mod standing;
mod support;
pub mod traces;
pub mod vex;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use advice::{Advice, Deed, Upgrade, advice};
pub use baseline::{Baseline, Compared};
pub use bill::Bill;
pub use budget::Budget;
pub use build::{Base, Build, Whence};
pub use decision::Decision;
pub use exploits::{Catalog, Exploited, Exploits};
pub use finding::{Finding, Severity};
pub use grace::Grace;
pub use ignore::Ignore;
use jiff::civil::Date;
pub use packages::judge_packages;
pub use report::Report;
pub use size::human;
pub use standing::Standing;
pub use support::{EndOfLife, Support};
pub use traces::{Cache, Leak, Origin, Place, Port, Traces, Wasted};
pub use vex::Vex;

use crate::verdict::{Outcome, Verdict};

/// What the registry says about the image of one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// `linux/amd64`.
    pub platform: String,
    /// `config.User` of the image; empty means root.
    pub user: String,
    /// Whether the image states a health check other than `NONE`.
    pub has_healthcheck: bool,
    /// `config.Labels`.
    pub labels: BTreeMap<String, String>,
    /// `config.ExposedPorts`.
    pub ports: Vec<Port>,
    /// What the steps of its build left in it.
    pub traces: Traces,
    /// Bytes of all layers as the registry stores them: what a pull moves.
    pub compressed: u64,
    /// Bytes of all layers unpacked: what the disk holds. Tar framing included, files hidden by later layers too.
    pub unpacked: u64,
    /// How many layers it has.
    pub layers: u64,
    /// Until when there are fixes for its distribution, and for runtimes that are not of it.
    pub support: Vec<Support>,
}

/// A rule about the image itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageRule {
    /// It does not run as root.
    NonRoot,
    /// It says how to tell that it is healthy.
    Healthcheck,
    /// Its base, where a label names it, is not `latest`.
    PinnedBase,
    /// No secret is in its settings, its history or any of its layers.
    NoSecrets,
    /// Only packages of the system bring files with setuid or setgid.
    NoSetuid,
    /// No cache of a package manager is left.
    NoPackageCache,
    /// It exposes no port of administrators, and none but that of the service.
    ExposedPorts,
    /// There are fixes for its distribution and its runtimes still.
    Supported,
}

/// What is done with findings whose severity nobody has told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownSeverity {
    /// They do not fail.
    #[default]
    Pass,
    /// They fail, as those of the severity that fails do.
    Fail,
}

/// What is known of the vulnerabilities of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vulnerabilities {
    /// What was found.
    pub findings: Vec<Finding>,
    /// What could not be told, a clause each: where there is one, nobody knows that there is no more than what was found.
    pub doubts: Vec<String>,
}

/// What an image must fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Rules about the image.
    pub rules: Vec<ImageRule>,
    /// The port that the service listens on, where that is known.
    pub port: Option<u16>,
    /// How large it may be.
    pub budget: Budget,
    /// Findings of this severity and above fail.
    pub severity: Severity,
    /// What is done with those of unknown severity.
    pub unknown: UnknownSeverity,
    /// How long they may be known before they fail.
    pub grace: Grace,
    /// Those that fail whatever their severity, and at once.
    pub exploits: Arc<Exploits>,
    /// Whether findings without a fix are left out.
    pub ignore_unfixed: bool,
    /// Findings that are accepted.
    pub ignores: Vec<Ignore>,
    /// By which the last days of those are over or not.
    pub today: Date,
    /// What others say of findings.
    pub vex: Vex,
}

/// How many days are named on which findings begin to fail.
const DAYS: usize = 3;

/// What judging gave: every rule with its outcome, in a stable order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Verdict and one sentence.
    pub outcome: Outcome,
    /// Each rule by its word.
    pub rules: Vec<(&'static str, Outcome)>,
    /// The findings that fail, worst first.
    pub blocking: Vec<Finding>,
    /// Those that do not fail yet, with the first day on which they do, the earliest first.
    pub waiting: Vec<(Date, Finding)>,
    /// What became of the findings of the baseline, where there is one.
    pub compared: Option<Compared>,
}

impl Policy {
    /// Whether a finding may stay today.
    fn accepts(&self, finding: &Finding) -> bool {
        self.ignores.iter().any(|ignore| ignore.is_about(finding) && !ignore.is_over(self.today))
    }
}

impl ImageRule {
    /// The word in `shipkit.yml`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NonRoot => "non-root",
            Self::Healthcheck => "healthcheck",
            Self::PinnedBase => "pinned-base",
            Self::NoSecrets => "no-secrets",
            Self::NoSetuid => "no-setuid",
            Self::NoPackageCache => "no-package-cache",
            Self::ExposedPorts => "exposed-ports",
            Self::Supported => "supported",
        }
    }
}

/// Judges one image: its own rules, its size, and its vulnerabilities (`None`: nobody looked for any). With a baseline, those that
/// it had already do not fail.
#[must_use]
pub fn judge(
    facts: &ImageFacts,
    known: Option<&Vulnerabilities>,
    baseline: Option<&Baseline>,
    policy: &Policy,
) -> Judgement {
    let mut rules: Vec<_> =
        policy.rules.iter().map(|rule| (rule.word(), judge_rule(*rule, facts, policy))).collect();
    rules.push(("size", budget::size(facts, &policy.budget)));
    rules.extend(policy.budget.growth.map(|limit| ("growth", budget::growth(facts, baseline, limit))));
    rules.extend(policy.budget.wasted.map(|limit| ("wasted", budget::wasted(facts, limit))));
    rules.extend(policy.budget.layers.map(|limit| ("layers", budget::layers(facts, limit))));
    let findings = known.map(|known| &known.findings[..]).unwrap_or_default();
    let compared = baseline.map(|baseline| baseline.compare(findings));
    let (blocking, waiting) =
        decision::sorted(compared.as_ref().map_or(findings, |compared| &compared.new), policy);
    let outcome = judge_vulnerabilities(known, &blocking, compared.as_ref(), policy);
    rules.push(("vulnerabilities", outcome));
    if policy.grace.is_given() {
        rules.push(("grace", judge_grace(known, &blocking, &waiting, policy)));
    }
    if let Some(what) = policy.exploits.what() {
        rules.push(("exploits", judge_exploits(known, &blocking, &what, policy)));
    }
    if !policy.ignores.is_empty() {
        rules.push(("ignores", judge_ignores(known, policy)));
    }
    if !policy.vex.documents.is_empty() {
        rules.push(("vex", judge_vex(known, &policy.vex)));
    }
    let verdict = Verdict::of_all(rules.iter().map(|(_, outcome)| outcome.verdict));
    let decisive = rules.iter().filter(|(_, outcome)| outcome.verdict == verdict);
    let cause = match verdict {
        Verdict::Pass | Verdict::Skipped => {
            format!("{} compressed, {} unpacked", human(facts.compressed), human(facts.unpacked))
        }
        Verdict::Fail | Verdict::Inconclusive | Verdict::Unreachable => {
            decisive.map(|(_, outcome)| outcome.cause.as_str()).collect::<Vec<_>>().join("; ")
        }
    };
    Judgement { outcome: Outcome { verdict, cause }, rules, blocking, waiting, compared }
}

fn judge_rule(rule: ImageRule, facts: &ImageFacts, policy: &Policy) -> Outcome {
    match rule {
        ImageRule::NonRoot => {
            // `User` is `name|uid[:group]`; the group does not make it root.
            let user = facts.user.split(':').next().unwrap_or_default();
            // A runtime reads a number as one: `00` is root too.
            if matches!(user, "" | "root") || user.parse() == Ok(0_i64) {
                Outcome::fail("it runs as root: add `USER` with another user to its Dockerfile")
            } else {
                Outcome::pass(format!("runs as `{user}`"))
            }
        }
        ImageRule::Healthcheck if facts.has_healthcheck => Outcome::pass("has a health check"),
        ImageRule::Healthcheck => {
            Outcome::fail("it has no `HEALTHCHECK`: nothing could tell that it is ready")
        }
        ImageRule::PinnedBase => match facts.labels.get("org.opencontainers.image.base.name") {
            Some(base) if is_latest(base) => {
                Outcome::fail(format!("its base `{base}` is `latest`: pin a version or a digest"))
            }
            Some(base) => Outcome::pass(format!("base `{base}`")),
            None => Outcome::pass("no label names its base"),
        },
        ImageRule::NoSecrets => traces::secrets(&facts.traces),
        ImageRule::NoSetuid => traces::setuid(&facts.traces),
        ImageRule::NoPackageCache => traces::caches(&facts.traces),
        ImageRule::ExposedPorts => traces::ports(&facts.ports, policy.port),
        ImageRule::Supported => support::judge(&facts.support, policy.today),
    }
}

/// Whether a reference means `latest`: it says so, or has neither tag nor digest. `scratch` is no image.
fn is_latest(reference: &str) -> bool {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if reference == "scratch" || name.contains('@') {
        return false;
    }
    name.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn judge_vulnerabilities(
    known: Option<&Vulnerabilities>,
    blocking: &[Finding],
    compared: Option<&Compared>,
    policy: &Policy,
) -> Outcome {
    let Some(Vulnerabilities { findings, doubts }) = known else {
        return Outcome::skipped("neither advisories nor the report of a scanner were given");
    };
    if let Some(worst) = blocking.first() {
        let since = compared.map(Compared::since).unwrap_or_default();
        return Outcome::fail(format!("{}{since}", blocked(worst, blocking, policy)));
    }
    let unknown = findings.iter().filter(|finding| finding.severity == Severity::Unknown).count();
    let accepted = match findings.iter().filter(|finding| policy.accepts(finding)).count() {
        0 => String::new(),
        count => format!(", {count} accepted"),
    };
    let old = compared.map(Compared::before).unwrap_or_default();
    let found =
        format!("{} findings, none blocks, {unknown} of unknown severity{accepted}{old}", findings.len());
    match &doubts[..] {
        [] => Outcome::pass(found),
        [doubt] => Outcome::inconclusive(format!(
            "it cannot be told how many vulnerabilities it has: {doubt} ({found})"
        )),
        [doubt, more @ ..] => Outcome::inconclusive(format!(
            "it cannot be told how many vulnerabilities it has: {doubt}, and {} more ({found})",
            more.len()
        )),
    }
}

/// One that is over has to go or to be renewed; one about nothing may go.
fn judge_ignores(known: Option<&Vulnerabilities>, policy: &Policy) -> Outcome {
    let over: Vec<_> =
        policy.ignores.iter().filter(|one| one.is_over(policy.today)).map(Ignore::ended).collect();
    if !over.is_empty() {
        return Outcome::fail(over.join("; "));
    }
    let Some(known) = known else {
        return Outcome::skipped("nobody looked for what they are about");
    };
    let is_unused = |one: &&Ignore| !known.findings.iter().any(|finding| one.is_about(finding));
    let unused: Vec<_> = policy.ignores.iter().filter(is_unused).map(Ignore::what).collect();
    let used = policy.ignores.len().saturating_sub(unused.len());
    if unused.is_empty() {
        return Outcome::pass(format!("all {used} are needed"));
    }
    Outcome::pass(format!("{used} needed here, and {} not: {}", unused.len(), unused.join(", ")))
}

/// How many findings statements take out, which is no reason to fail.
fn judge_vex(known: Option<&Vulnerabilities>, vex: &Vex) -> Outcome {
    known.map_or_else(
        || Outcome::skipped("nobody looked for what they are about"),
        |known| Outcome::pass(vex.said(&known.findings)),
    )
}

/// From which day on what does not fail yet does, which is no reason to fail.
fn judge_grace(
    known: Option<&Vulnerabilities>,
    blocking: &[Finding],
    waiting: &[(Date, Finding)],
    policy: &Policy,
) -> Outcome {
    if known.is_none() {
        return Outcome::skipped("nobody looked for what has days");
    }
    let mut days: BTreeMap<Date, usize> = BTreeMap::new();
    for (end, _) in waiting {
        let count = days.entry(*end).or_default();
        *count = count.saturating_add(1);
    }
    let told = days.iter().take(DAYS).map(|(end, count)| format!("{count} findings block from {end} on"));
    let later: usize = days.values().skip(DAYS).sum();
    let later = (0 < later).then(|| format!("{later} later"));
    let told: Vec<_> = told.chain(later).collect();
    let said = if told.is_empty() { "no finding has days left".to_owned() } else { told.join(", ") };
    let is_lost = |one: &&Finding| {
        one.exploited.is_none() && !one.is_malware && policy.grace.is_lost_on(one, policy.today)
    };
    match blocking.iter().filter(is_lost).count() {
        0 => Outcome::pass(said),
        count => {
            Outcome::pass(format!("{said}; {count} have no days, as nobody tells when they became known"))
        }
    }
}

/// How many findings are on the lists, which is no reason to fail beside the findings themselves.
fn judge_exploits(
    known: Option<&Vulnerabilities>,
    blocking: &[Finding],
    what: &str,
    policy: &Policy,
) -> Outcome {
    let Some(known) = known else {
        return Outcome::skipped("nobody looked for what they are about");
    };
    let listed = known.findings.iter().filter(|one| policy.exploits.of(one).is_some()).count();
    let failing = blocking.iter().filter(|one| one.exploited.is_some()).count();
    Outcome::pass(format!("{listed} findings listed, {failing} of them fail ({what})"))
}

/// How many findings fail, and the worst of them.
fn blocked(worst: &Finding, blocking: &[Finding], policy: &Policy) -> String {
    let (Finding { id, fixed_in, is_malware, .. }, what) = (worst, worst.what());
    if *is_malware {
        return format!("{what} is malware ({id}): take it out, and change the secrets that it could read");
    }
    let (fix, count) = (
        fixed_in.as_deref().map(|version| format!(", fixed in {version}")).unwrap_or_default(),
        blocking.len(),
    );
    if let Some(exploited) = worst.exploited {
        return format!("{count} findings, first {id} in {what}, {}{fix}", exploited.words());
    }
    let has_unknown = blocking.iter().any(|one| one.severity == Severity::Unknown);
    let unknown = if has_unknown { " or of unknown severity" } else { "" };
    format!("{count} findings of {} and above{unknown}, first {id} in {what}{fix}", policy.severity.word())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn good() -> ImageFacts {
        ImageFacts {
            platform: "linux/amd64".to_owned(),
            user: "app:app".to_owned(),
            has_healthcheck: true,
            labels: label("debian:bookworm"),
            ports: vec![Port("8080/tcp".to_owned())],
            traces: Traces::default(),
            compressed: 10_000_000,
            unpacked: 30_000_000,
            layers: 30,
            support: Vec::new(),
        }
    }

    fn label(base: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("org.opencontainers.image.base.name".to_owned(), base.to_owned())])
    }

    fn policy() -> Policy {
        Policy {
            rules: vec![
                ImageRule::NonRoot,
                ImageRule::Healthcheck,
                ImageRule::PinnedBase,
                ImageRule::NoSecrets,
                ImageRule::NoSetuid,
                ImageRule::NoPackageCache,
                ImageRule::ExposedPorts,
            ],
            port: Some(8080),
            budget: Budget {
                unpacked: Some(30_000_000),
                wasted: Some(1_000),
                layers: Some(30),
                ..Budget::default()
            },
            severity: Severity::High,
            unknown: UnknownSeverity::Pass,
            grace: Grace::default(),
            exploits: Arc::default(),
            ignore_unfixed: true,
            ignores: Vec::new(),
            today: date(2026, 5, 6),
            vex: Vex::default(),
        }
    }

    fn finding(severity: Severity, fixed_in: Option<&str>) -> Finding {
        Finding {
            id: "CVE-2026-1".to_owned(),
            aliases: vec!["GHSA-1".to_owned()],
            package: "zlib".to_owned(),
            version: "1.2".to_owned(),
            purl: None,
            built: Vec::new(),
            severity,
            fixed_in: fixed_in.map(str::to_owned),
            is_malware: false,
            ..Finding::default()
        }
    }

    fn known(findings: &[Finding]) -> Vulnerabilities {
        Vulnerabilities { findings: findings.to_vec(), doubts: Vec::new() }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut ImageFacts), failing: &str) {
        let mut facts = good();
        change(&mut facts);
        let judgement = judge(&facts, None, None, &policy());
        let fails = judgement.rules.iter().filter(|(_, outcome)| outcome.verdict == Verdict::Fail);
        assert_eq!(fails.map(|(word, _)| *word).collect::<Vec<_>>().join(","), failing);
        assert_eq!(judgement.outcome.verdict, if failing.is_empty() { Verdict::Pass } else { Verdict::Fail });
    }

    #[test]
    fn each_rule_fails_for_its_own_reason() {
        check(|_| (), "");
        for root in ["", "root", "0", "00", "+0", "0:1000", "root:app", ":app"] {
            check(|facts| facts.user = root.to_owned(), "non-root");
        }
        check(|facts| facts.has_healthcheck = false, "healthcheck");
        check(|facts| facts.unpacked += 1, "size");
        check(|facts| facts.traces.wasted = 1_001, "wasted");
        check(|facts| facts.layers += 1, "layers");
        for base in ["debian", "debian:latest", "localhost:5000/debian", "ghcr.io/a/b:latest"] {
            check(|facts| facts.labels = label(base), "pinned-base");
        }
        for base in ["scratch", "localhost:5000/debian:12", "debian@sha256:ab", "debian:latest@sha256:ab"] {
            check(|facts| facts.labels = label(base), "");
        }
        let leak = Leak { what: "a token", place: Place::Variable("X".to_owned()) };
        check(|facts| facts.traces.leaks.push(leak), "no-secrets");
        check(|facts| facts.traces.setuid.push("app/x".to_owned()), "no-setuid");
        let cache = Cache { of: "apt", path: "var/lib/apt/lists".to_owned(), bytes: 1 };
        check(|facts| facts.traces.caches.push(cache), "no-package-cache");
        check(|facts| facts.ports.push(Port("8081/tcp".to_owned())), "exposed-ports");
    }

    #[test]
    fn a_finding_blocks_by_severity_and_only_if_it_can_be_fixed() {
        let verdict = |finding| judge(&good(), Some(&known(&[finding])), None, &policy()).outcome.verdict;
        assert_eq!(verdict(finding(Severity::High, Some("1.3"))), Verdict::Fail);
        assert_eq!(verdict(finding(Severity::Critical, Some("1.3"))), Verdict::Fail);
        assert_eq!(verdict(finding(Severity::Critical, None)), Verdict::Pass);
        assert_eq!(verdict(finding(Severity::Medium, Some("1.3"))), Verdict::Pass);
        assert_eq!(verdict(finding(Severity::Unknown, Some("1.3"))), Verdict::Pass);
    }

    #[test]
    fn the_sentence_counts_and_names_the_worst() {
        let findings = [finding(Severity::High, Some("1.3")), finding(Severity::Critical, Some("1.4"))];
        let judgement = judge(&good(), Some(&known(&findings)), None, &policy());
        assert_eq!(judgement.blocking.len(), 2);
        assert_eq!(
            judgement.outcome.cause,
            "2 findings of HIGH and above, first CVE-2026-1 in zlib 1.2, fixed in 1.4"
        );
    }

    #[test]
    fn malware_blocks_whatever_the_policy_leaves_out() {
        let malware =
            Finding { id: "MAL-2026-1".to_owned(), is_malware: true, ..finding(Severity::Unknown, None) };
        let judgement =
            judge(&good(), Some(&known(&[finding(Severity::Critical, Some("2")), malware])), None, &policy());
        assert_eq!(judgement.blocking.len(), 2);
        assert_eq!(
            judgement.outcome,
            Outcome::fail(
                "zlib 1.2 is malware (MAL-2026-1): take it out, and change the secrets that it could read"
            )
        );
    }

    #[test]
    fn what_cannot_be_told_is_no_pass_and_hides_no_failure() {
        let outcome = |severity, doubts: &[&str]| {
            let doubts = doubts.iter().map(|&doubt| doubt.to_owned()).collect();
            let known = Vulnerabilities { findings: vec![finding(severity, Some("1.3"))], doubts };
            judge(&good(), Some(&known), None, &policy()).outcome
        };
        let cause = "it cannot be told how many vulnerabilities it has: x is damaged, and 1 more (1 findings, none blocks, 0 of unknown severity)";
        assert_eq!(outcome(Severity::Low, &["x is damaged", "y"]), Outcome::inconclusive(cause));
        assert_eq!(outcome(Severity::Low, &["x"]).verdict, Verdict::Inconclusive);
        assert_eq!(outcome(Severity::High, &["x"]).verdict, Verdict::Fail);
    }

    fn ignore(id: &str, package: Option<&str>, until: Date) -> Ignore {
        let (package, owner) = (package.map(str::to_owned), Some("team-api".to_owned()));
        Ignore { id: id.to_owned(), package, reason: "it is never called".to_owned(), owner, until }
    }

    /// What is said of a finding that blocks, and of the ignores.
    fn ignored(ignores: Vec<Ignore>, finding: Finding) -> (Verdict, Outcome) {
        let policy = Policy { ignores, ..policy() };
        let mut judgement = judge(&good(), Some(&known(&[finding])), None, &policy);
        let (word, said) = judgement.rules.pop().unwrap();
        assert_eq!(word, "ignores");
        (judgement.rules.pop().unwrap().1.verdict, said)
    }

    #[test]
    fn what_is_accepted_blocks_again_after_its_last_day() {
        let (today, high) = (policy().today, || finding(Severity::High, Some("1.3")));
        let needed = Outcome::pass("all 1 are needed");
        for (id, package) in [("CVE-2026-1", None), ("GHSA-1", None), ("CVE-2026-1", Some("zlib"))] {
            assert_eq!(ignored(vec![ignore(id, package, today)], high()), (Verdict::Pass, needed.clone()));
        }
        let ended = "CVE-2026-1 was accepted until 2026-05-05 (it is never called; ask team-api)";
        let over = ignored(vec![ignore("CVE-2026-1", None, date(2026, 5, 5))], high());
        assert_eq!(over, (Verdict::Fail, Outcome::fail(ended)));
    }

    #[test]
    fn what_is_not_about_a_finding_is_told_and_hides_nothing() {
        let (today, high) = (policy().today, || finding(Severity::High, Some("1.3")));
        for (id, package, said) in [
            ("CVE-2026-1", Some("zlib1g"), "CVE-2026-1 in zlib1g"),
            ("CVE-2026-10", None, "CVE-2026-10"),
            ("CVE-2026", None, "CVE-2026"),
        ] {
            let unused = Outcome::pass(format!("0 needed here, and 1 not: {said}"));
            assert_eq!(ignored(vec![ignore(id, package, today)], high()), (Verdict::Fail, unused));
        }
        let malware = Finding { is_malware: true, ..high() };
        assert_eq!(ignored(vec![ignore("CVE-2026-1", None, today)], malware).0, Verdict::Fail);
    }

    #[test]
    fn what_a_statement_takes_out_does_not_block_and_is_told() {
        let statement = r#"{"@context": "https://openvex.dev/ns/v0.2.0", "timestamp": "2026-01-01T00:00:00Z", "statements": [
            {"vulnerability": {"name": "GHSA-1"}, "products": ["pkg:deb/debian/zlib"], "status": "fixed"}]}"#;
        let document = vex::Document::parse("vex.json", statement.as_bytes()).unwrap();
        let policy = Policy { vex: Vex { documents: vec![document], image: Vec::new() }, ..policy() };
        let high = |name: &str| Finding {
            purl: Some(format!("pkg:deb/debian/{name}@1.2")),
            ..finding(Severity::High, Some("1.3"))
        };
        let said = |known: Option<&Vulnerabilities>| {
            let judgement = judge(&good(), known, None, &policy);
            (judgement.blocking.len(), judgement.rules.last().cloned().unwrap())
        };
        let told =
            |count: u8| ("vex", Outcome::pass(format!("{count} findings taken out: {count} by vex.json")));
        assert_eq!(said(Some(&known(&[high("zlib"), high("curl")]))), (1, told(1)));
        assert_eq!(said(Some(&known(&[high("curl")]))), (1, told(0)));
        let malware = Finding { is_malware: true, ..high("zlib") };
        assert_eq!(said(Some(&known(&[malware]))), (1, told(0)));
        assert_eq!(said(None).1.1.verdict, Verdict::Skipped);
    }

    #[test]
    fn an_image_whose_vulnerabilities_nobody_looked_for_says_so() {
        let judgement = judge(&good(), None, None, &policy());
        let (_, outcome) = judgement.rules.last().unwrap();
        assert_eq!(outcome, &Outcome::skipped("neither advisories nor the report of a scanner were given"));
    }
}
