//! Looking at uploaded packages without any lock: signatures one by one, then the set, then what each package says.

use std::collections::BTreeSet;

use anyhow::Context as _;
use common::build_list::Order;
use common::config::Config;
use common::metadata::Metadata;
use common::names::{Arch, Builder};
use common::package::PackageFile;
use common::repository::NewPackage;
use common::signature::{BuilderKeys, Keyring};
use common::source::{SubPkgrel, SubRelease};
use common::version::PackageFileName;
use common::work_dir::WorkDir;

use crate::upload::Upload;

/// Why packages are not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A signature is missing or not trusted.
    Untrusted(String),
    /// They are not the expected packages.
    Unexpected(String),
}

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
        Ok(srcinfo.package_files(sub, &self.config.arch()?, ".pkg.tar"))
    }
}

/// The signature policy.
pub(crate) struct Policy {
    keyring: Option<Keyring>,
    builder_keys: BuilderKeys,
    arch: Arch,
}

impl Policy {
    pub(crate) fn from_config(config: &Config) -> anyhow::Result<Self> {
        let is_required = config.switch("require_signatures", true)?;
        Ok(Self {
            keyring: is_required.then(|| Keyring::from_config(config)).transpose()?,
            builder_keys: match config.path("builder_keys")? {
                Some(path) => BuilderKeys::read(&path)?,
                None => BuilderKeys::default(),
            },
            arch: config.arch()?,
        })
    }

    /// Checks everything about the packages that does not depend on the master's state.
    ///
    /// # Errors
    /// The check itself could not be made.
    pub(crate) fn inspect(
        &self,
        upload: &Upload,
        order: &Order,
        builder: &Builder,
        expected: &[PackageFileName],
    ) -> anyhow::Result<Result<Vec<NewPackage>, Refusal>> {
        if let Some(keyring) = &self.keyring {
            for (name, path) in upload.packages() {
                if let Some(reason) = self.distrust(keyring, builder, path, upload.signature_of(&name))? {
                    return Ok(Err(Refusal::Untrusted(format!("{name}: {reason}"))));
                }
            }
        }
        let found: Vec<PackageFileName> = upload.packages().map(|(name, _)| name).collect();
        if let Err(difference) = compare(&found, expected, &self.arch) {
            return Ok(Err(Refusal::Unexpected(difference)));
        }
        let mut packages = Vec::new();
        for (name, path) in upload.packages() {
            let file = match PackageFile::read(path) {
                Ok(file) => file,
                Err(error) if error.cause.is_trouble_of_the_machine() => return Err(error.into()),
                Err(error) => return Ok(Err(Refusal::Unexpected(format!("{name}: {}", error.cause)))),
            };
            if file.pkgbase != order.pkgbase {
                return Ok(Err(Refusal::Unexpected(format!(
                    "{name}: it was built from {}, not from {}",
                    file.pkgbase, order.pkgbase
                ))));
            }
            packages.push(NewPackage {
                file,
                signature: upload.signature_of(&name).map(ToOwned::to_owned),
            });
        }
        Ok(Ok(packages))
    }

    /// Why a package is not trusted, if so.
    fn distrust(
        &self,
        keyring: &Keyring,
        builder: &Builder,
        file: &std::path::Path,
        signature: Option<&std::path::Path>,
    ) -> anyhow::Result<Option<String>> {
        let Some(signature) = signature else {
            return Ok(Some("it has no signature".to_owned()));
        };
        match keyring.verify(file, signature) {
            Ok(signer) if self.builder_keys.allow(builder, &signer) => Ok(None),
            Ok(signer) => Ok(Some(format!("{} is none of the keys of {builder}", signer.primary))),
            Err(common::signature::SignatureError::Refused { reason, .. }) => {
                Ok(Some(format!("the signature is not accepted: {reason}")))
            }
            Err(error) => Err(error).context("signatures cannot be checked"),
        }
    }
}

/// Compares the sets of packages: names and versions exactly, `any` and the target architecture as one.
fn compare(found: &[PackageFileName], expected: &[PackageFileName], arch: &Arch) -> Result<(), String> {
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
