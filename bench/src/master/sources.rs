//! The packaging repository of the data: what a distribution of fifteen thousand pkgbases looks like in the layout
//! `svntogit`, with committed `.SRCINFO` files, as a stream for `git fast-import`.

use std::path::Path;

use anyhow::Context as _;
use common::process::{Command, Input};

/// Packages in all.
pub(super) const PACKAGES: usize = 15_000;
/// The first ones need nothing on the list.
pub(super) const ROOTS: usize = 3_000;
/// Packages that the second commit changes.
pub(super) const CHANGED: usize = 50;

/// One release of every package that `is_wanted`, as a commit.
pub(super) fn commit(release: u32, is_wanted: impl Fn(usize) -> bool) -> String {
    let mut stream = format!(
        "commit refs/heads/master\ncommitter A <a@localhost> {} +0000\ndata 2\nx\n",
        1_500_000_000 + release
    );
    if release > 1 {
        stream.push_str("from refs/heads/master^0\n");
    }
    for number in (0..PACKAGES).filter(|number| is_wanted(*number)) {
        let directory = format!("{}/repos/{}-x86_64", name(number), repository(number));
        for (file, content) in [
            ("PKGBUILD", pkgbuild(number, release)),
            (".SRCINFO", srcinfo(number, release)),
        ] {
            let size = content.len();
            stream.push_str(&format!("M 644 inline {directory}/{file}\ndata {size}\n{content}\n"));
        }
    }
    stream
}

/// A repository of few lists, as the customization has them.
pub(super) fn lists() -> String {
    let blacklist = "# not for this port\npackage-14999\n";
    format!(
        "commit refs/heads/master\ncommitter A <a@localhost> 1500000000 +0000\ndata 2\nx\n\
         M 644 inline blacklist\ndata {}\n{blacklist}\n",
        blacklist.len()
    )
}

/// Adds a stream to a bare repository, which is made when it is not there.
pub(crate) fn import(repository: &Path, stream: String) -> anyhow::Result<()> {
    let git = || Command::new("git").env("GIT_CONFIG_GLOBAL", "/dev/null");
    if !repository.exists() {
        let init = ["init", "--quiet", "--bare", "--initial-branch=master"];
        git().args(init).arg(repository).run().context("git init")?;
    }
    let import = git().arg("--git-dir").arg(repository).args(["fast-import", "--quiet"]);
    import
        .input(Input::Bytes(stream.into_bytes()))
        .run()
        .context("git fast-import")?;
    Ok(())
}

/// The package of a number.
pub(super) fn name(number: usize) -> String {
    format!("package-{number:05}")
}

/// The repository of a package.
pub(super) fn repository(number: usize) -> &'static str {
    match number % 5 {
        0 => "core",
        1 | 2 => "extra",
        _ => "community",
    }
}

/// The packages that one needs, by kind: mostly of those before it, and some rings of three that need each other.
fn needs(number: usize) -> Vec<(&'static str, usize)> {
    if number < ROOTS {
        return Vec::new();
    }
    let some_before = |salt: usize| (number * 7_919 + salt * 104_729) % number;
    let mut needs = vec![("depends", some_before(1)), ("depends", some_before(2))];
    if number.is_multiple_of(2) {
        needs.push(("makedepends", some_before(3)));
    }
    if number.is_multiple_of(4) {
        needs.push(("checkdepends", some_before(4)));
    }
    if number % 300 < 3 {
        let in_ring = number - number % 300 + (number % 300 + 1) % 3;
        needs.push(("makedepends", in_ring));
    }
    needs
}

fn srcinfo(number: usize, release: u32) -> String {
    let name = name(number);
    let mut text = format!(
        "pkgbase = {name}\n\tpkgdesc = Package number {number} of the data that the tools are measured with\n\
         \tpkgver = 1.{number}\n\tpkgrel = {release}\n\turl = https://www.example.org/{name}\n\tarch = x86_64\n\
         \tlicense = GPL3\n\tmakedepends = gcc\n"
    );
    for (kind, needed) in needs(number) {
        text.push_str(&format!("\t{kind} = {}\n", self::name(needed)));
    }
    text.push_str(&format!(
        "\tdepends = glibc\n\tsource = https://www.example.org/{name}-1.{number}.tar.gz\n\
         \tsha256sums = {number:064x}\n\npkgname = {name}\n"
    ));
    if number.is_multiple_of(6) {
        text.push_str(&format!("\npkgname = {name}-libs\n\tprovides = lib{name}.so=1-64\n"));
    }
    text
}

fn pkgbuild(number: usize, release: u32) -> String {
    let name = name(number);
    format!(
        "# $Id$\npkgname={name}\npkgver=1.{number}\npkgrel={release}\npkgdesc='Package number {number}'\n\
         arch=('x86_64')\nurl='https://www.example.org/{name}'\nlicense=('GPL3')\ndepends=('glibc')\n\
         source=(\"https://www.example.org/{name}-$pkgver.tar.gz\")\nsha256sums=('{number:064x}')\n\n\
         build() {{\n  cd \"$srcdir/{name}-$pkgver\"\n  ./configure --prefix=/usr\n  make\n}}\n\n\
         package() {{\n  cd \"$srcdir/{name}-$pkgver\"\n  make DESTDIR=\"$pkgdir\" install\n}}\n"
    )
}
