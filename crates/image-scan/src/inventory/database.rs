//! What the package managers of distributions have written down: dpkg (`status`, `status.d`) and apk (`installed`).

use super::Installed;

/// The installed packages in a database of dpkg, or in a file of it that is about one package.
///
/// # Errors
/// When it is not one, as where nothing in it has a name and a version.
pub(super) fn dpkg(text: &str) -> Result<Vec<Installed>, String> {
    let mut packages = Vec::new();
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        let field = |name: &str| {
            let line = |line: &'_ str| {
                line.strip_prefix(name)?.strip_prefix(':').map(|value| value.trim().to_owned())
            };
            paragraph.lines().find_map(line)
        };
        // In the files of `status.d` it stands nowhere, and is so.
        if field("Status").is_some_and(|status| status.split(' ').nth(2) != Some("installed")) {
            continue;
        }
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else {
            return Err("a package without a name or a version".to_owned());
        };
        let source = field("Source").map_or_else(
            || (name.clone(), version.clone()),
            |source| match source.split_once(" (") {
                Some((source, own)) => (source.to_owned(), own.trim_end_matches(')').to_owned()),
                None => (source, version.clone()),
            },
        );
        packages.push(Installed::new(name, version)?.built_from(source.0, source.1)?);
    }
    Ok(packages)
}

/// The installed packages in a database of apk, and the files that are theirs.
///
/// # Errors
/// When it is not one.
pub(super) fn apk(text: &str) -> Result<(Vec<Installed>, Vec<Box<str>>), String> {
    let (mut packages, mut files) = (Vec::new(), Vec::new());
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        let (mut name, mut version, mut origin, mut folder) = (None, None, None, "");
        for line in paragraph.lines() {
            match line.split_once(':') {
                Some(("P", value)) => name = Some(value),
                Some(("V", value)) => version = Some(value),
                Some(("o", value)) => origin = Some(value),
                Some(("F", value)) => folder = value,
                Some(("R", value)) if folder.is_empty() => files.push(value.into()),
                Some(("R", value)) => files.push(format!("{folder}/{value}").into()),
                Some(_) => {}
                None => return Err(format!("`{line:.80}` is no line of it")),
            }
        }
        let (Some(name), Some(version)) = (name, version) else {
            return Err("a package without a name or a version".to_owned());
        };
        let package = Installed::new(name, version)?;
        packages.push(package.built_from(origin.unwrap_or(name), version)?);
    }
    Ok((packages, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(packages: &[Installed]) -> Vec<String> {
        let word = |one: &Installed| {
            let (source, of) = one.source.as_ref().unwrap();
            format!("{} {} of {source} {of}", one.name, one.version)
        };
        packages.iter().map(word).collect()
    }

    #[test]
    fn dpkg_names_a_source_where_it_is_another() {
        let status = "Package: libc6\nStatus: install ok installed\nSource: glibc\nVersion: 2.36-9+deb12u10\n\
                      Description: x\n .\n Package: no\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                      Package: base-files\nStatus: install ok installed\nVersion: 12.4+deb12u5\n\n\
                      Package: libgcc-s1\nStatus: hold ok installed\nSource: gcc-12 (12.2.0-14)\nVersion: 12.2.0-14+b1\n";
        let expected = [
            "libc6 2.36-9+deb12u10 of glibc 2.36-9+deb12u10",
            "base-files 12.4+deb12u5 of base-files 12.4+deb12u5",
            "libgcc-s1 12.2.0-14+b1 of gcc-12 12.2.0-14",
        ];
        assert_eq!(said(&dpkg(status).unwrap()), expected);
        let distroless = "Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all\n";
        assert_eq!(said(&dpkg(distroless).unwrap()), ["tzdata 2024a-0+deb12u1 of tzdata 2024a-0+deb12u1"]);
    }

    #[test]
    fn apk_names_its_files_as_well() {
        let installed = "C:Q1x=\nP:musl\nV:1.2.5-r8\nA:x86_64\no:musl\nF:lib\nR:libc.musl-x86_64.so.1\na:0:0:777\nF:\nR:x\n\n\
                         P:libcrypto3\nV:3.3.2-r4\no:openssl\n\nP:odd\nV:1-r0\n\n";
        let (packages, files) = apk(installed).unwrap();
        let expected = [
            "musl 1.2.5-r8 of musl 1.2.5-r8",
            "libcrypto3 3.3.2-r4 of openssl 3.3.2-r4",
            "odd 1-r0 of odd 1-r0",
        ];
        assert_eq!(said(&packages), expected);
        assert_eq!(files, ["lib/libc.musl-x86_64.so.1", "x"].map(Box::from));
    }

    #[test]
    fn what_is_no_database_is_an_error_and_not_an_empty_one() {
        for bad in ["Package: a\n", "hello", "Version: 1\n\nPackage: b\nVersion: 2\n"] {
            dpkg(bad).unwrap_err();
        }
        for bad in ["P:a\n", "hello", "V:1\n\n", "P:a\nV:1\nx\n"] {
            apk(bad).unwrap_err();
        }
        let long = "x".repeat(600);
        dpkg(&format!("Package: {long}\nVersion: 1\n")).unwrap_err();
        apk(&format!("P:a\nV:{long}\n")).unwrap_err();
        assert!(dpkg("").unwrap().is_empty() && apk("\n").unwrap().0.is_empty());
    }
}
