//! `Rule`: what Prometheus evaluates (`/api/v1/rules` of its HTTP API).

use serde::Deserialize;

use super::{PrometheusError, data, short};

/// One rule that is loaded: an alert, or what records a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The group that it stands in.
    pub group: String,
    /// The name of the alert or the series.
    pub name: String,
    /// How its last evaluation went: `ok`, `err`, or `unknown` before the first.
    pub health: String,
    /// What went wrong with it.
    pub error: String,
}

#[derive(Deserialize)]
struct RawRules {
    groups: Vec<RawGroup>,
}

#[derive(Deserialize)]
struct RawGroup {
    name: String,
    #[serde(default)]
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRule {
    name: String,
    health: String,
    #[serde(default)]
    last_error: String,
}

/// Reads what `at` has answered to the question for its rules.
///
/// # Errors
/// When it says that it cannot, or is not Prometheus.
pub fn rules(at: &str, status: u16, body: &[u8]) -> Result<Vec<Rule>, PrometheusError> {
    let (RawRules { groups }, _) = data(at, "/api/v1/rules", status, body)?;
    let of_group = |raw: RawGroup| {
        let group = raw.name;
        raw.rules.into_iter().map(move |raw| Rule {
            group: group.clone(),
            name: raw.name,
            health: raw.health,
            error: short(&raw.last_error),
        })
    };
    Ok(groups.into_iter().flat_map(of_group).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_says_how_its_evaluation_went() {
        let body = r#"{"status":"success","data":{"groups":[
            {"name":"empty"},
            {"name":"g","file":"f","rules":[{"name":"a:b","type":"recording","health":"ok"},
                {"name":"A","health":"err","lastError":"many-to-many","alerts":[]}]}]}}"#;
        let read = rules("http://p", 200, body.as_bytes()).unwrap();
        let rule = |name: &str, health: &str, error: &str| {
            let [group, name, health, error] = ["g", name, health, error].map(str::to_owned);
            Rule { group, name, health, error }
        };
        assert_eq!(read, [rule("a:b", "ok", ""), rule("A", "err", "many-to-many")]);
        assert!(rules("http://p", 200, b"<html>").is_err());
        assert!(rules("http://p", 404, b"404 page not found").is_err());
    }
}
