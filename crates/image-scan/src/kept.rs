//! `Kept`: the packages of an image as evidence of its digest, so that who compares with it later need not read it again.

use serde::{Deserialize, Serialize};
use serde_json::json;
use shipkit_core::evidence::{Kind, Record};
use shipkit_core::policy::ImageFacts;
use shipkit_core::{Digest, Repository, Verdict};
use shipkit_registry::Registry;
use shipkit_runner::{Failure, Runner, env};

use crate::cache;
use crate::inventory::{Inventory, Package, System};

/// What puts together what layers hold. With any of it the code is another one, as it is with all that reads layers.
const SOURCES: [&[u8]; 3] =
    [include_bytes!("kept.rs"), include_bytes!("tree.rs"), include_bytes!("inventory/modules.rs")];

/// The most bytes that are stored. Who reads evidence reads twice as much at most, and no real image has a tenth of it.
const LIMIT: usize = 8 * 1024 * 1024;

/// What was found in the image of one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kept {
    /// The code that read it. What another one read may lack what this one knows, and would make that look new.
    code: String,
    pub(crate) platform: String,
    /// Bytes of its layers unpacked.
    pub(crate) unpacked: u64,
    system: Option<System>,
    pub(crate) packages: Vec<Package>,
    /// What could not be read.
    doubts: Vec<String>,
}

impl Kept {
    /// What this code found.
    pub(crate) fn of(facts: &ImageFacts, inventory: &Inventory) -> Self {
        Self {
            code: code(),
            platform: facts.platform.clone(),
            unpacked: facts.unpacked,
            system: inventory.system.clone(),
            packages: inventory.packages.clone(),
            doubts: inventory.doubts.clone(),
        }
    }

    /// Stores it as evidence of the digest of its image, if it is not there. What is too large for that is told, and does without.
    ///
    /// # Errors
    /// When the registry does not take it, or does not say what it has.
    pub(crate) async fn put(
        &self,
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
        runner: &Runner,
    ) -> Result<(), Failure> {
        if Self::get(registry, repository, digest).await?.is_some() {
            return Ok(());
        }
        let details = json!(self);
        if LIMIT < details.to_string().len() {
            runner
                .say(&format!("the packages of {digest} take more than {LIMIT} bytes, and are no evidence"));
            return Ok(());
        }
        let of = self.system.as_ref().map(|system| format!(", {}", system.name)).unwrap_or_default();
        let record = Record {
            kind: Kind::Inventory,
            verdict: Verdict::Pass,
            cause: format!("{} packages{of}", self.packages.len()),
            environment: None,
            time: runner.now(),
            by: concat!("image-scan ", env!("CARGO_PKG_VERSION")).to_owned(),
            run: runner.env().get(env::GITHUB_RUN_ID).map(str::to_owned),
            details,
        };
        registry.put_evidence(repository, digest, &record).await?;
        Ok(())
    }

    /// What this code found in the image before; none where it has not read it.
    ///
    /// # Errors
    /// When the registry does not say.
    pub(crate) async fn get(
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Self>, Failure> {
        let evidence = registry.evidence(repository, digest, &[(Kind::Inventory, None)]).await?;
        let inventories = evidence.records.into_iter().filter(|record| record.kind == Kind::Inventory);
        // Other code may have written it in another shape.
        let mut kept = inventories.filter_map(|record| serde_json::from_value::<Self>(record.details).ok());
        Ok(kept.find(|kept| kept.code == code()))
    }
}

fn code() -> String {
    format!("{:016x}", cache::code(&SOURCES))
}
