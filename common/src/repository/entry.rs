//! One package as a database describes it: the `desc` file that repo-add writes.
//!
//! Format: blocks of `%FIELD%`, one value a line, an empty line. Written here exactly as repo-add 6.0.2 does, in its
//! order of fields; read with unknown fields passed over.

use std::collections::BTreeMap;

use base64::Engine as _;
use thiserror::Error;

use crate::names::{Arch, FileName, NameError, PkgBase, PkgName};
use crate::package::PackageFile;
use crate::srcinfo::Dependency;
use crate::version::{FullVersion, VersionError};

/// A `desc` that cannot be understood.
#[derive(Debug, Error)]
pub enum EntryError {
    /// A field is missing.
    #[error("an entry does not say {0}")]
    Missing(&'static str),
    /// A name breaks its rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The version is none.
    #[error(transparent)]
    Version(#[from] VersionError),
}

/// One package of a database.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The package.
    pub name: PkgName,
    /// Its full version.
    pub version: FullVersion,
    /// What it was built from.
    pub pkgbase: PkgBase,
    /// Its architecture, `any` included.
    pub arch: Arch,
    /// Its file.
    pub file_name: FileName,
    /// What it needs to run.
    pub depends: Vec<Dependency>,
    /// What it needs to be built.
    pub make_depends: Vec<Dependency>,
    /// What it needs to be tested while it is built.
    pub check_depends: Vec<Dependency>,
    /// What else it is good for, sonames included.
    pub provides: Vec<Dependency>,
    /// What it cannot be installed with.
    pub conflicts: Vec<Dependency>,
    /// What it takes the place of.
    pub replaces: Vec<Dependency>,
    /// The groups that it belongs to.
    pub groups: Vec<String>,
    /// When it was built, Unix time; 0 when it does not say.
    pub build_date: u64,
    /// Size of the file in bytes.
    pub compressed_size: u64,
    /// Size when installed in bytes.
    pub installed_size: u64,
    /// SHA-256 of the file, hexadecimal; empty when it does not say.
    pub sha256: String,
}

impl Entry {
    /// Reads a `desc`.
    ///
    /// # Errors
    /// Name, version, file name or architecture is missing, or breaks its rule.
    pub fn parse(desc: &str) -> Result<Self, EntryError> {
        let fields = fields(desc);
        let one = |key: &'static str| -> Result<&str, EntryError> {
            fields
                .get(key)
                .and_then(|values| values.first())
                .copied()
                .ok_or(EntryError::Missing(key))
        };
        let number = |key| one(key).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let many = |key: &str| fields.get(key).map_or(&[][..], Vec::as_slice);
        let dependencies = |key: &str| many(key).iter().map(|text| Dependency::parse(text)).collect();
        let name: PkgName = one("NAME")?.parse()?;
        Ok(Self {
            version: one("VERSION")?.parse()?,
            pkgbase: one("BASE").unwrap_or(name.as_str()).parse()?,
            arch: one("ARCH")?.parse()?,
            file_name: one("FILENAME")?.parse()?,
            depends: dependencies("DEPENDS"),
            make_depends: dependencies("MAKEDEPENDS"),
            check_depends: dependencies("CHECKDEPENDS"),
            provides: dependencies("PROVIDES"),
            conflicts: dependencies("CONFLICTS"),
            replaces: dependencies("REPLACES"),
            groups: many("GROUPS").iter().map(|group| (*group).to_owned()).collect(),
            build_date: number("BUILDDATE"),
            compressed_size: number("CSIZE"),
            installed_size: number("ISIZE"),
            sha256: one("SHA256SUM").unwrap_or_default().to_owned(),
            name,
        })
    }

    /// Whether this package is what a dependency asks for.
    #[must_use]
    pub fn meets(&self, dependency: &Dependency) -> bool {
        dependency.name == self.name.as_str() && dependency.accepts_version(self.version.as_str())
            || self.provides.iter().any(|provision| dependency.accepts(provision))
    }
}

/// Name, version and file of a `desc`.
pub(super) fn identity(desc: &str) -> Result<(PkgName, FullVersion, FileName), EntryError> {
    let one = |block: &'static str| {
        let at = desc
            .find(block)
            .filter(|at| *at == 0 || desc.as_bytes()[at - 1] == b'\n');
        at.and_then(|at| desc[at + block.len()..].lines().next())
            .ok_or(EntryError::Missing(block.trim_matches(['%', '\n'])))
    };
    Ok((
        one("%NAME%\n")?.parse()?,
        one("%VERSION%\n")?.parse()?,
        one("%FILENAME%\n")?.parse()?,
    ))
}

fn fields(desc: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut field = None;
    for line in desc.lines() {
        match line.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')) {
            Some(name) if field.is_none() => field = Some(name),
            _ if line.is_empty() => field = None,
            _ => {
                if let Some(name) = field {
                    fields.entry(name).or_default().push(line);
                }
            }
        }
    }
    fields
}

/// The `desc` of a package file, with the detached signature's bytes.
pub(super) fn describe(package: &PackageFile, signature: Option<&[u8]>) -> String {
    let info = &package.info;
    let last = |key: &str| Vec::from_iter(info.last(key));
    let all = |key: &str| Vec::from_iter(info.all(key));
    let file_name = package.file_name.to_string();
    let compressed_size = package.compressed_size.to_string();
    let encoded = signature.map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes));
    let blocks = [
        ("FILENAME", vec![file_name.as_str()]),
        ("NAME", vec![package.name().as_str()]),
        ("BASE", last("pkgbase")),
        ("VERSION", last("pkgver")),
        ("DESC", last("pkgdesc")),
        ("GROUPS", all("group")),
        ("CSIZE", vec![&compressed_size]),
        ("ISIZE", last("size")),
        ("MD5SUM", vec![&package.md5]),
        ("SHA256SUM", vec![&package.sha256]),
        ("PGPSIG", Vec::from_iter(encoded.as_deref())),
        ("URL", last("url")),
        ("LICENSE", all("license")),
        ("ARCH", last("arch")),
        ("BUILDDATE", last("builddate")),
        ("PACKAGER", last("packager")),
        ("REPLACES", all("replaces")),
        ("CONFLICTS", all("conflict")),
        ("PROVIDES", all("provides")),
        ("DEPENDS", all("depend")),
        ("OPTDEPENDS", all("optdepend")),
        ("MAKEDEPENDS", all("makedepend")),
        ("CHECKDEPENDS", all("checkdepend")),
    ];
    let mut desc = String::new();
    for (field, values) in blocks {
        // repo-add leaves a field out when its first value is empty.
        if values.first().is_some_and(|first| !first.is_empty()) {
            for text in ["%", field, "%\n"] {
                desc.push_str(text);
            }
            // makepkg writes no empty values, and one of a stranger would end the block.
            for value in values.iter().filter(|value| !value.is_empty()) {
                desc.push_str(value);
                desc.push('\n');
            }
            desc.push('\n');
        }
    }
    desc
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESC: &str = "%FILENAME%\nb-1:2-3-any.pkg.tar.zst\n\n%NAME%\nb\n\n%BASE%\na\n\n%VERSION%\n1:2-3\n\n\
        %NEW%\nwhat\never\n\n%ARCH%\nany\n\n%PROVIDES%\nc=5\nlibb.so=1-64\n\n%DEPENDS%\nglibc>=2\nd\n\n";

    #[test]
    fn a_desc_is_read_with_unknown_fields_passed_over() {
        let entry = Entry::parse(DESC).unwrap();
        assert_eq!((entry.name.as_str(), entry.pkgbase.as_str()), ("b", "a"));
        assert_eq!(entry.version.as_str(), "1:2-3");
        assert_eq!(entry.depends[0].to_string(), "glibc>=2");
        let meets = |text: &str| entry.meets(&Dependency::parse(text));
        assert!(meets("b>=1:1") && meets("c=5") && meets("libb.so=1-64"));
        assert!(!meets("c>5") && !meets("a"));
    }

    #[test]
    fn a_desc_without_a_file_name_is_refused() {
        let error = Entry::parse(&DESC.replace("FILENAME", "X")).unwrap_err();
        assert!(error.to_string().contains("FILENAME"), "{error}");
    }
}
