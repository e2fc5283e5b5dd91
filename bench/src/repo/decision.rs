//! The decision of db-update: 15,000 packages in stable and 3,000 orders in staging, of which some must not move.
//!
//! `db-update -n` is measured as a process: it reads databases, states and lists of sonames, decides, and prints the moves.
//! The packages are made up, with about as many dependencies, provisions and sonames as Arch's have; one library in ten
//! of those that wait has a new soname, and only some of its users wait, too.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use anyhow::ensure;
use common::atomic;

use crate::figures::{Run, Series};
use crate::measure::Program;

/// Packages in stable.
const STABLE: usize = 15_000;
/// Every so many of them waits in staging in a new version.
const EVERY: usize = 5;
/// Every so many packages has a library.
const LIBRARIES: usize = 4;
/// Every so many of the new libraries has a new soname.
const NEW_SONAMES: usize = 10;

/// Measures it on data of its own.
pub(crate) fn measure(run: &mut Run<'_>) -> anyhow::Result<()> {
    run.messages.note(format_args!(
        "{STABLE} packages in stable, {} waiting in staging",
        STABLE / EVERY
    ));
    let config = make(&run.directory.join("decision"))?;
    let program =
        Program::of_project("db-update")?.args([Path::new("-q"), Path::new("-n"), Path::new("--config"), &config]);
    let mut times = Series::default();
    for _ in 0..run.rounds {
        let measured = program.run()?;
        let moves = measured.stdout.lines().count();
        ensure!(moves > 0 && moves < STABLE / EVERY, "{moves} packages would move");
        times.push(measured.time);
    }
    run.figures.print("decision_15k", times.median().as_secs_f64(), "s")?;
    Ok(())
}

/// Makes the port; returns its configuration.
fn make(directory: &Path) -> anyhow::Result<std::path::PathBuf> {
    let work = directory.join("work");
    let repositories = directory.join("repositories");
    for path in [work.join("package-states"), work.join("metadata/sonames")] {
        atomic::create_directory(&path)?;
    }
    let stable: Vec<Package> = (0..STABLE).map(|number| Package::new(number, 1)).collect();
    let waiting: Vec<Package> = (0..STABLE)
        .step_by(EVERY)
        .map(|number| Package::new(number, 2))
        .collect();
    database(&repositories, "core", &stable)?;
    database(&repositories, "staging", &waiting)?;
    for package in stable.iter().chain(&waiting) {
        put(&work.join("metadata/sonames").join(package.file()), package.sonames())?;
    }
    let revision = "1".repeat(40);
    for package in &waiting {
        let name = format!("p{}.{revision}.{revision}.core.done", package.number);
        put(&work.join("package-states").join(name), format!("{}\n", package.file()))?;
    }
    let config = directory.join("portsmith.conf");
    let text = format!(
        "arch=x86_64\nwork_dir='{}'\nrepo_dir='{}'\nrepo_names=none\n",
        work.display(),
        repositories.display()
    );
    put(&config, text)?;
    // Taken in by the first transaction, as the databases of any repository that existed before.
    Program::of_project("bench-publish")?
        .args(["--config"])
        .args([&config])
        .args(["core"])
        .run()?;
    Ok(config)
}

/// A made-up package, the same in every run.
struct Package {
    number: usize,
    version: usize,
}

impl Package {
    const fn new(number: usize, version: usize) -> Self {
        Self { number, version }
    }

    fn file(&self) -> String {
        format!("p{}-{}-1-x86_64.pkg.tar.zst", self.number, self.version)
    }

    /// Numbers of packages that it needs, about eight, most of them popular.
    fn needs(&self) -> Vec<usize> {
        let mut state = (self.number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut numbers = Vec::new();
        for step in 0..8 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let bound = if step % 2 == 0 { 200 } else { STABLE as u64 };
            let number = usize::try_from((state >> 33) % bound).unwrap_or(0);
            if number < self.number {
                numbers.push(number);
            }
        }
        numbers
    }

    /// The version of a library's soname that this package is linked against, or has.
    fn soname(&self, library: usize) -> usize {
        let is_new = library.is_multiple_of(EVERY * NEW_SONAMES);
        if is_new { self.version } else { 1 }
    }

    fn desc(&self) -> String {
        let Self { number, version } = self;
        let mut text = format!(
            "%FILENAME%\n{}\n\n%NAME%\np{number}\n\n%BASE%\np{number}\n\n%VERSION%\n{version}-1\n\n%DESC%\nA package for \
             measurements\n\n%CSIZE%\n1000\n\n%ISIZE%\n2000\n\n%URL%\nhttps://example.org/{number}\n\n%ARCH%\nx86_64\n\n\
             %BUILDDATE%\n1600000000\n\n%PACKAGER%\nNobody <nobody@example.org>\n\n",
            self.file()
        );
        if number.is_multiple_of(LIBRARIES) {
            write!(text, "%PROVIDES%\nlib{number}.so={}-64\n\n", self.soname(*number)).ok();
        }
        text.push_str("%DEPENDS%\n");
        for needed in self.needs() {
            writeln!(text, "p{needed}{}", if needed.is_multiple_of(3) { ">=1" } else { "" }).ok();
        }
        text.push('\n');
        text
    }

    fn sonames(&self) -> String {
        let mut lines: Vec<String> = self
            .needs()
            .into_iter()
            .filter(|needed| needed.is_multiple_of(LIBRARIES))
            .map(|needed| format!("needed lib{needed}.so={}-64\n", self.soname(needed)))
            .collect();
        if self.number.is_multiple_of(LIBRARIES) {
            lines.push(format!(
                "provided lib{}.so={}-64\n",
                self.number,
                self.soname(self.number)
            ));
        }
        lines.sort();
        lines.dedup();
        format!("sha256 -\n{}", lines.concat())
    }
}

/// A database as repo-add writes one, and files without content.
fn database(repositories: &Path, name: &str, packages: &[Package]) -> anyhow::Result<()> {
    let directory = repositories.join(name).join("os/x86_64");
    atomic::create_directory(&directory)?;
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for package in packages {
        let desc = package.desc();
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(desc.len() as u64);
        let path = format!("p{}-{}-1/desc", package.number, package.version);
        archive.append_data(&mut header, path, desc.as_bytes())?;
    }
    for package in packages {
        put(&directory.join(package.file()), "")?;
    }
    let bytes = archive.into_inner()?.finish()?;
    put(&directory.join(format!("{name}.db.tar.gz")), bytes)
}

/// Writes a file of the data.
#[expect(clippy::disallowed_methods, reason = "thousands of files that need not last")]
fn put(path: &Path, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
