//! `build-tag meta`: names images, in place of docker/metadata-action.

use serde_json::{Value, json};
use shipkit_core::meta::{Asked, BakePart, Inputs, Meta, decide};
use shipkit_core::{Digest, Outcome, Secret};
use shipkit_runner::{Failure, Runner, env};

use crate::args::MetaArgs;
use crate::{explain, folder, known};

/// Puts out tags, labels, annotations and bake files.
pub(crate) async fn run(
    args: &MetaArgs,
    token: Option<&Secret>,
    runner: &Runner,
) -> Result<Outcome, Failure> {
    let meta = decided(args, token, runner).await?;
    if runner.env().get(env::DOCKER_METADATA_SET_OUTPUT_ENV) == Some("true") {
        let name = env::DOCKER_METADATA_SET_OUTPUT_ENV.as_str();
        known::remark(runner, &format!("`{name}` has no effect: later steps read outputs, never variables"));
    }
    outputs(&meta, args, runner)?;
    if runner.is_json() {
        runner.data(&json_of(&meta).to_string());
    } else if runner.env().is_actions() {
        runner.say(&explain::table(&meta.explained));
    } else {
        runner.data(&meta.tags().join("\n"));
    }
    runner.summary(&explain::summary(&meta))?;
    Ok(explain::outcome(&meta))
}

/// What is decided for this event, with every remark said.
pub(crate) async fn decided(
    args: &MetaArgs,
    token: Option<&Secret>,
    runner: &Runner,
) -> Result<Meta, Failure> {
    let of_env = |name| runner.env().get(name).unwrap_or_default();
    let asked = Asked::read(&Inputs {
        images: &args.images,
        tags: &args.tags,
        flavor: &args.flavor,
        labels: &args.labels,
        annotations: &args.annotations,
        bake_target: &args.bake_target,
        pr_head_sha: of_env(env::DOCKER_METADATA_PR_HEAD_SHA),
        short_sha_length: of_env(env::DOCKER_METADATA_SHORT_SHA_LENGTH),
        annotations_levels: of_env(env::DOCKER_METADATA_ANNOTATIONS_LEVELS),
    })?;
    let facts = known::facts(args, &asked, token, runner).await?;
    let meta = decide(&asked, &facts)?;
    meta.remarks.iter().for_each(|text| known::remark(runner, text));
    Ok(meta)
}

fn outputs(meta: &Meta, args: &MetaArgs, runner: &Runner) -> Result<(), Failure> {
    if runner.env().get(env::GITHUB_OUTPUT).is_none() {
        return Ok(());
    }
    let bake = [
        ("bake-file-tags", BakePart::Tags),
        ("bake-file-labels", BakePart::Labels),
        ("bake-file-annotations", BakePart::Annotations),
        ("bake-file", BakePart::TagsAndLabels),
    ]
    .map(|(name, part)| (name, bake_file(name, &meta.bake(part))));
    let files: Vec<_> = bake.iter().map(|(_, (path, text))| (path.as_str(), text.clone())).collect();
    folder::write(&args.directory, &files)?;
    let labels: Vec<_> = meta.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let names: Vec<_> = meta.names.iter().map(ToString::to_string).collect();
    runner.output("version", meta.version().map_or("", |version| version.as_str()))?;
    runner.output("tags", &meta.tags().join(&args.sep_tags.0))?;
    runner.output("tag-names", &names.join(&args.sep_tags.0))?;
    runner.output("labels", &labels.join(&args.sep_labels.0))?;
    runner.output("annotations", &meta.annotations.join(&args.sep_annotations.0))?;
    runner.output("json", &meta.json().to_string())?;
    for (name, (file, _)) in &bake {
        let path = args.directory.join(shipkit_core::plan::FOLDER).join(file);
        let path = path.strip_prefix(".").unwrap_or(&path);
        runner.output(name, &path.display().to_string())?;
    }
    Ok(())
}

/// The name and the text of a bake file. The name holds a digest of the text, so that two steps of one job do not
/// overwrite each other's files, and the same step run twice writes the same.
fn bake_file(kind: &str, definition: &Value) -> (String, String) {
    let text = format!("{definition:#}\n");
    let digest = Digest::of(text.as_bytes());
    let short: String = digest.hex().chars().take(12).collect();
    (format!("{kind}-{short}.json"), text)
}

/// Everything, for programs.
fn json_of(meta: &Meta) -> Value {
    let mut all = meta.json();
    if let Some(all) = all.as_object_mut() {
        all.insert("version".to_owned(), json!(meta.version()));
        all.insert("bake".to_owned(), meta.bake(BakePart::TagsAndLabels));
    }
    all
}
