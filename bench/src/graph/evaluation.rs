//! What an evaluated PKGBUILD costs, against `makepkg --printsrcinfo` on the same directories.
//!
//! Measured is processor time, of this process and of all its children: both run as many at a time as there are
//! processors, and a machine that does other things as well changes it little. The outputs are compared byte for byte.

use std::num::NonZero;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use common::account::{self, Account};
use common::atomic;
use common::build_list::Order;
use common::config::Config;
use common::metadata::Metadata;
use common::process::Command;
use common::source::{Content, SubRelease};
use common::work_dir::WorkDir;
use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::wait::wait;

use super::pkgbuilds::pkgbuild;
use crate::figures::{Run, Series};
use crate::master::sources::import;
use crate::measure::Program;

/// PKGBUILDs in all.
const COUNT: usize = 200;
/// How often they are evaluated, each time with an empty cache.
const ROUNDS: usize = 3;
const MAKEPKG_CONF: &str = "CARCH=x86_64\nCHOST=x86_64-pc-linux-gnu\nPKGEXT=.pkg.tar.zst\nSRCEXT=.src.tar.gz\n";

/// Prints `evaluation` and `printsrcinfo` (milliseconds a PKGBUILD) and `printsrcinfo_ratio`.
pub(crate) fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let directory = run.directory.join("evaluation");
    if Program::of_system("makepkg").is_none() {
        run.figures.leave_out("makepkg");
        return Ok(());
    }
    set_child_subreaper(true).context("cannot become the parent of orphans")?;
    let config = sources(&directory)?;
    let work_dir = WorkDir::open(&config)?;
    let metadata = Metadata::open(&config, &work_dir)?;
    metadata.sources().fetch()?;
    let heads = metadata.sources().heads()?;
    let view = metadata.sources().merged_view(&heads)?;
    let order = |(pkgbase, package)| metadata.sources().order(&heads, pkgbase, package);
    let orders: Vec<(Order, Content)> = view
        .iter()
        .map(|(pkgbase, package)| (order((pkgbase, package)), package.content.clone()))
        .collect();
    ensure!(orders.len() == COUNT, "only {} packages were found", orders.len());
    let mut ours = Series::default();
    for _ in 0..ROUNDS {
        empty(&work_dir.metadata_directory())?;
        let before = processor_time()?;
        let infos = metadata.srcinfos_of_view(&orders)?;
        ours.push(processor_time()? - before);
        for info in infos.into_values() {
            info?;
        }
    }
    let each = |time: Duration| time / u32::try_from(COUNT).unwrap_or(1);
    run.figures.milliseconds("evaluation", each(ours.median()))?;
    let theirs = race(&metadata, &orders, &directory.join("makepkg"))?;
    run.figures.milliseconds("printsrcinfo", each(theirs))?;
    run.figures.ratio("printsrcinfo_ratio", theirs, ours.median())?;
    Ok(())
}

/// A packaging repository without a `.SRCINFO` in it, and the configuration for it.
fn sources(directory: &Path) -> anyhow::Result<Config> {
    atomic::create_directory(directory)?;
    let mut stream = "commit refs/heads/master\ncommitter A <a@localhost> 1500000000 +0000\ndata 2\nx\n\n".to_owned();
    for (name, text) in (0..COUNT).map(pkgbuild) {
        for (file, content) in [("PKGBUILD", text.as_str()), (&format!("{name}.install"), "")] {
            let size = content.len();
            stream.push_str(&format!("M 644 inline {name}/{file}\ndata {size}\n{content}\n"));
        }
    }
    let remote = directory.join("remote");
    import(&remote, stream)?;
    let config = format!(
        "work_dir={}\narch=x86_64\nrepo_names=packages\nrepo_layout__packages=tree\nrepo_default__packages=extra\n\
         repo_urls__packages=file://{}\n",
        directory.join("work").display(),
        remote.display()
    );
    Config::from_text(&config).context("the configuration of the data")
}

fn empty(directory: &Path) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        atomic::remove(&entry?.path())?;
    }
    Ok(())
}

/// The processor time of makepkg, once for each, since it takes minutes.
fn race(metadata: &Metadata, orders: &[(Order, Content)], directory: &Path) -> anyhow::Result<Duration> {
    let account = account::to_drop_to(&Config::default())?;
    atomic::create_directory(directory)?;
    let conf = directory.join("makepkg.conf");
    atomic::write(&conf, MAKEPKG_CONF.as_bytes())?;
    let mut prepared = Vec::new();
    for (order, _) in orders {
        let path = directory.join(&order.pkgbase);
        metadata.sources().checkout(order, SubRelease::None, &path)?;
        if let Some(account) = &account {
            chown(&path, Some(account.uid), Some(account.gid)).with_context(|| format!("chown {}", path.display()))?;
        }
        prepared.push((path, metadata.srcinfo_text(order)?));
    }
    let before = processor_time()?;
    let queue = Mutex::new(prepared.into_iter());
    let work = || -> anyhow::Result<()> {
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some((path, ours)) = next() {
            let theirs = printsrcinfo(&path, &conf, account.as_ref())?;
            ensure!(ours == theirs, "makepkg says something else of {}", path.display());
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let number = std::thread::available_parallelism().map_or(2, NonZero::get);
        let workers: Vec<_> = (0..number).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    Ok(processor_time()? - before)
}

fn printsrcinfo(directory: &PathBuf, conf: &Path, account: Option<&Account>) -> anyhow::Result<String> {
    let finished = Command::new("makepkg")
        .args(["--printsrcinfo".as_ref(), "--config".as_ref(), conf.as_os_str()])
        .directory(directory)
        .account(account)
        .env("HOME", "/tmp")
        .env("LANG", "C.UTF-8")
        .run()?;
    String::from_utf8(finished.stdout).context("the output of makepkg is no text")
}

/// User and system time of this process and of all its descendants, which have ended or are about to.
fn processor_time() -> anyhow::Result<Duration> {
    // A sandbox's first process may outlive the one that made it by a moment, and is then this process's to wait for.
    while wait() != Err(Errno::ECHILD) {}
    let mut total = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who).context("cannot read the usage of processor time")?;
        for time in [usage.user_time(), usage.system_time()] {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
            let microseconds = u64::try_from(time.tv_usec()).unwrap_or(0);
            total += Duration::from_secs(seconds) + Duration::from_micros(microseconds);
        }
    }
    Ok(total)
}
