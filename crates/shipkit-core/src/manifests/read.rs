//! Reading files of manifests: YAML or JSON, with as many objects as they like.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::BadManifests;
use super::object::{Object, Place};
use super::{Id, Manifests};
use crate::config::{Problem, manifest_values};

/// The group of what only kustomize reads. Flux has a `Kustomization` that is an object like others.
const KUSTOMIZE: &str = "kustomize.config.k8s.io/";

impl Manifests {
    /// Reads files, each by its name and its content. Lists are taken apart, empty documents left out, and order is kept.
    ///
    /// # Errors
    /// When a file is no YAML, or a template of it; when a document is no object with a name; when an object is there twice; and
    /// when there is none.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, BadManifests> {
        let mut objects = Vec::new();
        for (file, text) in files {
            for (document, (line, value)) in (1..).zip(documents(file, text)?) {
                let place = Place { file: file.to_owned(), document, line };
                take(value, &place, &mut objects)?;
            }
        }
        if objects.is_empty() {
            return Err(BadManifests::Empty);
        }
        refuse_twice(&objects)?;
        Ok(Self { objects })
    }
}

fn documents(file: &str, text: &[u8]) -> Result<Vec<(usize, Value)>, BadManifests> {
    let place = |text: &str, line| Place { file: file.to_owned(), document: document_of(text, line), line };
    let text = std::str::from_utf8(text).map_err(|error| {
        let before = String::from_utf8_lossy(text.get(..error.valid_up_to()).unwrap_or_default());
        let line = before.split('\n').count();
        BadManifests::Unreadable { place: place(&before, line), reason: "it is no UTF-8".to_owned() }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    manifest_values(file, text).map_err(|error| {
        let problem = error.problems().first();
        let line = problem.map_or(1, |problem| problem.line);
        let place = place(text, line);
        match template_at(text, line) {
            Some(text) => BadManifests::Template { place, text },
            None => BadManifests::Unreadable { place, reason: problem.map(reason).unwrap_or_default() },
        }
    })
}

fn reason(problem: &Problem) -> String {
    match problem.path.as_str() {
        "" => problem.message.clone(),
        path => format!("`{path}`: {}", problem.message),
    }
}

/// The template action that stands where reading ended, if one does: `{{` is legal within texts, so others prove nothing.
fn template_at(text: &str, line: usize) -> Option<String> {
    let mut near = text.lines().skip(line.saturating_sub(2)).take(3);
    let (_, action) = near.find_map(|line| line.split_once("{{"))?;
    let inside = action.split("}}").next().unwrap_or_default();
    Some(format!("{{{{{}}}}}", inside.chars().take(80).collect::<String>()))
}

/// The document that a line is in, from 1.
fn document_of(text: &str, line: usize) -> usize {
    let mut document = 1_usize;
    let mut has_content = false;
    for text in text.lines().take(line.saturating_sub(1)) {
        let is_border = text == "---" || text.starts_with("--- ");
        if is_border && has_content {
            document = document.saturating_add(1);
        }
        has_content = has_content || is_border || !(text.trim().is_empty() || text.starts_with('#'));
    }
    document
}

/// Takes the objects out of a document.
fn take(value: Value, place: &Place, objects: &mut Vec<Object>) -> Result<(), BadManifests> {
    if value.is_null() {
        return Ok(());
    }
    if !value.is_object() {
        return Err(BadManifests::NoObject(place.clone()));
    }
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if is_kustomization(&place.file, text("apiVersion"), text("kind")) {
        return Err(BadManifests::Kustomization(place.clone()));
    }
    if place.file.rsplit('/').next() == Some("Chart.yaml") && text("kind").is_none() {
        return Err(BadManifests::Template { place: place.clone(), text: "Chart.yaml".to_owned() });
    }
    let is_list = text("kind").is_some_and(|kind| kind.ends_with("List"))
        && value.get("metadata").is_none_or(|one| one.get("name").is_none());
    match (is_list, value) {
        (true, Value::Object(mut fields)) if fields.get("items").is_some_and(Value::is_array) => {
            let Some(Value::Array(items)) = fields.remove("items") else { return Ok(()) };
            items.into_iter().try_for_each(|item| take(item, place, objects))
        }
        (_, value) => {
            objects.push(Object::read(value, place.clone())?);
            Ok(())
        }
    }
}

fn is_kustomization(file: &str, api_version: Option<&str>, kind: Option<&str>) -> bool {
    let is_its_file =
        matches!(file.rsplit('/').next(), Some("kustomization.yaml" | "kustomization.yml" | "Kustomization"));
    match api_version {
        Some(api_version) => api_version.starts_with(KUSTOMIZE),
        None => is_its_file || matches!(kind, Some("Kustomization" | "Component")),
    }
}

/// Refuses two of the same name.
pub(super) fn refuse_twice(objects: &[Object]) -> Result<(), BadManifests> {
    let mut known: BTreeMap<&Id, &Object> = BTreeMap::new();
    for object in objects {
        if let Some(first) = known.insert(object.id(), object) {
            let (first, second) = (first.place().clone(), object.place().clone());
            return Err(BadManifests::Twice { id: object.id().to_string(), first, second });
        }
    }
    Ok(())
}
