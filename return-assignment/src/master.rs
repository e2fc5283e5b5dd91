//! The master's side: what changes when packages or logs come back, with the locks held.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use common::atomic::Batch;
use common::build_list::{BuildList, Complaint, Order};
use common::cli::Messages;
use common::clock::Now;
use common::config::{Config, Environment};
use common::journal::{Entry, Event};
use common::lock::Patience;
use common::logs::{Logs, Shelf};
use common::names::{Builder, FileName, PkgName, Repository};
use common::package::PackageFile;
use common::repository::{
    Arrival, Class, NewPackage, Repositories, RepositoryError, SonameLists, Standing, Transition,
};
use common::state::State;
use common::version::PackageFileName;
use common::work_dir::{Locks, Scope, WorkDir};

use crate::Outcome;
use crate::claim::{self, Claim};
use crate::cli::BuildResult;
use crate::destination;
use crate::downgrade;
use crate::expected::{ExpectedFiles, FromMetadata};
use crate::inspection::{Policy, Refusal};
use crate::logs;
use crate::upload::{Upload, is_log_of_success};

/// The state directory, the repositories, and how both are configured.
pub(crate) struct Master<'a> {
    config: &'a Config,
    messages: &'a Messages,
    work_dir: WorkDir,
    repositories: Repositories,
    policy: Policy,
    patience: Patience,
}

/// Packages that passed every check, and where they go.
struct Delivery {
    to: Repository,
    packages: Vec<NewPackage>,
}

impl<'a> Master<'a> {
    pub(crate) fn open(config: &'a Config, environment: &Environment, messages: &'a Messages) -> anyhow::Result<Self> {
        Ok(Self {
            work_dir: WorkDir::open(config)?,
            repositories: Repositories::open(config)?.with_environment(environment),
            policy: Policy::from_config(config)?,
            patience: Patience::Bounded(Duration::from_secs(config.number("lock_wait_seconds", 60)?)),
            config,
            messages,
        })
    }

    pub(crate) fn work_dir(&self) -> &WorkDir {
        &self.work_dir
    }

    /// Takes the logs of a failed build. Logs that are refused are lost, the failure counts all the same.
    pub(crate) fn take_failure(
        &self,
        order: &Order,
        builder: &Builder,
        upload: Result<&Upload, &Refusal>,
    ) -> anyhow::Result<Outcome> {
        let locks = match self.lock(Scope::BuildList)? {
            Ok(locks) => locks,
            Err(outcome) => return Ok(outcome),
        };
        let listed = self.listed(order)?;
        match claim::examine(&self.work_dir, listed.as_ref(), order, builder, BuildResult::Failed)? {
            Claim::Own => {}
            Claim::NotListed => return Ok(Outcome::Outdated(claim::describe_absence(listed.as_ref(), order))),
            Claim::Foreign(reason) => return Ok(Outcome::Outdated(reason)),
        }
        let logs = Logs::open(self.config, &self.work_dir)?.directory(Shelf::Error, order);
        let mut batch = match upload {
            Ok(upload) => logs::keep(&logs, upload.files())?,
            Err(refusal) => {
                let reason = Outcome::from(refusal.clone()).reason().cloned().unwrap_or_default();
                self.messages
                    .error(format_args!("the logs are not kept, the failure counts: {reason}"));
                Batch::default()
            }
        };
        batch.join(self.end_attempt(order, builder, Event::Failed, "")?);
        // Nobody else has to wait for the disk.
        drop(locks);
        batch.sync()?;
        Ok(Outcome::Accepted)
    }

    /// Takes packages.
    pub(crate) fn take_packages(
        &self,
        order: &Order,
        builder: &Builder,
        number: u32,
        upload: Result<Upload, Refusal>,
    ) -> anyhow::Result<Outcome> {
        let result = BuildResult::Built(number);
        // Looked at without the lock only to spare work: the answer counts with the lock held.
        let first_look = claim::examine(&self.work_dir, self.listed(order)?.as_ref(), order, builder, result)?;
        let inspected = match (&upload, &first_look) {
            (Err(refusal), _) => Some(Err(refusal.clone())),
            (Ok(upload), Claim::Own) => {
                let expected = FromMetadata {
                    config: self.config,
                    work_dir: &self.work_dir,
                }
                .expected_files(order, number)
                .with_context(|| format!("what {} makes is not known", order.pkgbase))?;
                let to = destination::of(self.config, self.repositories.classes(), order)?;
                let inspected = self.policy.inspect(upload, order, builder, &expected)?;
                Some(inspected.map(|packages| Delivery { to, packages }))
            }
            _ => None,
        };
        let locks = match self.lock(Scope::Both)? {
            Ok(locks) => locks,
            Err(outcome) => return Ok(outcome),
        };
        let mut list = self.build_list()?;
        let listed = list.order_of(&order.pkgbase);
        let outcome = match claim::examine(&self.work_dir, listed, order, builder, result)? {
            Claim::Foreign(reason) => Outcome::Outdated(reason),
            Claim::NotListed => match &upload {
                Ok(upload) if self.is_published(upload)? => {
                    self.end_order(order)?;
                    Outcome::Accepted
                }
                _ => Outcome::Outdated(claim::describe_absence(listed, order)),
            },
            Claim::Own => match (inspected, &upload) {
                (Some(Ok(delivery)), Ok(upload)) => match self.downgrade(&delivery)? {
                    None => self.accept(&mut list, order, builder, delivery, upload)?,
                    Some(refusal) => self.refuse(order, builder, refusal)?,
                },
                (Some(Err(refusal)), _) => self.refuse(order, builder, refusal)?,
                _ => Outcome::RetryLater(format!("{} has just become this builder's again", order.pkgbase)),
            },
        };
        drop(locks);
        if outcome == Outcome::Accepted
            && let Err(error) = self.repositories.publish()
        {
            self.messages.error(format_args!("warning: {error}"));
        }
        Ok(outcome)
    }

    /// Why a delivery would take something newer away, if so.
    fn downgrade(&self, delivery: &Delivery) -> anyhow::Result<Option<Refusal>> {
        let cache = self.work_dir.published_files();
        let found = downgrade::find(&self.repositories, &cache, &delivery.to, &delivery.packages)?;
        Ok(found.map(Refusal::Unexpected))
    }

    /// Counts a refused upload as a failed attempt.
    fn refuse(&self, order: &Order, builder: &Builder, refusal: Refusal) -> anyhow::Result<Outcome> {
        let outcome = Outcome::from(refusal);
        let detail = outcome.reason().cloned().unwrap_or_default();
        self.end_attempt(order, builder, Event::Refused, &detail)?.sync()?;
        Ok(outcome)
    }

    /// Publishes packages and takes the order off the list. The order of these steps lets the same upload complete what
    /// a killed tool began.
    fn accept(
        &self,
        list: &mut BuildList,
        order: &Order,
        builder: &Builder,
        Delivery { to, packages }: Delivery,
        upload: &Upload,
    ) -> anyhow::Result<Outcome> {
        let now = Now::read();
        let files: Vec<FileName> = packages
            .iter()
            .map(|package| package.file.file_name.to_file_name())
            .collect::<Result<_, _>>()?;
        let read: Vec<PackageFile> = packages.iter().map(|package| package.file.clone()).collect();
        let number = match self.publish(order, &to, packages, now.unix) {
            Ok(number) => number,
            Err(error @ RepositoryError::Differs(_)) => return Ok(Outcome::Outdated(error.to_string())),
            Err(error @ RepositoryError::Busy { .. }) => return Ok(Outcome::RetryLater(error.to_string())),
            Err(error) => return Err(error).context("the packages cannot be published"),
        };
        self.keep_sonames(&read);
        let companions = upload.files().filter(|(name, _)| is_log_of_success(name.as_str()));
        let logs = Logs::open(self.config, &self.work_dir)?.directory(Shelf::Success, order);
        logs::keep(&logs, companions)?.sync()?;
        let states = self.work_dir.states();
        if self.repositories.classes().class_of(&to) != Some(Class::Standalone) {
            states.write(order, State::Done, &files)?;
        }
        for other in self.older_done(order)? {
            states.remove(&other, State::Done)?;
        }
        self.note(&now, Event::Returned, order, builder, &format!("{to}"));
        list.remove(order);
        list.write(&self.work_dir.build_list())?;
        if let Some(number) = number {
            self.repositories.settle(number)?;
        }
        self.end_order(order)?;
        Ok(Outcome::Accepted)
    }

    /// One transaction: the packages enter their repository, older ones go, also those that an older build of the
    /// pkgbase made and this one does not. Returns its number.
    fn publish(
        &self,
        order: &Order,
        to: &Repository,
        packages: Vec<NewPackage>,
        now: u64,
    ) -> Result<Option<u64>, RepositoryError> {
        let classes = self.repositories.classes();
        let mut outdated = BTreeSet::new();
        let files = packages.iter().map(|package| package.file.file_name.to_string());
        let mut transitions = vec![Transition {
            order: order.clone(),
            before: Standing::Listed,
            after: match classes.class_of(to) {
                Some(Class::Standalone) => Standing::Finished,
                _ => Standing::In(State::Done, files.collect()),
            },
        }];
        for other in self.older_done(order)? {
            let files = self.work_dir.states().read(&other, State::Done)?.unwrap_or_default();
            outdated.extend(files.iter().cloned());
            transitions.push(Transition {
                order: other,
                before: Standing::In(State::Done, files),
                after: Standing::Finished,
            });
        }
        let entered = packages.iter().map(|package| package.file.name().clone());
        let names = outdated.iter().filter_map(|file| file.parse::<PackageFileName>().ok());
        let concerned = entered.chain(names.map(|file| file.pkgname)).collect();
        let contents = self.repositories.contents_of(classes.affected_by(to), &concerned)?;
        let mut transaction = self.repositories.transaction();
        let mut entering: BTreeSet<PkgName> = BTreeSet::new();
        for package in packages {
            let arrival = Arrival {
                name: package.file.name().clone(),
                version: package.file.version().clone(),
                arch: package.file.file_name.arch.clone(),
            };
            for repository in classes.superseded(to, &arrival, &contents) {
                transaction.remove(&repository, &arrival.name);
            }
            entering.insert(arrival.name);
            transaction.add(to, package);
        }
        for (repository, entries) in &contents {
            for entry in entries {
                if outdated.contains(entry.file_name.as_str()) && !entering.contains(&entry.name) {
                    transaction.remove(repository, &entry.name);
                }
            }
        }
        transaction.note_transitions(transitions);
        let commit = transaction.commit(now, self.patience)?;
        for warning in commit.warnings {
            self.messages.error(format_args!("warning: {warning}"));
        }
        Ok(commit.number)
    }

    /// Keeps what was read; whoever misses a list reads the package again.
    fn keep_sonames(&self, packages: &[PackageFile]) {
        let lists = SonameLists::new(self.work_dir.soname_lists());
        for package in packages {
            if let Err(error) = lists.write(package) {
                self.messages.error(format_args!("warning: {error}"));
            }
        }
    }

    /// Other orders of the same pkgbase whose packages are in staging.
    fn older_done(&self, order: &Order) -> Result<Vec<Order>, common::atomic::FileError> {
        let done = self.work_dir.states().with(State::Done)?;
        Ok(done
            .into_iter()
            .filter(|other| other.pkgbase == order.pkgbase && other != order)
            .collect())
    }

    /// Whether these packages, byte for byte, have been published: the return of a finished order, repeated.
    fn is_published(&self, upload: &Upload) -> anyhow::Result<bool> {
        if upload.packages().next().is_none() {
            return Ok(false);
        }
        for (name, path) in upload.packages() {
            if !self.repositories.has_published(&name.to_file_name()?, path)? {
                return Ok(false);
            }
            if let Some(signature) = upload.signature_of(&name) {
                let name: FileName = format!("{name}.sig").parse()?;
                if !self.repositories.has_published(&name, signature)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Writes the journal, which nothing depends on.
    pub(crate) fn note(&self, now: &Now, event: Event, order: &Order, builder: &Builder, detail: &str) {
        let entry = Entry {
            time: now.unix,
            event,
            order: order.clone(),
            builder: Some(builder.clone()),
            detail: detail.to_owned(),
        };
        if let Err(error) = self.work_dir.journal().append(&[entry]) {
            self.messages.error(format_args!("warning: {error}"));
        }
    }

    fn build_list(&self) -> anyhow::Result<BuildList> {
        let (list, complaints) = BuildList::read(&self.work_dir.build_list())?;
        self.complain(complaints);
        Ok(list)
    }

    /// The order on the list of the package of this one.
    fn listed(&self, order: &Order) -> anyhow::Result<Option<Order>> {
        let (listed, complaints) = BuildList::read_one(&self.work_dir.build_list(), &order.pkgbase)?;
        self.complain(complaints);
        Ok(listed)
    }

    fn complain(&self, complaints: Vec<Complaint>) {
        for complaint in complaints {
            self.messages.error(complaint);
        }
    }

    /// The locks, or what the builder is told without them.
    fn lock(&self, scope: Scope) -> anyhow::Result<Result<Locks, Outcome>> {
        match self.work_dir.lock(scope, self.patience) {
            Ok(locks) => Ok(Ok(locks)),
            Err(refused) => Ok(Err(Outcome::RetryLater(refused.hindrance()?.to_string()))),
        }
    }
}
