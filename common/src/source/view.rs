//! The merged view: which packages there are at given commits, upstream's and the customization's together.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use git2::Oid;

use super::heads::tree_at;
use super::layout::{Layout, Place, repository_places};
use super::packaging::Packaging;
use super::patches::PATCHES;
use super::{Content, Heads, SourceError, Sources};
use crate::build_list::Order;
use crate::git::{EntryKind, GitRepository};
use crate::names::{PkgBase, Repository, Revision};

/// The two PKGBUILDs of a package and the patches of ours: a change of one of them is a new release, a change of
/// another file is not. In the layout `state` a change of the state file is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    upstream: Option<Oid>,
    customization: Option<Oid>,
    patches: Option<Oid>,
}

/// A package in the merged view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePackage {
    /// The git repository whose commit an order for it names.
    pub git_repository: Repository,
    /// The package repository it belongs to.
    pub repository: Repository,
    /// Its PKGBUILDs.
    pub recipe: Recipe,
    /// All its files.
    pub content: Content,
}

/// All packages at given commits.
#[derive(Debug, Clone, Default)]
pub struct MergedView {
    packages: BTreeMap<PkgBase, SourcePackage>,
    warnings: Vec<String>,
}

impl MergedView {
    /// The package of a name.
    #[must_use]
    pub fn get(&self, pkgbase: &PkgBase) -> Option<&SourcePackage> {
        self.packages.get(pkgbase)
    }

    /// All packages by name.
    pub fn iter(&self) -> impl Iterator<Item = (&PkgBase, &SourcePackage)> {
        self.packages.iter()
    }

    /// What a person should know about the sources.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// A package's directory with a PKGBUILD in it or not.
struct Candidate {
    place: Place,
    pkgbuild: Option<Oid>,
    patches: Option<Oid>,
}

impl Sources {
    /// The packages at these commits. A git repository without a commit in `heads` counts as empty.
    ///
    /// # Errors
    /// A clone cannot be read, or has not the commit.
    pub fn merged_view(&self, heads: &Heads) -> Result<MergedView, SourceError> {
        let mut view = MergedView::default();
        let mut owners: BTreeMap<Repository, Repository> = BTreeMap::new();
        let mut upstream: BTreeMap<PkgBase, (usize, Candidate)> = BTreeMap::new();
        for (index, packaging) in self.packaging.iter().enumerate() {
            let Some(tree) = tree_at(&packaging.git, heads)? else {
                continue;
            };
            let name = packaging.git.name();
            let mut strange = Vec::new();
            let places = packaging.places(tree, &self.upstream_arch, &mut strange)?;
            let ignored = |path: String| format!("{name}: {path:?} is no name of a package, and is ignored");
            view.warnings.extend(strange.into_iter().map(ignored));
            for (pkgbase, candidate) in self.chosen(packaging, places, &mut view.warnings)? {
                owners
                    .entry(candidate.place.repository.clone())
                    .or_insert_with(|| name.clone());
                upstream.entry(pkgbase).or_insert((index, candidate));
            }
        }
        let mut laid_over = self.customizations(heads)?;
        for (pkgbase, (index, candidate)) in upstream {
            let repository = candidate.place.repository;
            let over = laid_over.remove(&(pkgbase.clone(), repository.clone()));
            let package = SourcePackage {
                git_repository: self.packaging[index].git.name().clone(),
                repository,
                recipe: Recipe {
                    upstream: candidate.pkgbuild,
                    customization: over.as_ref().and_then(|over| over.pkgbuild),
                    patches: over.as_ref().and_then(|over| over.patches),
                },
                content: Content::new(
                    Some((index, candidate.place.id)),
                    over.map(|over| over.place.id),
                    &self.arch,
                ),
            };
            view.packages.insert(pkgbase, package);
        }
        self.add_ours_alone(&mut view, laid_over, &owners);
        Ok(view)
    }

    /// The order that builds a package of this view.
    #[must_use]
    pub fn order(&self, heads: &Heads, pkgbase: &PkgBase, package: &SourcePackage) -> Order {
        let of = |name: &Repository| heads.of(name).cloned().unwrap_or_else(Revision::none);
        let customization = self.customization().map(GitRepository::name);
        Order {
            pkgbase: pkgbase.clone(),
            revision: of(&package.git_repository),
            mod_revision: customization.map_or_else(Revision::none, of),
            repository: package.repository.clone(),
        }
    }

    /// One directory a package: of several package repositories the one that the configuration names first.
    fn chosen(
        &self,
        packaging: &Packaging,
        places: Vec<Place>,
        warnings: &mut Vec<String>,
    ) -> Result<BTreeMap<PkgBase, Candidate>, SourceError> {
        let rank = |repository: &Repository| {
            let known = self.repository_order.iter().position(|other| other == repository);
            (known.unwrap_or(usize::MAX), repository.clone())
        };
        let mut chosen: BTreeMap<PkgBase, Candidate> = BTreeMap::new();
        for place in places {
            let candidate = Candidate {
                pkgbuild: recipe_of(packaging, place.id)?,
                patches: None,
                place,
            };
            if candidate.pkgbuild.is_none() {
                continue;
            }
            let pkgbase = candidate.place.pkgbase.clone();
            let known = chosen.get(&pkgbase).map(|other| other.place.repository.clone());
            if let Some(known) = &known {
                let mut both = [known, &candidate.place.repository];
                both.sort_by_key(|repository| rank(repository));
                warnings.push(format!(
                    "{pkgbase} is in {} and in {}: the former counts",
                    both[0], both[1]
                ));
            }
            if known.is_none_or(|known| rank(&candidate.place.repository) < rank(&known)) {
                chosen.insert(pkgbase, candidate);
            }
        }
        Ok(chosen)
    }

    fn customizations(&self, heads: &Heads) -> Result<BTreeMap<(PkgBase, Repository), Candidate>, SourceError> {
        let mut found = BTreeMap::new();
        let Some(git) = &self.customization else {
            return Ok(found);
        };
        let Some(tree) = tree_at(git, heads)? else {
            return Ok(found);
        };
        for place in repository_places(git, tree)? {
            let patches = git.lookup(place.id, PATCHES)?;
            let candidate = Candidate {
                pkgbuild: pkgbuild_of(git, place.id)?,
                patches: patches
                    .filter(|entry| entry.kind == EntryKind::Tree)
                    .map(|entry| entry.id),
                place,
            };
            let key = (candidate.place.pkgbase.clone(), candidate.place.repository.clone());
            found.insert(key, candidate);
        }
        Ok(found)
    }

    /// Packages that only the customization has. Their orders name the git repository that has the other packages of
    /// their package repository, else the customization's.
    fn add_ours_alone(
        &self,
        view: &mut MergedView,
        laid_over: BTreeMap<(PkgBase, Repository), Candidate>,
        owners: &BTreeMap<Repository, Repository>,
    ) {
        let Some(customization) = self.customization() else {
            return;
        };
        let upstream: BTreeSet<PkgBase> = view.packages.keys().cloned().collect();
        for ((pkgbase, repository), candidate) in laid_over {
            let path = format!("{repository}/{pkgbase}");
            if upstream.contains(&pkgbase) {
                let of = &view.packages[&pkgbase].repository;
                view.warnings.push(format!(
                    "the customization {path} is not used: upstream has {pkgbase} in {of}"
                ));
            } else if candidate.pkgbuild.is_none() {
                view.warnings.push(format!(
                    "the customization {path} is not used: upstream has no {pkgbase}"
                ));
            } else {
                let package = SourcePackage {
                    git_repository: owners.get(&repository).unwrap_or(customization.name()).clone(),
                    repository,
                    recipe: Recipe {
                        upstream: None,
                        customization: candidate.pkgbuild,
                        patches: candidate.patches,
                    },
                    content: Content::new(None, Some(candidate.place.id), &self.arch),
                };
                match view.packages.entry(pkgbase) {
                    Entry::Vacant(free) => drop(free.insert(package)),
                    Entry::Occupied(other) => view.warnings.push(format!(
                        "the customization {path} is not used: it has {} twice",
                        other.key()
                    )),
                }
            }
        }
    }
}

/// What tells a release of upstream's from another.
fn recipe_of(packaging: &Packaging, id: Oid) -> Result<Option<Oid>, SourceError> {
    match packaging.layout {
        Layout::State(_) => Ok(Some(id)),
        _ => pkgbuild_of(&packaging.git, id),
    }
}

fn pkgbuild_of(git: &GitRepository, tree: Oid) -> Result<Option<Oid>, SourceError> {
    let entry = git.lookup(tree, "PKGBUILD")?;
    Ok(entry
        .filter(|entry| matches!(entry.kind, EntryKind::File | EntryKind::Executable))
        .map(|entry| entry.id))
}
