//! `decide`: from what is asked for and what is known to tags, labels, annotations and bake files.

use serde_json::{Map, Value, json};

use crate::explained::{Explained, Place};
use crate::reference::Tag;

use super::entry::{self, Entry, Kind};
use super::error::{MetaError, Problem};
use super::expression::Template;
use super::facts::{Facts, OfPullRequest};
use super::flavor::Flavor;
use super::image::{self, Image};
use super::labels::{self, Extra};
use super::tags;

/// The bake target that a file is for where none is named.
const TARGET: &str = "docker-metadata-action";
/// How many digits a short commit has where nothing else is said.
const SHORT: usize = 7;

/// The inputs and variables as they were given; empty is not given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// The input `images`.
    pub images: &'a str,
    /// The input `tags`.
    pub tags: &'a str,
    /// The input `flavor`.
    pub flavor: &'a str,
    /// The input `labels`.
    pub labels: &'a str,
    /// The input `annotations`.
    pub annotations: &'a str,
    /// The input `bake-target`.
    pub bake_target: &'a str,
    /// `DOCKER_METADATA_PR_HEAD_SHA`.
    pub pr_head_sha: &'a str,
    /// `DOCKER_METADATA_SHORT_SHA_LENGTH`.
    pub short_sha_length: &'a str,
    /// `DOCKER_METADATA_ANNOTATIONS_LEVELS`.
    pub annotations_levels: &'a str,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Which commit a pull request is about.
    pub of_pull_request: OfPullRequest,
    /// How many digits a short commit has.
    pub short: usize,
    images: Vec<Image>,
    entries: Vec<Entry>,
    flavor: Flavor,
    labels: Extra,
    annotations: Extra,
    levels: Vec<String>,
    targets: Vec<String>,
    remarks: Vec<String>,
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The tags without the names of images; the first is the version.
    pub names: Vec<Tag>,
    /// The labels, sorted by their keys.
    pub labels: Vec<(String, String)>,
    /// The annotations with their levels.
    pub annotations: Vec<String>,
    /// Why there is which tag.
    pub explained: Vec<Explained>,
    /// What should be said about it.
    pub remarks: Vec<String>,
    /// The names of the images, each once.
    images: Vec<String>,
    /// The bake targets and the images of each.
    targets: Vec<(String, Vec<String>)>,
}

/// What a bake file defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BakePart {
    /// Tags, and the arguments that tell them to the build.
    Tags,
    /// Labels.
    Labels,
    /// Annotations.
    Annotations,
    /// Tags, labels and arguments.
    TagsAndLabels,
}

impl Asked {
    /// Reads the inputs.
    ///
    /// # Errors
    /// When one cannot be meant.
    pub fn read(inputs: &Inputs<'_>) -> Result<Self, MetaError> {
        let mut remarks = Vec::new();
        let images = image::images(inputs.images)?;
        let levels =
            if inputs.annotations_levels.is_empty() { "manifest" } else { inputs.annotations_levels };
        Ok(Self {
            of_pull_request: of_pull_request(inputs.pr_head_sha)?,
            short: short(inputs.short_sha_length)?,
            targets: targets(inputs.bake_target, &images)?,
            entries: entry::entries(inputs.tags, &mut remarks)?,
            flavor: Flavor::read(inputs.flavor, &mut remarks)?,
            labels: labels::extra("labels", inputs.labels, &mut remarks)?,
            annotations: labels::extra("annotations", inputs.annotations, &mut remarks)?,
            levels: labels::levels(levels)?,
            images,
            remarks,
        })
    }

    /// Whether anything but the label `created` says when the commit was made.
    #[must_use]
    pub fn asks_for_commit_date(&self) -> bool {
        self.templates().any(Template::asks_for_commit_date)
    }

    fn templates(&self) -> impl Iterator<Item = &Template> {
        let labels = self.labels.iter().chain(&self.annotations).map(|(_, template)| template);
        let flavor = [&self.flavor.prefix.text, &self.flavor.suffix.text];
        self.entries.iter().flat_map(Entry::templates).chain(labels).chain(flavor)
    }
}

fn of_pull_request(text: &str) -> Result<OfPullRequest, MetaError> {
    match text.to_ascii_lowercase().as_str() {
        "" | "true" => Ok(OfPullRequest::Head),
        "false" => Ok(OfPullRequest::Event),
        _ => Err(variable("DOCKER_METADATA_PR_HEAD_SHA", text, "`true` or `false`")),
    }
}

fn short(text: &str) -> Result<usize, MetaError> {
    if text.is_empty() {
        return Ok(SHORT);
    }
    let length = text.parse().ok().filter(|length| 1 <= *length);
    length.ok_or_else(|| variable("DOCKER_METADATA_SHORT_SHA_LENGTH", text, "a number from 1"))
}

fn variable(name: &'static str, found: &str, wanted: &'static str) -> MetaError {
    Problem::Not { found: found.to_owned(), wanted }.at(&Place::Key(name.to_owned()))
}

/// The bake targets: those that are named, and those that images belong to.
fn targets(text: &str, images: &[Image]) -> Result<Vec<String>, MetaError> {
    let named = text.split([',', '\n']).map(str::trim).filter(|name| !name.is_empty());
    let mut found: Vec<String> = named.map(str::to_owned).collect();
    let is_anybody_without = images.is_empty() || images.iter().any(|image| image.target.is_none());
    if found.is_empty() && is_anybody_without {
        found.push(TARGET.to_owned());
    }
    found.extend(images.iter().filter_map(|image| image.target.clone()));
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|name| seen.insert(name.clone()));
    let fits = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    match found.iter().find(|name| !fits(name)) {
        Some(name) => {
            let wanted = "the name of a bake target: letters, digits, `-` and `_`";
            Err(Problem::Not { found: name.clone(), wanted }.at(&Place::Key("bake-target".to_owned())))
        }
        None => Ok(found),
    }
}

/// Decides tags, labels and annotations.
///
/// # Errors
/// When a rule gives what cannot be a tag, or `enable` is neither `true` nor `false`.
pub fn decide(asked: &Asked, facts: &Facts) -> Result<Meta, MetaError> {
    let mut remarks = asked.remarks.clone();
    let is_asked_for = asked.templates().any(Template::asks_for_default_branch)
        || asked.entries.iter().any(|entry| matches!(entry.kind, Kind::Edge(None)));
    if facts.about.default_branch.is_none() && is_asked_for {
        remarks.push("the default branch is not known: no ref is taken for it".to_owned());
    }
    let made = tags::tags(&asked.entries, &asked.flavor, facts)?;
    remarks.extend(made.remarks);
    let version = made.names.first();
    let labels = labels::labels(version, facts, &asked.labels, &mut remarks);
    let annotations = labels::labels(version, facts, &asked.annotations, &mut remarks);
    let annotations = asked
        .levels
        .iter()
        .flat_map(|level| annotations.iter().map(move |(key, value)| format!("{level}:{key}={value}")))
        .collect();
    let belongs = |image: &Image, target: &String| image.target.as_ref().is_none_or(|of| of == target);
    let of_target = |target: &String| {
        let images = asked.images.iter().filter(|image| belongs(image, target));
        (target.clone(), images.map(|image| image.name.clone()).collect())
    };
    let mut images: Vec<String> = Vec::new();
    for image in &asked.images {
        if !images.contains(&image.name) {
            images.push(image.name.clone());
        }
    }
    Ok(Meta {
        names: made.names,
        labels,
        annotations,
        explained: made.explained,
        remarks,
        images,
        targets: asked.targets.iter().map(of_target).collect(),
    })
}

impl Meta {
    /// The version: the first tag.
    #[must_use]
    pub fn version(&self) -> Option<&Tag> {
        self.names.first()
    }

    /// Every image under every tag; the tags alone where no image is named.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        self.tags_of(&self.images)
    }

    fn tags_of(&self, images: &[String]) -> Vec<String> {
        if images.is_empty() {
            return self.names.iter().map(ToString::to_string).collect();
        }
        let under =
            |image: &String| self.names.iter().map(|tag| format!("{image}:{tag}")).collect::<Vec<_>>();
        images.iter().flat_map(under).collect()
    }

    /// The output `json`.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "tags": self.tags(),
            "tag-names": self.names,
            "labels": self.label_map(),
            "annotations": self.annotations,
        })
    }

    /// A file for `docker buildx bake`.
    #[must_use]
    pub fn bake(&self, part: BakePart) -> Value {
        let definition = |images: &[String]| {
            let mut definition = Map::new();
            if matches!(part, BakePart::Tags | BakePart::TagsAndLabels) {
                definition.insert("tags".to_owned(), json!(self.tags_of(images)));
            }
            if matches!(part, BakePart::Labels | BakePart::TagsAndLabels) {
                definition.insert("labels".to_owned(), Value::Object(self.label_map()));
            }
            if part == BakePart::Annotations {
                definition.insert("annotations".to_owned(), json!(self.annotations));
            }
            if matches!(part, BakePart::Tags | BakePart::TagsAndLabels) {
                let mut args = Map::new();
                args.insert("DOCKER_META_IMAGES".to_owned(), json!(images.join(",")));
                if let Some(version) = self.version() {
                    args.insert("DOCKER_META_VERSION".to_owned(), json!(version));
                }
                definition.insert("args".to_owned(), Value::Object(args));
            }
            Value::Object(definition)
        };
        let targets: Map<_, _> =
            self.targets.iter().map(|(name, images)| (name.clone(), definition(images))).collect();
        json!({ "target": targets })
    }

    fn label_map(&self) -> Map<String, Value> {
        self.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
    }
}
