//! Bills of materials: the packages of an image as CycloneDX 1.6 and SPDX 2.3, both as JSON.

mod cyclonedx;
mod spdx;

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;
use shipkit_core::policy::purl::Purl;
use shipkit_runner::Failure;

use crate::inventory::{Inventory, Package};
use crate::report::Judged;

/// Whoever made it, as both formats want to know.
const TOOL: &str = "image-scan";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Writes both for every image: `<service>.cdx.json` and `<service>.spdx.json`, with the platform in the name where an image has several.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(folder: &Path, images: &[Judged], now: Timestamp) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage(format!(
            "the bills of materials cannot be written into `{}`: {error}",
            folder.display()
        ))
    };
    fs::create_dir_all(folder).map_err(failed)?;
    for image in images {
        let is_of_several = images.iter().filter(|other| other.name == image.name).count() > 1;
        let platform = if is_of_several { format!("-{}", image.platform) } else { String::new() };
        // A name may be that of a repository; no part of it is a folder here.
        let name = format!("{}{platform}", image.name).replace(['/', '\\'], "-");
        for (format, text) in [("cdx", cyclonedx::of(image, now)), ("spdx", spdx::of(image, now))] {
            fs::write(folder.join(format!("{name}.{format}.json")), pretty(&text)).map_err(failed)?;
        }
    }
    Ok(())
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// The package URL of a package, as other scanners want it: with the release of the distribution, and the source where that has another name.
fn purl(package: &Package, inventory: &Inventory) -> Option<String> {
    let purl = Purl::of(&package.ecosystem, &package.name, &package.version)?;
    let system = inventory.system.as_ref().filter(|_| package.source.is_some());
    let distro = system.map(|system| ("distro", format!("{}-{}", system.id, system.version)));
    let upstream = package.source.as_ref().filter(|(name, _)| *name != package.name);
    let upstream = upstream.map(|(name, version)| ("upstream", format!("{name}@{version}")));
    let qualified = distro.into_iter().chain(upstream);
    Some(qualified.fold(purl, |purl, (key, value)| purl.with_qualifier(key, value)).to_string())
}

/// The image itself, by its digest, if there is one.
fn image_purl(image: &Judged) -> Option<String> {
    if image.listing.is_some() {
        return None;
    }
    let name = image.name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    Some(format!("pkg:oci/{name}@{}", image.digest.to_string().replace(':', "%3A")))
}
