//! Looking at uploaded packages without any lock: signatures one by one, then the set, then what each package holds and
//! says of itself. So nobody reads the archive of a stranger.

use common::build_list::Order;
use common::config::Config;
use common::names::{Arch, Builder};
use common::package::{DEFAULT_EXPANDED_MIB, PackageFile};
use common::repository::NewPackage;
use common::version::PackageFileName;

use crate::expected;
use crate::origin::Rules;
use crate::trust::Trust;
use crate::upload::Upload;

/// Why packages are not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A signature is missing or not trusted.
    Untrusted(String),
    /// They are not the expected packages.
    Unexpected(String),
}

/// What packages have to be.
pub(crate) struct Policy {
    trust: Trust,
    rules: Rules,
    arch: Arch,
    expanded_mib: u64,
}

impl Policy {
    pub(crate) fn from_config(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            trust: Trust::from_config(config)?,
            rules: Rules::from_config(config)?,
            arch: config.arch()?,
            expanded_mib: config.number("package_limit_mib", DEFAULT_EXPANDED_MIB)?,
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
        if let Err(refusal) = self.trust.check(upload, builder)? {
            return Ok(Err(refusal));
        }
        let found: Vec<PackageFileName> = upload.packages().map(|(name, _)| name).collect();
        if let Err(difference) = expected::compare(&found, expected, &self.arch) {
            return Ok(Err(Refusal::Unexpected(difference)));
        }
        let mut packages = Vec::new();
        for (name, path) in upload.packages() {
            let refuse = |reason: String| Ok(Err(Refusal::Unexpected(format!("{name}: {reason}"))));
            let file = match PackageFile::read_within(path, self.expanded_mib) {
                Ok(file) => file,
                Err(error) if error.cause.is_trouble_of_the_machine() => return Err(error.into()),
                Err(error) => return refuse(error.cause.to_string()),
            };
            if let Some(complaint) = self.rules.complaint(&file, order) {
                return refuse(complaint);
            }
            packages.push(NewPackage {
                file,
                signature: upload.signature_of(&name).map(ToOwned::to_owned),
            });
        }
        Ok(Ok(packages))
    }
}
