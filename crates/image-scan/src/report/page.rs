//! The page: verdicts, what is new, what to do, findings that can be filtered without a server, and packages. All that is foreign in it
//! passes [`text`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use shipkit_core::policy::{Compared, Finding, Standing};
use shipkit_core::verdict::Outcome;
use shipkit_runner::html::{Page, columns, section, text};

use super::{Found, Judged, change, held, todo, without_fixes};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// All images.
pub(super) fn of(outcome: &Outcome, images: &[Judged], now: Timestamp) -> String {
    let verdicts: String = images.iter().map(verdicts).collect();
    let new: String = images.iter().map(new).collect();
    let deeds: String = images.iter().map(deeds).collect();
    let packages: String = images.iter().map(packages).collect();
    let is_failed = images.iter().any(|image| !image.judgement.blocking.is_empty());
    let body = [
        section("Images", &verdicts),
        section("What is new", &new),
        section(if is_failed { "What to do" } else { "What could be done" }, &deeds),
        section("Findings", &findings(images)),
        section("Packages", &packages),
    ]
    .concat();
    let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
    let hash = STANDARD.encode(Sha256::digest(SCRIPT));
    let (judged, count) = (now.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(), images.len().to_string());
    Page {
        title: "Image scan",
        verdict: outcome.verdict,
        target: &names.join(", "),
        sentence: &outcome.cause,
        facts: &[("Images", Some(count.as_str())), ("Judged", Some(judged.as_str()))],
        style: STYLE,
        script: Some((SCRIPT, &hash)),
        body: &body,
    }
    .html()
}

/// The name of an image, as it stands over all that is about it.
fn name(image: &Judged) -> String {
    format!("{} <span class=\"quiet\">{}</span>", text(&image.name), text(&image.platform))
}

fn verdicts(image: &Judged) -> String {
    let word = image.judgement.outcome.verdict.word();
    let rules = image.judgement.rules.iter().map(|(rule, outcome)| {
        let word = outcome.verdict.word();
        let cause = text(&outcome.cause);
        format!(
            "<tr><th scope=\"row\">{rule}</th><td><span class=\"verdict {word}\">{word}</span></td><td>{cause}</td></tr>"
        )
    });
    let rules: String = rules.collect();
    let base = image.build.base.as_ref();
    let base = base.map(|base| format!(" Built upon {}.", text(&base.name))).unwrap_or_default();
    let ended = image.ended.iter().map(|ended| format!(" {}.", text(&without_fixes(ended))));
    let head = columns(&["Rule", "Verdict", "Why"]);
    format!(
        "<article class=\"{word}\"><h3>{}</h3><p class=\"quiet\">{}</p><p>It holds {}.{base}{}</p>\
         <table><thead><tr>{head}</tr></thead><tbody>{rules}</tbody></table></article>\n",
        name(image),
        image.digest,
        text(&held(image)),
        ended.collect::<String>(),
    )
}

fn new(image: &Judged) -> String {
    let Some(compared) = &image.judgement.compared else { return String::new() };
    let Compared { new, fixed, .. } = compared;
    let list = |title: &str, findings: &[Finding]| {
        let items = findings.iter().map(|one| format!("<li>{} in {}</li>", text(&one.id), text(&one.what())));
        let items: String = items.collect();
        let count = findings.len();
        if items.is_empty() {
            return items;
        }
        format!("<details><summary>{count} {title}</summary><ul>{items}</ul></details>")
    };
    let said = text(&change(compared));
    format!("<h3>{}</h3><p>{said}</p>{}{}\n", name(image), list("new", new), list("gone", fixed))
}

fn deeds(image: &Judged) -> String {
    let items: Vec<_> = todo(image).iter().map(|deed| text(&deed.to_string())).collect();
    let items =
        if items.is_empty() { String::new() } else { format!("<li>{}</li>", items.join("</li><li>")) };
    if items.is_empty() { items } else { format!("<h3>{}</h3><ul>{items}</ul>\n", name(image)) }
}

/// Where there are no findings, whether anybody looked for some.
fn findings(images: &[Judged]) -> String {
    let unknown = images.iter().filter(|image| image.findings.is_none());
    let unknown = unknown.map(|image| {
        format!("<p>Nobody looked for vulnerabilities in {}: neither advisories nor the report of a scanner were given.</p>", name(image))
    });
    let unknown: String = unknown.collect();
    let of = |image| move |found| (image, found);
    let mut all: Vec<(&Judged, &Found)> =
        images.iter().flat_map(|image| image.findings.iter().flatten().map(of(image))).collect();
    // Those of one image are in this order already.
    all.sort_by_key(|(_, Found { finding, standing })| {
        (*standing != Standing::Blocks, std::cmp::Reverse(finding.severity))
    });
    let rows: String = all.into_iter().map(|(image, found)| row(image, found)).collect();
    if rows.is_empty() {
        let none = if unknown.is_empty() { "<p>None.</p>" } else { "" };
        return format!("{none}{unknown}");
    }
    let head = columns(&["Severity", "Finding", "Package", "Fixed in", "Verdict"]);
    format!(
        "{unknown}<form id=\"filter\" hidden><label>Search <input type=\"search\" name=\"words\" autocomplete=\"off\"></label>\
         <label>Severity <select name=\"severity\"><option value=\"\">any</option><option>CRITICAL</option><option>HIGH</option>\
         <option>MEDIUM</option><option>LOW</option><option>UNKNOWN</option></select></label>\
         <label><input type=\"checkbox\" name=\"blocks\"> only what fails</label><label><input type=\"checkbox\" name=\"fixable\"> \
         only what has a fix</label> <output id=\"count\"></output></form>\n\
         <table id=\"findings\"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
}

fn row(image: &Judged, found: &Found) -> String {
    let Found { finding, standing } = found;
    let (severity, is_fixable) = (finding.severity.word(), finding.fixed_in.is_some());
    let blocks = *standing == Standing::Blocks;
    let class = if blocks { "fail" } else { "quiet" };
    let fixed = finding.fixed_in.as_deref().unwrap_or("no fix yet");
    let aliases = text(&finding.aliases.join(" "));
    let published = finding.published.map(|day| format!(" ({day})")).unwrap_or_default();
    format!(
        "<tr data-severity=\"{severity}\" data-blocks=\"{blocks}\" data-fixable=\"{is_fixable}\"><td class=\"severity {severity}\">{severity}</td>\
         <th scope=\"row\">{}<br><span class=\"quiet\">{}{published} {aliases}</span></th><td>{}<br><span class=\"quiet\">{}; {}</span></td>\
         <td>{}</td><td><span class=\"{class}\">{}</span></td></tr>\n",
        text(&finding.id),
        text(&finding.title),
        text(&finding.what()),
        text(&format!("{} ({})", image.name, image.platform)),
        text(&image.build.whence(finding.layer).to_string()),
        text(fixed),
        standing.sentence(),
    )
}

fn packages(image: &Judged) -> String {
    let rows = image.inventory.packages.iter().map(|package| {
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}<br><span class=\"quiet\">{}</span></td></tr>\n",
            text(&package.name),
            text(&package.version),
            text(&package.ecosystem),
            text(&image.build.whence(Some(package.layer)).to_string()),
            text(&package.path),
        )
    });
    let rows: String = rows.collect();
    if rows.is_empty() {
        return rows;
    }
    let head = columns(&["Package", "Version", "Of", "Where from"]);
    format!(
        "<details><summary>{}: {}</summary><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>\n",
        name(image),
        image.inventory.packages.len()
    )
}
