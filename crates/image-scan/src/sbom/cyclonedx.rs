//! CycloneDX 1.6 (ECMA-424).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{TOOL, VERSION, image_purl, purl};
use crate::report::Judged;

/// The packages of an image, each with the layer that brought it and the step of the build that made that.
pub(super) fn of(image: &Judged, now: Timestamp) -> Value {
    let inventory = &image.inventory;
    let packages = inventory.packages.iter().enumerate().map(|(number, package)| {
        let property = |name: &str, value: String| json!({"name": format!("shipkit:{name}"), "value": value});
        let made_by = image.build.steps.get(package.layer).filter(|step| !step.is_empty());
        let properties = [
            image.listing.is_none().then(|| property("layer", package.layer.to_string())),
            Some(property("path", package.path.clone())),
            made_by.map(|step| property("madeBy", step.clone())),
        ];
        let mut component = json!({"type": "library", "bom-ref": format!("package-{number}"),
            "name": package.name, "version": package.version,
            "properties": properties.into_iter().flatten().collect::<Vec<_>>()});
        if let (Some(component), Some(purl)) = (component.as_object_mut(), purl(package, inventory)) {
            component.insert("purl".to_owned(), purl.into());
        }
        component
    });
    let system = inventory.system.as_ref().map(|system| {
        json!({"type": "operating-system", "bom-ref": "system", "name": system.id, "version": system.version,
            "description": system.name})
    });
    let mut subject = json!({"type": "application", "bom-ref": "image", "name": image.name,
        "version": image.digest.to_string(),
        "properties": [{"name": "shipkit:platform", "value": image.platform}]});
    if let (Some(subject), Some(purl)) = (subject.as_object_mut(), image_purl(image)) {
        subject.insert("type".to_owned(), "container".into());
        subject.insert("purl".to_owned(), purl.into());
    }
    let mut bom = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": now.to_string(),
            "tools": {"components": [{"type": "application", "name": TOOL, "version": VERSION}]},
            "component": subject,
        },
        "components": system.into_iter().chain(packages).collect::<Vec<_>>(),
    });
    // What could not be read may hold more.
    if let (Some(bom), false) = (bom.as_object_mut(), inventory.doubts.is_empty()) {
        bom.insert("compositions".to_owned(), json!([{"aggregate": "incomplete", "assemblies": ["image"]}]));
    }
    bom
}
