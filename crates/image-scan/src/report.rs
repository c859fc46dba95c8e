//! What `image-scan` tells people and machines.

mod found;
mod junit;
mod page;
mod sarif;
mod shown;
mod todo;
mod written;

use std::fmt::Write as _;

pub(crate) use found::Found;
use serde::Serialize;
use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_core::policy::{Build, Compared, Exploited, Finding, Judgement, Leak, Origin, Place, Traces};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_runner::markdown::text as escape;
use shipkit_runner::{Failure, Runner, sanitize};
use todo::todo;
pub(crate) use written::Wanted;

use crate::inventory::{Inventory, Package};
use crate::listed::Listing;
use crate::places::Places;
use crate::support::EndOfLife;

/// How many blocking findings a report lists; all of them are in the evidence.
const LISTED: usize = 50;

/// How many findings the sentence about a change names.
const CHANGED: usize = 5;

/// How many things to do are told of an image.
const DEEDS: usize = 10;

/// One image of one platform, judged.
pub(crate) struct Judged {
    /// The service, or the image's name.
    pub(crate) name: String,
    /// Its manifest.
    pub(crate) digest: Digest,
    /// `linux/amd64`; of packages that are in no image, how they are listed.
    pub(crate) platform: String,
    /// What judging gave.
    pub(crate) judgement: Judgement,
    /// What the steps of its build left in it.
    pub(crate) traces: Traces,
    /// Its packages.
    pub(crate) inventory: Inventory,
    /// What in it has had no fixes for a while.
    pub(crate) ended: Vec<EndOfLife>,
    /// What it was made of.
    pub(crate) build: Build,
    /// What was found, the worst first; none where nobody looked.
    pub(crate) findings: Option<Vec<Found>>,
    /// Where the packages are listed, if they are in no image.
    pub(crate) listing: Option<Listing>,
}

/// Shows what was judged: outputs, summary, remarks, what was asked for on stdout, and files last.
pub(crate) fn show(
    judged: &[Judged],
    places: &Places,
    files: Option<&Wanted>,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let outcome = outcome(judged);
    shown::counts(judged, runner)?;
    runner.summary(&summary(&outcome, judged))?;
    if runner.is_json() {
        runner.data(&whole(judged).to_string());
    } else {
        runner.say(&lines(judged));
    }
    shown::annotate(judged, places, runner);
    if let Some(files) = files {
        files.write(judged, places, runner)?;
    }
    Ok(outcome)
}

/// The verdict over all images, and the sentence for it.
pub(crate) fn outcome(judged: &[Judged]) -> Outcome {
    let verdict = Verdict::of_all(judged.iter().map(|image| image.judgement.outcome.verdict));
    let decisive = judged.iter().filter(|image| image.judgement.outcome.verdict == verdict);
    let said = decisive
        .map(|image| format!("`{}` ({}): {}", image.name, image.platform, image.judgement.outcome.cause));
    Outcome { verdict, cause: said.collect::<Vec<_>>().join("; ") }
}

/// The step summary: the sentence, what fails, then every rule.
pub(crate) fn summary(outcome: &Outcome, judged: &[Judged]) -> String {
    let mut text = format!("### Image scan: {}\n\n{}\n\n", outcome.verdict, escape(&outcome.cause));
    text.push_str("| image | platform | rule | verdict | why |\n|---|---|---|---|---|\n");
    for image in judged {
        for (rule, outcome) in &image.judgement.rules {
            // Writing to a String cannot fail.
            writeln!(
                text,
                "| {} | {} | {rule} | {} | {} |",
                escape(&image.name),
                escape(&image.platform),
                outcome.verdict,
                escape(&outcome.cause)
            )
            .ok();
        }
    }
    text.push('\n');
    for image in judged {
        let (name, platform) = (escape(&image.name), escape(&image.platform));
        writeln!(text, "- {name} ({platform}) holds {}", escape(&held(image))).ok();
        if let Some(compared) = &image.judgement.compared {
            writeln!(text, "- {name} ({platform}): {}", escape(&change(compared))).ok();
        }
        for ended in image.ended.iter().map(without_fixes) {
            writeln!(text, "- {name} ({platform}): {}", escape(&ended)).ok();
        }
    }
    let blocking: Vec<_> = judged
        .iter()
        .flat_map(|image| image.judgement.blocking.iter().map(move |finding| (image, finding)))
        .collect();
    if !blocking.is_empty() {
        deeds(&mut text, judged);
        text.push_str("\n| image | finding | severity | package | fixed in | |\n|---|---|---|---|---|---|\n");
        for (image, finding) in blocking.iter().take(LISTED) {
            writeln!(text, "| {} |{}", escape(&image.name), row(finding, &image.build)).ok();
        }
        if LISTED < blocking.len() {
            writeln!(text, "\nand {} more", blocking.len() - LISTED).ok();
        }
    }
    text
}

/// What to do about what fails.
fn deeds(text: &mut String, judged: &[Judged]) {
    text.push_str("\n#### What to do\n\n");
    for image in judged.iter().filter(|image| !image.judgement.blocking.is_empty()) {
        let (name, platform, all) = (escape(&image.name), escape(&image.platform), todo(image));
        for deed in all.iter().take(DEEDS) {
            writeln!(text, "- {name} ({platform}): {}", escape(&deed.to_string())).ok();
        }
        if DEEDS < all.len() {
            writeln!(text, "- {name} ({platform}): and {} more", all.len() - DEEDS).ok();
        }
    }
}

fn row(finding: &Finding, build: &Build) -> String {
    let fixed = finding.fixed_in.as_deref().unwrap_or("no fix yet");
    format!(
        " {} | {} | {} | {} | {} |",
        escape(&finding.id),
        finding.severity.word(),
        escape(&finding.what()),
        escape(fixed),
        escape(&build.whence(finding.layer).to_string())
    )
}

/// The lines for a terminal.
pub(crate) fn lines(judged: &[Judged]) -> String {
    let mut text = String::new();
    for image in judged {
        writeln!(text, "{} ({}): {}", image.name, image.platform, image.judgement.outcome.verdict).ok();
        for (rule, outcome) in &image.judgement.rules {
            writeln!(text, "  {rule}: {} - {}", outcome.verdict, outcome.cause).ok();
        }
        writeln!(text, "  it holds {}", held(image)).ok();
        if let Some(compared) = &image.judgement.compared {
            writeln!(text, "  {}", change(compared)).ok();
        }
        for ended in image.ended.iter().map(without_fixes) {
            writeln!(text, "  {ended}").ok();
        }
        if !image.judgement.blocking.is_empty() {
            for deed in todo(image).iter().take(DEEDS) {
                writeln!(text, "  to do: {}", sanitize::line(&deed.to_string())).ok();
            }
        }
    }
    text
}

/// What an image holds, in one sentence.
fn held(Judged { inventory, listing, .. }: &Judged) -> String {
    let counts = inventory.counts();
    let counts: Vec<_> = counts.iter().map(|(ecosystem, count)| format!("{count} of {ecosystem}")).collect();
    let counts =
        if counts.is_empty() { "no packages".to_owned() } else { format!("packages: {}", counts.join(", ")) };
    let for_work = match inventory.packages.iter().filter(|package| package.is_dev).count() {
        0 => String::new(),
        count => format!(", {count} of them for development"),
    };
    let listed = listing.as_ref().map(|listing| format!("; {}", listing.words())).unwrap_or_default();
    let doubts = inventory.doubts.iter().map(|doubt| format!("; {doubt}"));
    format!("{counts}{for_work}{listed}{}", doubts.collect::<String>())
}

/// What a change brought and took away, in one sentence.
fn change(compared: &Compared) -> String {
    let Compared { what, old, new, fixed } = compared;
    let named = |findings: &[Finding]| {
        let named = findings.iter().take(CHANGED).map(|one| format!("{} in {}", one.id, one.package));
        let more = findings.len().saturating_sub(CHANGED);
        let more = (0 < more).then(|| format!("and {more} more"));
        let named = named.chain(more).collect::<Vec<_>>().join(", ");
        if named.is_empty() { named } else { format!(" ({named})") }
    };
    let (brought, gone) = (named(new), named(fixed));
    format!(
        "compared with {what}: {} findings new{brought}, {} gone{gone}, {old} as before",
        new.len(),
        fixed.len()
    )
}

fn without_fixes(ended: &EndOfLife) -> String {
    ended.said()
}

/// The same for machines, without the packages themselves: what the evidence keeps.
pub(crate) fn json(judged: &[Judged]) -> Value {
    judged.iter().map(image).collect()
}

/// The same with all packages.
pub(crate) fn whole(judged: &[Judged]) -> Value {
    judged.iter().map(|one| with_findings(one, with_packages(one, image(one)))).collect()
}

/// With all findings, and what is known only of the image as a whole.
fn with_findings(judged: &Judged, mut image: Value) -> Value {
    let found = |found: &Found| {
        let Found { finding, standing } = found;
        json!({"id": finding.id, "aliases": finding.aliases, "package": finding.package, "version": finding.version,
            "purl": finding.purl, "severity": finding.severity.word(), "fixedIn": finding.fixed_in,
            "title": finding.title, "published": finding.published.map(|day| day.to_string()), "isMalware": finding.is_malware,
            "layer": finding.layer, "comesFrom": judged.build.whence(finding.layer).to_string(), "standing": standing.word()})
    };
    let findings = judged.findings.as_ref().map(|all| all.iter().map(found).collect::<Vec<_>>());
    let base = judged.build.base.as_ref().map(|base| json!({"name": base.name, "layers": base.layers}));
    let deeds: Vec<_> = todo(judged).iter().map(ToString::to_string).collect();
    if let Some(fields) = image.as_object_mut() {
        let more = [
            ("digest", json!(judged.digest)),
            ("base", json!(base)),
            ("findings", json!(findings)),
            ("todo", json!(deeds)),
        ];
        fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
    }
    image
}

fn with_packages(judged: &Judged, mut image: Value) -> Value {
    let told = judged.inventory.packages.iter().map(|package| {
        let made_by = judged.build.steps.get(package.layer).map(String::as_str);
        let mut told = json!(Told { package, made_by });
        if let (Some(told), Some(_)) = (told.as_object_mut(), &judged.listing) {
            told.retain(|key, _| key != "layer" && key != "madeBy");
        }
        told
    });
    if let Some(Value::Object(inventory)) = image.get_mut("inventory") {
        inventory.insert("packages".to_owned(), told.collect());
    }
    image
}

/// A package with what made its layer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    #[serde(flatten)]
    package: &'a Package,
    made_by: Option<&'a str>,
}

fn image(image: &Judged) -> Value {
    let rules = image.judgement.rules.iter();
    let rules = rules
        .map(|(rule, outcome)| json!({"rule": rule, "verdict": outcome.verdict, "cause": outcome.cause}));
    let blocking = image.judgement.blocking.iter().map(|finding| {
        json!({"id": finding.id, "package": finding.package, "version": finding.version,
            "severity": finding.severity.word(), "fixedIn": finding.fixed_in,
            "exploited": finding.exploited.map(Exploited::word)})
    });
    let waiting = image.judgement.waiting.iter().map(|(end, finding)| {
        json!({"id": finding.id, "package": finding.package, "version": finding.version,
            "severity": finding.severity.word(), "fixedIn": finding.fixed_in, "blocksFrom": end.to_string()})
    });
    let ids = |findings: &[Finding]| -> Value {
        findings
            .iter()
            .map(|one| json!({"id": one.id, "package": one.package, "version": one.version}))
            .collect()
    };
    let compared = image.judgement.compared.as_ref().map(|Compared { what, old, new, fixed }| {
        json!({"with": what, "old": old, "new": ids(new), "fixed": ids(fixed)})
    });
    let Inventory { system, owned, doubts, support, .. } = &image.inventory;
    let support: Vec<_> = support
        .iter()
        .map(|one| json!({"what": one.what, "until": one.until.map(|until| until.to_string())}))
        .collect();
    let system = system.as_ref().map(|system| &system.name);
    let inventory = json!({"system": system, "counts": image.inventory.counts(), "owned": owned,
        "doubts": doubts, "support": support});
    let listing = image
        .listing
        .as_ref()
        .map(|Listing { what, files, left_out }| json!({"in": what, "files": files, "leftOut": left_out}));
    json!({"name": image.name, "platform": image.platform, "listed": listing, "verdict": image.judgement.outcome.verdict,
        "cause": image.judgement.outcome.cause, "rules": rules.collect::<Vec<_>>(),
        "blocking": blocking.collect::<Vec<_>>(), "waiting": waiting.collect::<Vec<_>>(), "compared": compared, "inventory": inventory, "traces": traces(&image.traces)})
}

/// What a build left; of a kind no more than anybody reads.
fn traces(traces: &Traces) -> Value {
    let wasted = traces.most_wasted.iter().map(|one| {
        let Origin { layer, made_by } = &one.origin;
        json!({"path": one.path, "bytes": one.bytes, "layer": layer, "madeBy": made_by})
    });
    let caches = traces.caches.iter().map(|one| json!({"of": one.of, "path": one.path, "bytes": one.bytes}));
    json!({"leaks": traces.leaks.iter().take(LISTED).map(leak).collect::<Vec<_>>(),
        "setuid": traces.setuid.iter().take(LISTED).collect::<Vec<_>>(), "caches": caches.collect::<Vec<_>>(),
        "wasted": traces.wasted, "mostWasted": wasted.collect::<Vec<_>>()})
}

fn leak(leak: &Leak) -> Value {
    let what = leak.what;
    match &leak.place {
        Place::Variable(name) => json!({"what": what, "variable": name}),
        Place::Label(name) => json!({"what": what, "label": name}),
        Place::Step(step) => json!({"what": what, "step": step}),
        Place::File { path, origin: Origin { layer, made_by }, is_gone } => {
            json!({"what": what, "path": path, "layer": layer, "madeBy": made_by, "isGone": is_gone})
        }
    }
}
