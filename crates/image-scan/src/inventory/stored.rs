//! How what was found in a file is kept in a cache.

use std::io::{self, BufRead, Write};

use shipkit_core::leak::SecretFile;

use super::{Found, Installed, System, java};
use crate::cache::{Reader, Writer, damaged};

/// The ecosystems of languages.
const ECOSYSTEMS: [&str; 5] = ["npm", "PyPI", "Go", "crates.io", "node"];

const SYSTEM: u64 = 0;
const DPKG: u64 = 1;
const FILES: u64 = 2;
const APK: u64 = 3;
const LANGUAGE: u64 = 4;
const JAVA: u64 = 5;
const SECRET: u64 = 6;
const UNREADABLE: u64 = 7;

impl Found {
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, to: &mut Writer<impl Write>) -> io::Result<()> {
        match self {
            Self::System(System { id, version, name }) => {
                to.number(SYSTEM)?;
                [id, version, name].into_iter().try_for_each(|text| to.text(text))
            }
            Self::Dpkg(packages) => {
                to.number(DPKG)?;
                put_packages(to, packages)
            }
            Self::Files(files) => {
                to.number(FILES)?;
                put_texts(to, files)
            }
            Self::Apk(packages, files) => {
                to.number(APK)?;
                put_packages(to, packages)?;
                put_texts(to, files)
            }
            Self::Language(ecosystem, packages) => {
                if !ECOSYSTEMS.contains(ecosystem) {
                    return Err(damaged("an ecosystem that is not known"));
                }
                to.number(LANGUAGE)?;
                to.text(ecosystem)?;
                put_packages(to, packages)
            }
            Self::Java(java::Archive { packages, unnamed, unread }) => {
                to.number(JAVA)?;
                put_packages(to, packages)?;
                to.count(*unnamed)?;
                put_texts(to, unread.as_slice())
            }
            Self::Secret(what) => {
                to.number(SECRET)?;
                to.text(what)
            }
            Self::Unreadable(why) => {
                to.number(UNREADABLE)?;
                to.text(why)
            }
        }
    }

    /// # Errors
    /// When it is not what was written.
    pub(crate) fn read(from: &mut Reader<impl BufRead>) -> io::Result<Self> {
        match from.number()? {
            SYSTEM => {
                Ok(Self::System(System { id: from.text()?, version: from.text()?, name: from.text()? }))
            }
            DPKG => Ok(Self::Dpkg(packages(from)?)),
            FILES => Ok(Self::Files(texts(from)?)),
            APK => Ok(Self::Apk(packages(from)?, texts(from)?)),
            LANGUAGE => {
                let ecosystem = one_of(&from.text()?, ECOSYSTEMS)?;
                Ok(Self::Language(ecosystem, packages(from)?))
            }
            JAVA => {
                let (packages, unnamed) = (packages(from)?, from.count()?);
                let unread = texts(from)?.into_iter().next().map(String::from);
                Ok(Self::Java(java::Archive { packages, unnamed, unread }))
            }
            SECRET => Ok(Self::Secret(one_of(&from.text()?, SecretFile::ALL.map(SecretFile::what))?)),
            UNREADABLE => Ok(Self::Unreadable(from.text()?)),
            _ => Err(damaged("something else in a file")),
        }
    }
}

fn one_of<const N: usize>(text: &str, known: [&'static str; N]) -> io::Result<&'static str> {
    known.into_iter().find(|one| *one == text).ok_or_else(|| damaged("a word that is not known"))
}

fn put_packages(to: &mut Writer<impl Write>, packages: &[Installed]) -> io::Result<()> {
    to.count(packages.len())?;
    for Installed { name, version, source } in packages {
        to.text(name)?;
        to.text(version)?;
        to.count(usize::from(source.is_some()))?;
        if let Some((name, version)) = source {
            to.text(name)?;
            to.text(version)?;
        }
    }
    Ok(())
}

fn packages(from: &mut Reader<impl BufRead>) -> io::Result<Vec<Installed>> {
    let mut packages = Vec::new();
    for _ in 0..from.count()? {
        let (name, version) = (from.text()?.into(), from.text()?.into());
        let source = match from.number()? {
            0 => None,
            _ => Some((from.text()?.into(), from.text()?.into())),
        };
        packages.push(Installed { name, version, source });
    }
    packages.shrink_to_fit();
    Ok(packages)
}

fn put_texts(to: &mut Writer<impl Write>, texts: &[impl AsRef<str>]) -> io::Result<()> {
    to.count(texts.len())?;
    texts.iter().try_for_each(|text| to.text(text.as_ref()))
}

fn texts(from: &mut Reader<impl BufRead>) -> io::Result<Vec<Box<str>>> {
    let mut texts = Vec::new();
    for _ in 0..from.count()? {
        texts.push(from.text()?.into());
    }
    texts.shrink_to_fit();
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(found: &Found) -> io::Result<Found> {
        let mut to = Writer::new(Vec::new());
        found.write(&mut to)?;
        let bytes = to.into_inner();
        // A part of it is none.
        for cut in 0..bytes.len() {
            Found::read(&mut Reader::new(&bytes[..cut])).unwrap_err();
        }
        let mut from = Reader::new(&bytes[..]);
        let found = Found::read(&mut from)?;
        from.end()?;
        Ok(found)
    }

    #[test]
    fn what_is_kept_is_what_was_found() {
        let package = || Installed::new("a", "1").unwrap();
        let of_source = || package().built_from("b", "2").unwrap();
        let java = |unread: Option<&str>| {
            let unread = unread.map(str::to_owned);
            Found::Java(java::Archive { packages: vec![package()], unnamed: 3, unread })
        };
        let system = System { id: "debian".to_owned(), version: String::new(), name: "Ä".to_owned() };
        let mut all = vec![
            Found::System(system),
            Found::Dpkg(vec![package(), of_source()]),
            Found::Files(vec!["a".into(), "".into()]),
            Found::Apk(vec![of_source()], vec!["x".into()]),
            java(None),
            java(Some("why")),
            Found::Unreadable("why".to_owned()),
        ];
        all.extend(ECOSYSTEMS.map(|ecosystem| Found::Language(ecosystem, vec![package()])));
        all.extend(SecretFile::ALL.map(|one| Found::Secret(one.what())));
        for found in all {
            assert_eq!(back(&found).unwrap(), found);
        }
        back(&Found::Language("unknown", Vec::new())).unwrap_err();
    }
}
