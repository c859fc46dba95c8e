//! CSAF 2.0 and 2.1.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Identity, Product, Statement, Status, VexError, is_told, parsed, wrong};

#[derive(Deserialize)]
struct Csaf {
    document: Document,
    product_tree: Option<Tree>,
    vulnerabilities: Option<Vec<Vulnerability>>,
}

#[derive(Deserialize)]
struct Document {
    tracking: Tracking,
}

#[derive(Deserialize)]
struct Tracking {
    current_release_date: Timestamp,
}

#[derive(Deserialize)]
struct Tree {
    branches: Option<Vec<Branch>>,
    full_product_names: Option<Vec<FullName>>,
    relationships: Option<Vec<Relationship>>,
    product_groups: Option<Vec<Group>>,
}

#[derive(Deserialize)]
struct Branch {
    branches: Option<Vec<Self>>,
    product: Option<FullName>,
}

#[derive(Deserialize)]
struct FullName {
    product_id: String,
    product_identification_helper: Option<Helper>,
}

#[derive(Deserialize)]
struct Helper {
    purl: Option<String>,
    purls: Option<Vec<String>>,
    hashes: Option<Vec<Hashes>>,
}

#[derive(Deserialize)]
struct Hashes {
    file_hashes: Vec<Hash>,
}

#[derive(Deserialize)]
struct Hash {
    algorithm: String,
    value: String,
}

/// A component in a product.
#[derive(Deserialize)]
struct Relationship {
    full_product_name: FullName,
    product_reference: String,
    relates_to_product_reference: String,
}

#[derive(Deserialize)]
struct Group {
    group_id: String,
    product_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Vulnerability {
    cve: Option<String>,
    ids: Option<Vec<Id>>,
    product_status: Option<BTreeMap<String, Vec<String>>>,
    flags: Option<Vec<Reason>>,
    threats: Option<Vec<Reason>>,
}

#[derive(Deserialize)]
struct Id {
    text: String,
}

/// Why products are not affected: a flag, or a threat of the category `impact`.
#[derive(Deserialize)]
struct Reason {
    label: Option<String>,
    category: Option<String>,
    details: Option<String>,
    product_ids: Option<Vec<String>>,
    group_ids: Option<Vec<String>>,
}

/// The products of a tree by their ids.
#[derive(Default)]
struct Products {
    identities: BTreeMap<String, Identity>,
    known: BTreeMap<String, Vec<Product>>,
    groups: BTreeMap<String, Vec<String>>,
}

impl FullName {
    fn identity(&self) -> Identity {
        let mut identity = Identity::default();
        if let Some(Helper { purl, purls, hashes }) = &self.product_identification_helper {
            purl.iter().chain(purls.iter().flatten()).for_each(|text| identity.take(text));
            for hash in hashes.iter().flatten().flat_map(|one| &one.file_hashes) {
                identity.take_hash(&hash.algorithm, &hash.value);
            }
        }
        identity
    }
}

impl Products {
    fn of(tree: Tree) -> Self {
        let mut products = Self::default();
        tree.full_product_names.iter().flatten().for_each(|name| products.take(name));
        tree.branches.iter().flatten().for_each(|branch| products.take_branch(branch));
        for Relationship { full_product_name, product_reference, relates_to_product_reference } in
            tree.relationships.into_iter().flatten()
        {
            let identity = |id: &String| products.identities.get(id).cloned().unwrap_or_default();
            let component = identity(&product_reference);
            let found = identity(&relates_to_product_reference).products(&[component]);
            products.known.insert(full_product_name.product_id, found);
        }
        let groups = tree.product_groups.into_iter().flatten();
        products.groups = groups.map(|group| (group.group_id, group.product_ids)).collect();
        products
    }

    fn take(&mut self, name: &FullName) {
        let identity = name.identity();
        self.known.insert(name.product_id.clone(), identity.products(&[]));
        self.identities.insert(name.product_id.clone(), identity);
    }

    fn take_branch(&mut self, branch: &Branch) {
        branch.product.iter().for_each(|name| self.take(name));
        branch.branches.iter().flatten().for_each(|branch| self.take_branch(branch));
    }

    /// Whether a reason is about a product: without any named it is about all.
    fn is_about(&self, reason: &Reason, product: &String) -> bool {
        let groups = reason.group_ids.iter().flatten().filter_map(|group| self.groups.get(group)).flatten();
        let mut named = reason.product_ids.iter().flatten().chain(groups);
        let is_general = reason.product_ids.is_none() && reason.group_ids.is_none();
        is_general || named.any(|id| id == product)
    }
}

/// What a list of products means; a recommendation says nothing of a vulnerability.
fn status(list: &str) -> Result<Option<Status>, String> {
    Ok(Some(match list {
        "known_not_affected" => Status::NotAffected,
        "fixed" | "first_fixed" => Status::Fixed,
        "known_affected" | "first_affected" | "last_affected" => Status::Affected,
        "under_investigation" => Status::UnderInvestigation,
        "recommended" | "unknown" => return Ok(None),
        other => return Err(format!("has the product status `{other}`, which there is not")),
    }))
}

impl Vulnerability {
    fn has_reason(&self, products: &Products, product: &String) -> bool {
        let flags = self.flags.iter().flatten().filter(|flag| is_told(flag.label.as_ref()));
        let threats = self.threats.iter().flatten();
        let impacts = threats.filter(|threat| {
            threat.category.as_deref() == Some("impact") && is_told(threat.details.as_ref())
        });
        flags.chain(impacts).any(|reason| products.is_about(reason, product))
    }

    fn statements(&self, products: &Products, time: Timestamp) -> Result<Vec<Statement>, VexError> {
        let ids = self.ids.iter().flatten().map(|id| id.text.clone());
        let names: Vec<_> = self.cve.iter().cloned().chain(ids).collect();
        if names.is_empty() {
            return Err(wrong(&names, "cannot be told apart from others"));
        }
        let mut statements = Vec::new();
        for (list, ids) in self.product_status.iter().flatten() {
            let Some(status) = status(list).map_err(|why| wrong(&names, why))? else { continue };
            let mut found = Vec::new();
            for id in ids {
                let known = products.known.get(id);
                let known = known.ok_or_else(|| {
                    wrong(&names, format!("is about `{id}`, which is not in `product_tree`"))
                })?;
                if status == Status::NotAffected && !self.has_reason(products, id) {
                    let why = format!(
                        "says `known_not_affected` of `{id}`, and has neither a flag nor an impact for it"
                    );
                    return Err(wrong(&names, why));
                }
                found.extend(known.iter().cloned());
            }
            statements.push(Statement { names: names.clone(), status, time, products: found });
        }
        Ok(statements)
    }
}

pub(super) fn read(value: Value) -> Result<Vec<Statement>, VexError> {
    let Csaf { document, product_tree, vulnerabilities } = parsed("CSAF", value)?;
    let products = product_tree.map(Products::of).unwrap_or_default();
    let time = document.tracking.current_release_date;
    let mut statements = Vec::new();
    for vulnerability in vulnerabilities.iter().flatten() {
        statements.extend(vulnerability.statements(&products, time)?);
    }
    Ok(statements)
}
