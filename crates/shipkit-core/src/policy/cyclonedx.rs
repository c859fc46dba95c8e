//! `Bom`: what CycloneDX 1.4 to 1.7 as JSON says of components; what it says of vulnerabilities depends on who reads it.

use serde::Deserialize;
use serde_json::Value;

/// A document, with vulnerabilities in the form `V`.
#[derive(Deserialize)]
pub(super) struct Bom<V> {
    pub(super) metadata: Option<Metadata>,
    pub(super) components: Option<Vec<Component>>,
    pub(super) vulnerabilities: Option<Vec<V>>,
    /// How complete it is, as its author knows.
    pub(super) compositions: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Metadata {
    pub(super) timestamp: Option<Value>,
    /// What the document is about.
    pub(super) component: Option<Component>,
    pub(super) tools: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Component {
    #[serde(rename = "bom-ref")]
    pub(super) reference: Option<String>,
    /// `library`, `container`, `operating-system`.
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    pub(super) group: Option<String>,
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    pub(super) purl: Option<String>,
    components: Option<Vec<Self>>,
    properties: Option<Vec<Property>>,
}

#[derive(Deserialize)]
struct Property {
    name: Option<String>,
    value: Option<String>,
}

impl<V> Bom<V> {
    /// What it is about.
    pub(super) fn subject(&self) -> Option<&Component> {
        self.metadata.as_ref()?.component.as_ref()
    }

    /// What it is about, and every component with those inside of it.
    pub(super) fn all(&self) -> Vec<&Component> {
        let mut all = Vec::new();
        let components = self.components.iter().flatten();
        self.subject().into_iter().chain(components).for_each(|component| component.each(&mut all));
        all
    }
}

impl Component {
    fn each<'own>(&'own self, to: &mut Vec<&'own Self>) {
        to.push(self);
        self.components.iter().flatten().for_each(|inner| inner.each(to));
    }

    /// With its group: Maven and npm have one.
    pub(super) fn full_name(&self) -> String {
        let name = self.name.clone().unwrap_or_default();
        let group = self.group.as_deref().filter(|group| !group.is_empty());
        let is_maven = self.purl.as_deref().is_some_and(|purl| purl.starts_with("pkg:maven/"));
        let separator = if is_maven { ':' } else { '/' };
        group.map_or_else(|| name.clone(), |group| format!("{group}{separator}{name}"))
    }

    /// The values of properties whose names end so; before that stands whose they are.
    pub(super) fn properties<'own>(&'own self, ending: &'own str) -> impl Iterator<Item = &'own str> {
        let all = self.properties.iter().flatten();
        let named = all.filter(move |one| one.name.as_deref().is_some_and(|name| name.ends_with(ending)));
        named.filter_map(|one| one.value.as_deref())
    }

    /// References that may name the digests of the image that it is, if it is one.
    pub(super) fn image_references(&self) -> impl Iterator<Item = &str> {
        let of_image = |purl: &&String| purl.starts_with("pkg:oci/") || purl.starts_with("pkg:docker/");
        let purl = self.purl.iter().filter(of_image).map(String::as_str);
        self.properties(":RepoDigest").chain(purl).chain(self.version.as_deref())
    }
}
