//! `image-scan index build`: advisories as an index at a registry.

use serde_json::json;
use shipkit_core::ImageName;
use shipkit_core::policy::human;
use shipkit_core::verdict::Outcome;
use shipkit_registry::{Credentials, Registry};
use shipkit_runner::{Failure, Runner};

use crate::advisories::{Blob, Folder, Index, push};
use crate::args::IndexArgs;

/// Builds the index and stores it.
///
/// # Errors
/// When the folder cannot be read or has nothing of an ecosystem, and when the registry does not take it. Then the tag names what it did.
pub(crate) async fn run(args: &IndexArgs, runner: &Runner) -> Result<Outcome, Failure> {
    if let Some(password) = &args.registry_password {
        runner.mask(password);
    }
    let (repository, tag) = match &args.to {
        ImageName::Tagged(repository, tag) => (repository, tag),
        ImageName::Fixed(image) => {
            return Err(Failure::usage(format!("`{image}` names a digest, and there is none yet"))
                .with_hint("give the repository, and perhaps a tag"));
        }
    };
    let credentials = Credentials::new(
        repository.registry(),
        args.registry_username.as_deref(),
        args.registry_password.as_ref(),
        runner.env().docker_config(),
    );
    let registry = Registry::new(credentials)?;
    let (folder, ecosystems, now) = (Folder::new(&args.folder), args.ecosystems.clone(), runner.now());
    runner.say(&format!("reading `{}`", args.folder.display()));
    let building = tokio::task::spawn_blocking(move || {
        let ecosystems = if ecosystems.is_empty() { folder.ecosystems()? } else { ecosystems };
        Index::build(&folder, &ecosystems.iter().map(String::as_str).collect::<Vec<_>>(), now)
    });
    let blobs = building.await.map_err(Failure::unknown)??;
    let sizes = blobs.iter().map(|blob| u64::try_from(blob.bytes.len()).unwrap_or(u64::MAX));
    let size = human(sizes.sum());
    let whole = format!("an index of {size} for {}", some(&blobs));
    let said = |index: Option<String>| {
        let blobs = blobs.iter().map(
            |blob| json!({"ecosystem": blob.ecosystem, "bytes": blob.bytes.len(), "newest": blob.newest}),
        );
        json!({"index": index, "built": now, "blobs": blobs.collect::<Vec<_>>()}).to_string()
    };
    if args.dry_run {
        if runner.is_json() {
            runner.data(&said(None));
        }
        return Ok(Outcome::pass(format!("{whole} would be stored")));
    }
    let digest = push(&registry, repository, tag, &blobs).await?;
    let index = format!("{repository}@{digest}");
    runner.output("index", &index)?;
    runner.summary(&summary(&whole, &index))?;
    if runner.is_json() {
        runner.data(&said(Some(index.clone())));
    }
    Ok(Outcome::pass(format!("{whole} is `{index}`")))
}

/// The step summary: what is there now, and what to write so that it is used.
fn summary(whole: &str, index: &str) -> String {
    format!(
        "Stored {whole}. To judge by it, write into `shipkit.yml`:\n\n```yaml\nscan:\n  image:\n    advisories: {index}\n```\n"
    )
}

/// The ecosystems of an index, in a sentence.
fn some(blobs: &[Blob]) -> String {
    let mut names: Vec<_> = blobs.iter().map(|blob| blob.ecosystem.as_str()).collect();
    let more = names.split_off(names.len().min(6)).len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", names.join(", "))
}
