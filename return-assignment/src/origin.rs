//! What a package says of its origin: `.PKGINFO`, `.BUILDINFO` and `.MTREE` against each other, against the order and
//! against the operator's rules. These are the checks of Arch's dbscripts, with the version and the set of packages, which
//! [`crate::expected`] compares, and the name of the file, which [`PackageFile`] compares.

use common::build_list::Order;
use common::config::{Config, ConfigError};
use common::package::{Info, Manifest, PackageFile};

/// Where clean chroots build.
const CLEAN_BUILD_DIRECTORY: &str = "/build";
/// What makepkg writes for whoever has not said who they are.
const NOBODY: &str = "Unknown Packager";
/// What both files say, by the key of `.BUILDINFO` and that of `.PKGINFO`.
const SAID_TWICE: [(&str, &str); 5] = [
    ("pkgname", "pkgname"),
    ("pkgver", "pkgver"),
    ("pkgarch", "arch"),
    ("packager", "packager"),
    ("builddate", "builddate"),
];

/// The operator's rules.
pub(crate) struct Rules {
    build_directories: Vec<String>,
    is_packager_required: bool,
}

impl Rules {
    pub(crate) fn from_config(config: &Config) -> Result<Self, ConfigError> {
        let configured: Vec<String> = config.words("accepted_builddirs").map(str::to_owned).collect();
        Ok(Self {
            build_directories: if configured.is_empty() {
                vec![CLEAN_BUILD_DIRECTORY.to_owned()]
            } else {
                configured
            },
            is_packager_required: config.switch("require_packager", true)?,
        })
    }

    /// What is wrong with a package, if anything.
    pub(crate) fn complaint(&self, file: &PackageFile, order: &Order) -> Option<String> {
        let other_base = || {
            (file.pkgbase != order.pkgbase)
                .then(|| format!("it was built from {}, not from {}", file.pkgbase, order.pkgbase))
        };
        let no_build_info = || "there is no .BUILDINFO".to_owned();
        let manifest = || match &file.manifest {
            Manifest::Agrees => None,
            Manifest::Missing => Some("there is no .MTREE".to_owned()),
            Manifest::Differs(complaint) => Some(format!("the .MTREE does not fit: {complaint}")),
        };
        let Some(build_info) = &file.build_info else {
            return Some(no_build_info());
        };
        other_base()
            .or_else(|| wrong_number(&file.info))
            .or_else(|| disagreement(build_info, file))
            .or_else(|| self.wrong_build_directory(build_info))
            .or_else(|| self.wrong_packager(&file.info))
            .or_else(manifest)
    }

    fn wrong_build_directory(&self, build_info: &Info) -> Option<String> {
        let directory = build_info.last("builddir").unwrap_or("no directory that it names");
        let is_accepted = |accepted: &String| accepted == directory || accepted == "*";
        (!self.build_directories.iter().any(is_accepted)).then(|| {
            let accepted = self.build_directories.join(" or ");
            format!("it was built in {directory}, not in {accepted}, so not in a clean chroot")
        })
    }

    fn wrong_packager(&self, info: &Info) -> Option<String> {
        let packager = info.last("packager").unwrap_or(NOBODY);
        (self.is_packager_required && packager == NOBODY)
            .then(|| "it does not say who made it: PACKAGER is to be set in the builder's makepkg.conf".to_owned())
    }
}

/// Sizes and dates are whole numbers.
fn wrong_number(info: &Info) -> Option<String> {
    let wrong = |key: &&str| info.last(key).is_none_or(|value| value.parse::<u64>().is_err());
    ["size", "builddate"]
        .into_iter()
        .find(wrong)
        .map(|key| format!("its .PKGINFO says no number for {key}"))
}

/// Where `.BUILDINFO` says something else than `.PKGINFO`.
fn disagreement(build_info: &Info, file: &PackageFile) -> Option<String> {
    let differs = |(theirs, ours): &(&str, &str)| build_info.last(theirs) != file.info.last(ours);
    if build_info.last("pkgbase") != Some(file.pkgbase.as_str()) {
        return Some("its .BUILDINFO and .PKGINFO say different things of pkgbase".to_owned());
    }
    SAID_TWICE
        .into_iter()
        .find(differs)
        .map(|(key, _)| format!("its .BUILDINFO and .PKGINFO say different things of {key}"))
}
