//! `Image`: the names under which an image is tagged.

use crate::explained::Place;
use crate::reference::Repository;

use super::attributes::{Attributes, flag};
use super::csv;
use super::error::{MetaError, Problem};

/// One name of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// The name as tags carry it: lower case, without tag and digest.
    pub(super) name: String,
    /// The bake target that it belongs to; without one it belongs to all.
    pub(super) target: Option<String>,
}

/// The images that are enabled, each once.
pub(super) fn images(text: &str) -> Result<Vec<Image>, MetaError> {
    let mut found = Vec::new();
    for record in csv::entries("images", text)? {
        let mut attributes = Attributes::of(&record)?;
        let bare = std::mem::take(&mut attributes.bare);
        let bare: Vec<_> = bare.into_iter().filter(|name| !name.is_empty()).collect();
        if attributes.is_empty() && !bare.is_empty() {
            for name in &bare {
                found.push(Image { name: checked(name, &record.place)?, target: None });
            }
            continue;
        }
        let name = attributes.take("name");
        let is_enabled = attributes.take("enable").map(|text| flag("enable", &text, &record.place));
        let target = attributes.take("target").filter(|target| !target.is_empty());
        attributes.finish("attribute of an image", &["name", "enable", "target"])?;
        let mut names = bare.into_iter().chain(name);
        let name = names.next().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Problem::NoName.at(&record.place))?;
        if let Some(second) = names.next() {
            return Err(Problem::SecondName(second).at(&record.place));
        }
        if is_enabled.transpose()?.unwrap_or(true) {
            found.push(Image { name: checked(&name, &record.place)?, target });
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|image| seen.insert((image.name.clone(), image.target.clone())));
    Ok(found)
}

/// The name in lower case, if it is one and nothing more.
fn checked(name: &str, place: &Place) -> Result<String, MetaError> {
    let lower = name.to_lowercase();
    match lower.parse::<Repository>() {
        Ok(_) => Ok(lower),
        Err(error) => Err(Problem::Image(error).at(place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let found: Vec<_> = images(text).unwrap().into_iter().map(|image| image.name).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn an_image_is_a_name_or_attributes() {
        check("name/foo\n# no\nname/bar", &["name/foo", "name/bar"]);
        check("name/foo,name/bar", &["name/foo", "name/bar"]);
        check(
            "name=name/bar\nname/foo,enable=false\nName=ghcr.io/UserName/Foo,enable=true",
            &["name/bar", "ghcr.io/username/foo"],
        );
        check("localhost:5000/a\na/b\nA/B", &["localhost:5000/a", "a/b"]);
        check("", &[]);
        check("\"a/b\"", &["a/b"]);
    }

    #[test]
    fn an_image_may_belong_to_one_target() {
        let found = images("a/api,target=api\na/api,target=web\na/api").unwrap();
        let targets: Vec<_> = found.iter().map(|image| image.target.as_deref()).collect();
        assert_eq!(targets, [Some("api"), Some("web"), None]);
    }

    #[test]
    fn what_names_no_image_is_an_error_at_its_line() {
        for (text, message) in [
            (
                "a/b:1",
                "line 1 of `images`: `a/b:1` carries a tag or a digest where only a repository name belongs",
            ),
            (
                "\na/b@sha256:0,enable=true",
                "line 2 of `images`: `a/b@sha256:0` carries a tag or a digest where only a repository name belongs",
            ),
            ("value=a", "line 1 of `images`: unknown attribute of an image `value`"),
            ("a,enable=bar", "line 1 of `images`: `enable` is `bar`, and not `true` or `false`"),
            ("name=,enable=true", "line 1 of `images`: an image has no name"),
            (
                "a/b,name=a/c",
                "line 1 of `images`: `a/c` is a second name: an entry with attributes is about one image",
            ),
        ] {
            assert_eq!(images(text).unwrap_err().to_string(), message);
        }
    }
}
