//! Where the directory that is built comes from: the commits of an order, or a directory of yours.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, bail};
use common::assignment::Answer;
use common::build_list::Order;
use common::config::Config;
use common::metadata::{self, Metadata};
use common::source::{SourceError, Sources, SubPkgrel, SubRelease};
use common::srcinfo::SrcInfo;
use common::version::PackageFileName;
use common::work_dir::WorkDir;

/// What a build leaves in a directory, and what is no part of a package: not copied.
const LEFT_OUT: [&str; 4] = ["src", "pkg", ".git", ".svn"];

/// What is built.
pub(crate) enum Origin<'a> {
    /// An order, out of the clones.
    Order(Box<OrderOrigin<'a>>),
    /// A directory with a PKGBUILD, as it is.
    Directory(PathBuf, &'a Config),
}

/// An order and the clones that have it.
pub(crate) struct OrderOrigin<'a> {
    pub(crate) config: &'a Config,
    pub(crate) sources: Sources,
    pub(crate) order: Order,
    pub(crate) sub: SubRelease,
}

impl<'a> Origin<'a> {
    /// The origin of an order that the master handed out; what is missing in the clones is fetched.
    ///
    /// # Errors
    /// The configuration of the git repositories is wrong, or they cannot be fetched.
    pub(crate) fn of_answer(config: &'a Config, answer: &Answer) -> anyhow::Result<Self> {
        let sources = Sources::open(config)?;
        let order = answer.assignment.order.clone();
        if !sources.has_commits_of(&order)? {
            sources.fetch().context("cannot fetch the git repositories")?;
        }
        let mode = SubPkgrel::configured(config)?;
        let sub = SubRelease::of_files(answer.assignment.sub_pkgrel, &answer.files, mode);
        Ok(Self::Order(Box::new(OrderOrigin {
            config,
            sources,
            order,
            sub,
        })))
    }

    /// Writes the directory, which must not exist.
    ///
    /// # Errors
    /// The commits are unknown, their content is refused, or a file cannot be read or written.
    pub(crate) fn lay_out(&self, destination: &Path) -> anyhow::Result<()> {
        match self {
            Self::Order(origin) => Ok(origin.sources.checkout(&origin.order, origin.sub, destination)?),
            Self::Directory(path, _) => copy_directory(path, destination),
        }
    }

    /// Unix time of the commit, or of the PKGBUILD in a directory: SOURCE_DATE_EPOCH of the build.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn time(&self) -> anyhow::Result<u64> {
        match self {
            Self::Order(origin) => Ok(origin.sources.commit_time(&origin.order)?),
            Self::Directory(path, _) => {
                let pkgbuild = path.join("PKGBUILD");
                let modified = std::fs::metadata(&pkgbuild).and_then(|metadata| metadata.modified());
                let modified = modified.with_context(|| format!("cannot read {}", pkgbuild.display()))?;
                Ok(modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
            }
        }
    }

    /// The `.SRCINFO`, without our sub-release.
    ///
    /// # Errors
    /// The PKGBUILD cannot be evaluated.
    pub(crate) fn srcinfo_text(&self) -> anyhow::Result<String> {
        match self {
            Self::Order(origin) => {
                let metadata = Metadata::open(origin.config, &WorkDir::open(origin.config)?)?;
                Ok(metadata.srcinfo_text(&origin.order)?)
            }
            Self::Directory(path, config) => Ok(metadata::evaluate(config, |directory| {
                copy_directory(path, directory).map_err(|error| SourceError::Directory(format!("{error:#}")))
            })?),
        }
    }

    /// Address of upstream's source archive: `$git`, `$pkgbase` and `$version` in the mirror's address are replaced, and
    /// one without them gets what the mirror of Arch has behind it.
    ///
    /// # Errors
    /// The PKGBUILD cannot be evaluated.
    pub(crate) fn archive_address(&self, mirror: &str) -> anyhow::Result<String> {
        let (arch, git) = match self {
            Self::Order(origin) => {
                let content = origin.sources.content(&origin.order)?;
                let git = origin.sources.git_repository_of(&content);
                (origin.sources.arch().clone(), git.map(ToString::to_string))
            }
            Self::Directory(_, config) => (config.arch()?, None),
        };
        let srcinfo = SrcInfo::parse(&self.srcinfo_text()?, &arch)?;
        let template = match mirror.contains('$') {
            true => mirror.to_owned(),
            false => format!("{}/$git/$pkgbase-$version.src.tar.gz", mirror.trim_end_matches('/')),
        };
        Ok(template
            .replace("$git", git.as_deref().unwrap_or("packages"))
            .replace("$pkgbase", srcinfo.pkgbase.as_str())
            .replace("$version", &srcinfo.full_version().to_string()))
    }
}

/// Copies a package's directory without what builds left in it.
fn copy_directory(from: &Path, to: &Path) -> anyhow::Result<()> {
    if !from.join("PKGBUILD").is_file() {
        bail!("{} has no PKGBUILD", from.display());
    }
    let is_wanted = |name: &str| {
        !LEFT_OUT.contains(&name)
            && name
                .strip_suffix(".sig")
                .unwrap_or(name)
                .parse::<PackageFileName>()
                .is_err()
            && !name.ends_with(".log")
    };
    copy_tree(from, to, &is_wanted)
}

fn copy_tree(from: &Path, to: &Path, is_wanted: &dyn Fn(&str) -> bool) -> anyhow::Result<()> {
    let read = || format!("cannot read {}", from.display());
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in std::fs::read_dir(from).with_context(read)? {
        let entry = entry.with_context(read)?;
        let name = entry.file_name();
        if !is_wanted(&name.to_string_lossy()) {
            continue;
        }
        let (path, target) = (entry.path(), to.join(&name));
        let kind = entry.file_type().with_context(read)?;
        let copied = if kind.is_dir() {
            copy_tree(&path, &target, &|_| true)?;
            continue;
        } else if kind.is_symlink() {
            std::fs::read_link(&path).and_then(|link| std::os::unix::fs::symlink(link, &target))
        } else if kind.is_file() {
            std::fs::copy(&path, &target).map(drop)
        } else {
            bail!("{} is neither file nor directory", path.display());
        };
        copied.with_context(|| format!("cannot copy {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_copied_without_what_builds_left_in_it() {
        let from = tempfile::tempdir().unwrap();
        for name in [
            "PKGBUILD",
            "fix.patch",
            "keys/pgp/1.asc",
            "keys/src/x",
            "src/x",
            "pkg/x",
            "a-1-1-any.pkg.tar.zst",
            "a-1-1-any.pkg.tar.zst.sig",
        ] {
            let path = from.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            common::atomic::write(&path, b"").unwrap();
        }
        let to = tempfile::tempdir().unwrap();
        copy_directory(from.path(), to.path()).unwrap();
        let mut found: Vec<String> = std::fs::read_dir(to.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, ["PKGBUILD", "fix.patch", "keys"]);
        assert!(to.path().join("keys/src/x").exists(), "only at the top");
        assert!(copy_directory(to.path().join("keys").as_path(), from.path()).is_err());
    }
}
