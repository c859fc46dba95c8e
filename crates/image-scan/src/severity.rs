//! How bad a record says a vulnerability is: the distribution's word, else CVSS, else the word of the database.

use shipkit_core::policy::Severity;

use crate::osv::{Package, Record, Score};

/// The severity of a vulnerability in a package; `Unknown` where nobody has said, which is not the same as harmless.
#[must_use]
pub fn of(record: &Record, package: &Package<'_>) -> Severity {
    let entries = || record.affected.iter().filter(|entry| entry.is_about(package));
    let scores = || entries().flat_map(|entry| &entry.severity).chain(&record.severity);
    let urgencies = entries().filter_map(|entry| entry.ecosystem_specific.urgency.as_deref());
    // Ubuntu has its word among the scores.
    let words = scores().filter(|score| score.method == "Ubuntu").map(|score| score.score.as_str());
    let distribution = urgencies.chain(words).filter_map(word).max();
    let vector = || ["CVSS_V4", "CVSS_V3", "CVSS_V2"].into_iter().find_map(|method| worst(scores(), method));
    let named =
        || entries().filter_map(|entry| entry.ecosystem_specific.severity.as_deref()).filter_map(word).max();
    let database = || record.database_specific.severity.as_deref().and_then(word);
    distribution.or_else(vector).or_else(database).or_else(named).unwrap_or(Severity::Unknown)
}

/// The worst vector of one method; one that cannot be read says nothing.
fn worst<'record>(scores: impl Iterator<Item = &'record Score>, method: &str) -> Option<Severity> {
    let vectors = scores.filter(|score| score.method == method);
    vectors.filter_map(|score| Severity::of_vector(&score.score)).max()
}

/// A word for a severity. `not yet assigned` and `end-of-life` are none.
fn word(word: &str) -> Option<Severity> {
    match word.to_ascii_lowercase().as_str() {
        "unimportant" | "negligible" | "low" => Some(Severity::Low),
        "medium" | "moderate" => Some(Severity::Medium),
        "high" | "important" => Some(Severity::High),
        "critical" => Some(Severity::Critical),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shipkit_core::policy::Severity;

    use crate::osv::{Package, Record};

    const V4: &str = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
    const V3: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N";
    const V2: &str = "AV:L/AC:H/Au:N/C:N/I:N/A:P";

    /// The severity of a record that has these keys, about a package that has these.
    #[track_caller]
    fn check(record: &Value, package: &Value, expected: Severity) {
        let mut value = json!({"id": "CVE-1"});
        value.as_object_mut().unwrap().extend(record.as_object().unwrap().clone());
        let mut entry = json!({"package": {"ecosystem": "Debian:12", "name": "a"}});
        entry.as_object_mut().unwrap().extend(package.as_object().unwrap().clone());
        let other = json!({"package": {"ecosystem": "Debian:11", "name": "a"}, "ecosystem_specific": {"urgency": "high"}});
        value["affected"] = json!([other, entry]);
        let record = Record::parse(value.to_string().as_bytes()).unwrap();
        let package = Package { ecosystem: "Debian:12", name: "a", version: "1" };
        assert_eq!(super::of(&record, &package), expected, "{value}");
    }

    fn scores(scores: &[(&str, &str)]) -> Value {
        let score = |(method, score): &(&str, &str)| json!({"type": method, "score": score});
        json!({"severity": scores.iter().map(score).collect::<Vec<_>>()})
    }

    #[test]
    fn the_word_of_the_distribution_comes_first() {
        let urgency = |word: &str| json!({"ecosystem_specific": {"urgency": word}});
        let record = || scores(&[("CVSS_V3", V3)]);
        check(&record(), &urgency("unimportant"), Severity::Low);
        check(&record(), &urgency("medium"), Severity::Medium);
        check(&record(), &urgency("not yet assigned"), Severity::High);
        check(&record(), &urgency("end-of-life"), Severity::High);
        check(&json!({}), &urgency("not yet assigned"), Severity::Unknown);
        check(&record(), &scores(&[("Ubuntu", "negligible")]), Severity::Low);
    }

    #[test]
    fn the_newest_method_that_can_be_read_counts() {
        check(&scores(&[("CVSS_V2", V2), ("CVSS_V3", V3), ("CVSS_V4", V4)]), &json!({}), Severity::Critical);
        check(&scores(&[("CVSS_V2", V2), ("CVSS_V3", V3)]), &json!({}), Severity::High);
        check(&scores(&[("CVSS_V2", V2), ("CVSS_V3", "CVSS:3.1/AV:Q")]), &json!({}), Severity::Low);
        check(&scores(&[("CVSS_V2", V2)]), &scores(&[("CVSS_V3", V3)]), Severity::High);
        let harmless = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N";
        check(&scores(&[("CVSS_V3", harmless)]), &json!({}), Severity::Low);
    }

    #[test]
    fn the_word_of_the_database_comes_last() {
        let database = |word: &str| json!({"database_specific": {"severity": word}});
        check(&database("MODERATE"), &json!({}), Severity::Medium);
        check(&database("MODERATE"), &scores(&[("CVSS_V3", V3)]), Severity::High);
        check(&json!({}), &json!({"ecosystem_specific": {"severity": "HIGH"}}), Severity::High);
        check(&database("spicy"), &json!({}), Severity::Unknown);
        check(&json!({"database_specific": {"severity": null}}), &json!({}), Severity::Unknown);
    }
}
