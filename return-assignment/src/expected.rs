//! The set of packages that an order makes, and how an upload differs from it.

use std::collections::BTreeSet;

use common::build_list::Order;
use common::config::Config;
use common::metadata::Metadata;
use common::names::Arch;
use common::release::Release;
use common::source::{SubPkgrel, SubRelease};
use common::version::PackageFileName;
use common::work_dir::WorkDir;

/// Says which files an order makes.
pub(crate) trait ExpectedFiles {
    /// The names of the package files with this sub-release number; their extension says nothing.
    fn expected_files(&self, order: &Order, sub_pkgrel: u32) -> anyhow::Result<Vec<PackageFileName>>;
}

/// The metadata of the packaging repositories.
pub(crate) struct FromMetadata<'a> {
    pub(crate) config: &'a Config,
    pub(crate) work_dir: &'a WorkDir,
}

impl ExpectedFiles for FromMetadata<'_> {
    fn expected_files(&self, order: &Order, sub_pkgrel: u32) -> anyhow::Result<Vec<PackageFileName>> {
        let srcinfo = Metadata::open(self.config, self.work_dir)?.srcinfo(order)?;
        let sub = SubRelease::new(SubPkgrel::configured(self.config)?, sub_pkgrel);
        Ok(Release::of(&srcinfo).package_files(sub, &self.config.arch()?, ".pkg.tar"))
    }
}

/// Compares the sets of packages: names and versions exactly, `any` and the target architecture as one.
pub(crate) fn compare(found: &[PackageFileName], expected: &[PackageFileName], arch: &Arch) -> Result<(), String> {
    let key = |name: &PackageFileName| {
        let is_ours = name.arch == *arch || name.arch.as_str() == "any";
        let arch = if is_ours {
            String::new()
        } else {
            format!("-{}", name.arch)
        };
        format!("{}-{}{arch}", name.pkgname, name.version)
    };
    let found_keys: BTreeSet<String> = found.iter().map(key).collect();
    let expected_keys: BTreeSet<String> = expected.iter().map(key).collect();
    let list = |set: Vec<&String>| set.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ");
    let missing = list(expected_keys.difference(&found_keys).collect());
    let unexpected = list(found_keys.difference(&expected_keys).collect());
    let parts: Vec<String> = [("missing", missing), ("unexpected", unexpected)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(word, names)| format!("{word}: {names}"))
        .collect();
    if !parts.is_empty() {
        return Err(parts.join("; "));
    }
    if found_keys.len() != found.len() {
        return Err("a package is there twice".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<PackageFileName> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn missing_and_unexpected_packages_are_listed() {
        let arch: Arch = "i686".parse().unwrap();
        let expected = names(&["a-1-1.0-i686.pkg.tar", "a-docs-1-1.0-any.pkg.tar"]);
        let found = names(&["a-1-1.0-any.pkg.tar.xz", "a-docs-1-1.0-any.pkg.tar.zst"]);
        assert_eq!(compare(&found, &expected, &arch), Ok(()));
        let found = names(&["a-1-1.0-i686.pkg.tar.xz", "b-1-1.0-any.pkg.tar.zst"]);
        let error = compare(&found, &expected, &arch).unwrap_err();
        assert_eq!(error, "missing: a-docs-1-1.0; unexpected: b-1-1.0");
        let found = names(&["a-1-1.1-i686.pkg.tar.xz", "a-docs-1-1.0-any.pkg.tar.zst"]);
        assert!(compare(&found, &expected, &arch).is_err(), "another version");
        let found = names(&["a-1-1.0-x86_64.pkg.tar.xz", "a-docs-1-1.0-any.pkg.tar.zst"]);
        assert!(compare(&found, &expected, &arch).unwrap_err().contains("x86_64"));
        let mut found = names(&["a-1-1.0-i686.pkg.tar.xz", "a-1-1.0-i686.pkg.tar.zst"]);
        found.extend(names(&["a-docs-1-1.0-any.pkg.tar"]));
        assert_eq!(
            compare(&found, &expected, &arch).unwrap_err(),
            "a package is there twice"
        );
    }
}
