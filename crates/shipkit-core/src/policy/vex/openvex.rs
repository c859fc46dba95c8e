//! OpenVEX, in the layouts before and since 0.2.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Identity, Statement, Status, VexError, is_told, parsed, wrong};

/// The reasons that there are for `not_affected`.
const JUSTIFICATIONS: [&str; 5] = [
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
];

#[derive(Deserialize)]
struct OpenVex {
    timestamp: Option<Timestamp>,
    statements: Vec<Raw>,
}

#[derive(Deserialize)]
struct Raw {
    vulnerability: Vulnerability,
    timestamp: Option<Timestamp>,
    products: Option<Vec<Component>>,
    /// Before 0.2 they stood beside the products.
    subcomponents: Option<Vec<Component>>,
    status: String,
    justification: Option<String>,
    impact_statement: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vulnerability {
    Name(String),
    Whole { name: String, aliases: Option<Vec<String>> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Component {
    Id(String),
    Whole(Whole),
}

#[derive(Deserialize)]
struct Whole {
    #[serde(rename = "@id")]
    id: Option<String>,
    identifiers: Option<BTreeMap<String, String>>,
    hashes: Option<BTreeMap<String, String>>,
    subcomponents: Option<Vec<Component>>,
}

impl Component {
    fn identity(&self) -> Identity {
        let mut identity = Identity::default();
        match self {
            Self::Id(id) => identity.take(id),
            Self::Whole(Whole { id, identifiers, hashes, .. }) => {
                let purl = identifiers.as_ref().and_then(|all| all.get("purl"));
                id.iter().chain(purl).for_each(|text| identity.take(text));
                for (algorithm, value) in hashes.iter().flatten() {
                    identity.take_hash(algorithm, value);
                }
            }
        }
        identity
    }

    fn subcomponents(&self) -> &[Self] {
        match self {
            Self::Id(_) => &[],
            Self::Whole(Whole { subcomponents, .. }) => subcomponents.as_deref().unwrap_or_default(),
        }
    }
}

fn names(vulnerability: Vulnerability) -> Vec<String> {
    match vulnerability {
        Vulnerability::Name(name) => vec![name],
        Vulnerability::Whole { name, aliases } => {
            std::iter::once(name).chain(aliases.into_iter().flatten()).collect()
        }
    }
}

fn statement(raw: Raw, document: Option<Timestamp>) -> Result<Statement, VexError> {
    let names = names(raw.vulnerability);
    let status = match raw.status.as_str() {
        "not_affected" => Status::NotAffected,
        "affected" => Status::Affected,
        "fixed" => Status::Fixed,
        "under_investigation" => Status::UnderInvestigation,
        other => return Err(wrong(&names, format!("has the status `{other}`, which there is not"))),
    };
    if let Some(reason) = raw.justification.as_deref().filter(|reason| !JUSTIFICATIONS.contains(reason)) {
        return Err(wrong(&names, format!("has the justification `{reason}`, which there is not")));
    }
    if status == Status::NotAffected && raw.justification.is_none() && !is_told(raw.impact_statement.as_ref())
    {
        return Err(wrong(
            &names,
            "says `not_affected`, and has neither `justification` nor `impact_statement`",
        ));
    }
    let time =
        raw.timestamp.or(document).ok_or_else(|| wrong(&names, "has no time, nor has the document"))?;
    let beside: Vec<_> = raw.subcomponents.iter().flatten().map(Component::identity).collect();
    let of_product = |product: &Component| {
        let inside = product.subcomponents().iter().map(Component::identity);
        product.identity().products(&inside.chain(beside.iter().cloned()).collect::<Vec<_>>())
    };
    let products: Vec<_> = raw.products.iter().flatten().flat_map(of_product).collect();
    if products.is_empty() {
        return Err(wrong(&names, "names no product"));
    }
    Ok(Statement { names, status, time, products })
}

pub(super) fn read(value: Value) -> Result<Vec<Statement>, VexError> {
    let OpenVex { timestamp, statements } = parsed("OpenVEX", value)?;
    statements.into_iter().map(|raw| statement(raw, timestamp)).collect()
}
