//! What `image-scan` tells people and machines.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};
use shipkit_core::Digest;
use shipkit_core::policy::{Compared, Finding, Judgement, Leak, Origin, Place, Traces};
use shipkit_core::verdict::{Outcome, Verdict};
use shipkit_runner::markdown::text as escape;

use crate::inventory::{Inventory, Package};
use crate::listed::Listing;
use crate::support::EndOfLife;

/// How many blocking findings a report lists; all of them are in the evidence.
const LISTED: usize = 50;

/// How many findings the sentence about a change names.
const CHANGED: usize = 5;

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
    /// What made each of its layers, the lowest first; none where that is not told.
    pub(crate) steps: Vec<String>,
    /// Where the packages are listed, if they are in no image.
    pub(crate) listing: Option<Listing>,
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
        text.push_str("\n| image | finding | severity | package | fixed in |\n|---|---|---|---|---|\n");
        for (image, finding) in blocking.iter().take(LISTED) {
            writeln!(text, "| {} |{}", escape(&image.name), row(finding)).ok();
        }
        if LISTED < blocking.len() {
            writeln!(text, "\nand {} more", blocking.len() - LISTED).ok();
        }
    }
    text
}

fn row(finding: &Finding) -> String {
    let fixed = finding.fixed_in.as_deref().unwrap_or("no fix yet");
    format!(
        " {} | {} | {} | {} |",
        escape(&finding.id),
        finding.severity.word(),
        escape(&finding.what()),
        escape(fixed)
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
    format!("{} has had no fixes since {}", ended.what, ended.since)
}

/// The same for machines, without the packages themselves: what the evidence keeps.
pub(crate) fn json(judged: &[Judged]) -> Value {
    judged.iter().map(image).collect()
}

/// The same with all packages.
pub(crate) fn whole(judged: &[Judged]) -> Value {
    judged.iter().map(|one| with_packages(one, image(one))).collect()
}

fn with_packages(judged: &Judged, mut image: Value) -> Value {
    let told = judged.inventory.packages.iter().map(|package| {
        let made_by = judged.steps.get(package.layer).map(String::as_str);
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
            "severity": finding.severity.word(), "fixedIn": finding.fixed_in})
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
        "blocking": blocking.collect::<Vec<_>>(), "compared": compared, "inventory": inventory, "traces": traces(&image.traces)})
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
