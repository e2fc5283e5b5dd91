//! Whether KVM works here. The device file says little: there are hosts on which it opens and machines are made, but no
//! guest ever gets anywhere. So a kernel is booted under it, which switches itself off.
//!
//! The result is remembered in `vm_dir/acceleration-ARCH`, one line: this boot's id, qemu's version, `kvm` or `tcg`. After
//! the host was booted or qemu was exchanged it is found out again.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use common::account::Account;
use common::atomic;
use common::cli::Messages;
use common::clock::Now;
use common::interrupt::Interrupt;
use common::process::{Cause, Command};

use crate::hardware::{self, Acceleration, Boot, Platform};
use crate::settings::Settings;

/// How long a kernel may take to switch itself off under KVM. It is about a second.
const LIMIT: Duration = Duration::from_secs(20);

/// What the initramfs says on the console before it switches the machine off.
const ALIVE: &str = "arch-vm: alive";

/// The version of qemu, for what is valid only as long as it stays the same.
pub(crate) fn qemu_version(platform: &Platform) -> Result<String> {
    let said = Command::new(platform.program).arg("--version").run();
    let said = said.with_context(|| format!("virtual machines need {}", platform.program))?;
    Ok(said.text().lines().next().unwrap_or_default().replace(' ', "-"))
}

/// What to use for this platform, found out by a short boot when it is not known yet.
pub(crate) fn choose(
    settings: &Settings,
    platform: &Platform,
    boot: &Boot,
    interrupt: &Interrupt,
    messages: Messages,
) -> Result<Acceleration> {
    let chosen = remembered_or_probed(settings, platform, boot, interrupt)?;
    if chosen == Acceleration::Tcg && platform.is_native() {
        messages.error("warning: KVM does not work here: the machine is emulated, which is many times slower");
    }
    Ok(chosen)
}

fn remembered_or_probed(
    settings: &Settings,
    platform: &Platform,
    boot: &Boot,
    interrupt: &Interrupt,
) -> Result<Acceleration> {
    if !platform.is_native() || !matches!(boot, Boot::Kernel { .. }) || !Path::new("/dev/kvm").exists() {
        return Ok(Acceleration::Tcg);
    }
    let known = format!("{} {}", Now::read().boot_id, qemu_version(platform)?);
    let path = settings.vm_dir.join(format!("acceleration-{}", settings.arch));
    if let Some(choice) = remembered(&path, &known) {
        return Ok(choice);
    }
    let argv = hardware::probe(platform, Acceleration::Kvm, boot);
    let choice = if is_alive(&argv, settings.account.as_ref(), interrupt, LIMIT)? {
        Acceleration::Kvm
    } else {
        Acceleration::Tcg
    };
    remember(&path, &known, choice)?;
    Ok(choice)
}

/// What was found out where this was known, too.
fn remembered(path: &Path, known: &str) -> Option<Acceleration> {
    let text = fs::read_to_string(path).ok()?;
    let name = text.trim_end().strip_prefix(known)?.strip_prefix(' ')?;
    [Acceleration::Kvm, Acceleration::Tcg]
        .into_iter()
        .find(|choice| choice.as_str() == name)
}

fn remember(path: &Path, known: &str, choice: Acceleration) -> Result<()> {
    Ok(atomic::write(
        path,
        format!("{known} {}\n", choice.as_str()).as_bytes(),
    )?)
}

/// Whether a machine says on its console that it runs, and switches itself off in time.
fn is_alive(argv: &[String], account: Option<&Account>, interrupt: &Interrupt, limit: Duration) -> Result<bool> {
    let place = tempfile::tempdir().context("cannot make a directory for a trial of KVM")?;
    crate::place::give(place.path(), account)?;
    let tried = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .args(argv)
        .directory(place.path())
        .account(account)
        .timeout(limit)
        .interrupt(interrupt)
        .run();
    match tried {
        // A guest that only crashes ends qemu in peace, too.
        Ok(_) => {
            let said = fs::read(place.path().join(hardware::CONSOLE_LOG)).unwrap_or_default();
            Ok(String::from_utf8_lossy(&said).contains(ALIVE))
        }
        Err(error) if matches!(error.cause, Cause::Interrupted) => Err(error).context("trying KVM"),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_hangs_crashes_or_says_nothing_is_not_alive() {
        let is_alive = |script: &str, limit| {
            let argv = ["sh", "-c", script].map(str::to_owned);
            is_alive(&argv, None, &Interrupt::new(), limit).unwrap()
        };
        let long = Duration::from_secs(60);
        assert!(is_alive("echo 'x arch-vm: alive' >console.log", long));
        assert!(!is_alive("true", long));
        assert!(!is_alive("echo arch-vm: alive >console.log; kill -SEGV $$", long));
        assert!(!is_alive("exec sleep 600", Duration::from_millis(200)));
    }

    #[test]
    fn somebody_who_ends_the_trial_learns_nothing_of_kvm() {
        let interrupt = Interrupt::new();
        interrupt.raise();
        let argv = ["sleep", "600"].map(str::to_owned);
        assert!(is_alive(&argv, None, &interrupt, Duration::from_secs(60)).is_err());
    }

    #[test]
    fn what_was_found_out_is_remembered_for_this_boot_and_this_qemu() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("acceleration-x86_64");
        assert_eq!(remembered(&path, "boot qemu-7"), None);
        for choice in [Acceleration::Kvm, Acceleration::Tcg] {
            remember(&path, "boot qemu-7", choice).unwrap();
            assert_eq!(remembered(&path, "boot qemu-7"), Some(choice));
            assert_eq!(remembered(&path, "boot qemu-8"), None);
            assert_eq!(remembered(&path, "boot qemu"), None);
        }
    }
}
