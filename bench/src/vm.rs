//! Virtual machines: how long it takes until a guest's ssh has let us in, by booting and from a snapshot of the booted
//! guest, in turns; the overlay; a build of a package that does nothing. And the proxy.
//!
//! The packages of the guest come from the mirror that `PORTSMITH_TEST_MIRROR` names (scripts/bench makes it). Making the
//! base image and the snapshot is not measured.

mod proxy;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::figures::{Run, Series};
use crate::measure::Program;

/// A boot of an emulated machine takes seconds; more rounds would say no more.
const MOST_ROUNDS: usize = 5;
/// The package that does nothing.
const PKGBUILD: &str = "pkgname=nothing\npkgver=1\npkgrel=1\narch=(any)\npackage() { :; }\n";

/// Measures everything.
pub(crate) fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    let directory = &run.directory.clone();
    proxy::measure(run)?;
    let Some(mirror) = std::env::var_os("PORTSMITH_TEST_MIRROR").map(PathBuf::from) else {
        run.figures.leave_out("the test mirror (PORTSMITH_TEST_MIRROR)");
        return Ok(());
    };
    run.messages.note("making a base image");
    let config = write_data(directory, &mirror)?;
    let arch_vm = |arguments: &[&str]| -> anyhow::Result<Program> {
        let program = Program::of_project("arch-vm")?.args(arguments);
        Ok(program.env("PORTSMITH_CONFIG", &config).env("HOME", directory))
    };
    let start = |how: &str| arch_vm(&["-q", "run", "--json", "--start", how, "--", "true"]);
    // The base image and the snapshot.
    start("snapshot")?.run()?;
    run.messages.note("taking turns");
    let (mut cold, mut restored, mut overlay) = (Series::default(), Series::default(), Series::default());
    for _ in 0..run.rounds.min(MOST_ROUNDS) {
        cold.push(field(&start("boot")?.run()?.stdout, "ready_milliseconds")?);
        let answer = start("snapshot")?.run()?.stdout;
        restored.push(field(&answer, "ready_milliseconds")?);
        overlay.push(field(&answer, "overlay_milliseconds")?);
    }
    run.figures.milliseconds("cold", cold.median())?;
    run.figures.milliseconds("restore", restored.median())?;
    run.figures.ratio("restore_ratio", cold.median(), restored.median())?;
    run.figures.milliseconds("overlay", overlay.median())?;
    let build = arch_vm(&["-q", "build"])?.directory(&directory.join("nothing"));
    run.figures.milliseconds("build", build.run()?.time)?;
    // What lies in chroots may belong to other ids.
    let clean = Program::of_project("archbuild")?.args(["clean", "--all"]);
    clean.env("PORTSMITH_CONFIG", &config).env("HOME", directory).run()?;
    Ok(())
}

/// Writes the configuration and the package; returns the path of the former.
fn write_data(directory: &Path, mirror: &Path) -> anyhow::Result<PathBuf> {
    let package = directory.join("nothing");
    std::fs::create_dir_all(&package).with_context(|| format!("cannot make {}", package.display()))?;
    // Guests of root's run as another account.
    for path in directory.parent().into_iter().chain([directory]) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    }
    common::atomic::write(&package.join("PKGBUILD"), PKGBUILD.as_bytes())?;
    let config = directory.join("portsmith.conf");
    let text = format!(
        "pacman_conf='{0}/host.conf'\nmakepkg_conf='{0}/makepkg.conf'\nchroot_dir='{1}/chroots'\nvm_dir='{1}/vm'\n\
         vm_cpus=1\nvm_memory_mib=512\nvm_overlay_mib=1024\n",
        mirror.display(),
        directory.display()
    );
    common::atomic::write(&config, text.as_bytes())?;
    Ok(config)
}

/// A number of milliseconds in the answer of `arch-vm run --json`.
fn field(answer: &str, name: &str) -> anyhow::Result<Duration> {
    let milliseconds = answer
        .split_once(&format!("\"{name}\":"))
        .and_then(|(_, rest)| rest.split([',', '}']).next()?.trim().parse::<f64>().ok());
    let milliseconds = milliseconds.with_context(|| format!("there is no {name} in {answer:?}"))?;
    ensure!(milliseconds >= 0.0, "{name} is {milliseconds}");
    Ok(Duration::from_secs_f64(milliseconds / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_from_the_answer() {
        let answer = r#"{"code":0,"overlay_milliseconds":7.5,"ready_milliseconds":1200.0}"#;
        assert_eq!(
            field(answer, "overlay_milliseconds").unwrap(),
            Duration::from_micros(7500)
        );
        assert_eq!(
            field(answer, "ready_milliseconds").unwrap(),
            Duration::from_millis(1200)
        );
        assert!(field(answer, "none").is_err());
    }
}
