//! Sonames of real shared libraries and programs, made with the linker of this machine, in package files.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic, as tests do")]

use std::fs;
use std::path::{Path, PathBuf};

use common::config::Config;
use common::lock::Patience;
use common::package::PackageFile;
use common::process::Command;
use common::repository::SonameLists;
use common::repository::{Entry, NewPackage, Repositories};
use common::soname::{Soname, Sonames};
use testkit::need;
use testkit::package::PackageSpec;

/// Links an empty shared library.
fn link(path: &Path, flags: &[&str]) {
    Command::new("cc")
        .args(["-shared", "-nostdlib", "-x", "c", "/dev/null", "-o"])
        .arg(path)
        .args(flags)
        .env("PATH", "/usr/bin:/bin")
        .run()
        .unwrap();
}

/// A package with these members.
fn package(directory: &Path, arch: &str, members: &[(&str, Vec<u8>)]) -> PathBuf {
    let mut spec = PackageSpec::new("libs", "1-1").arch(arch);
    for (path, content) in members {
        spec = spec.file(path, content);
    }
    spec.write(directory).unwrap()
}

fn sonames(directory: &Path, arch: &str, members: &[(&str, Vec<u8>)]) -> Sonames {
    PackageFile::read(&package(directory, arch, members)).unwrap().sonames
}

fn library(directory: &Path, flags: &[&str]) -> Vec<u8> {
    let path = directory.join("library.so");
    link(&path, flags);
    fs::read(&path).unwrap()
}

#[test]
fn needed_and_provided_names_are_read_with_their_class() {
    if !need::programs(&["cc"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    link(&root.join("libone.so"), &["-Wl,-soname,libone.so.1"]);
    let one = fs::read(root.join("libone.so")).unwrap();
    let user = library(
        root,
        &[
            "-Wl,-soname,libuser.so.2.3",
            "-Wl,--no-as-needed",
            "-L",
            &root.display().to_string(),
            "-lone",
        ],
    );
    let small = library(root, &["-m32", "-Wl,-soname,libsmall.so.7"]);
    let nameless = library(root, &[]);
    let found = sonames(
        root,
        "x86_64",
        &[
            ("usr/lib/libone.so.1.0", one),
            ("usr/lib/libuser.so.2.3", user.clone()),
            ("usr/lib32/libsmall.so.7", small),
            ("usr/lib/libnameless.so", nameless.clone()),
            ("usr/lib/plugins/nameless.so", nameless),
            ("usr/lib/debug/usr/lib/libuser.so.debug", user.clone()),
            ("usr/share/cut", user[..3000].to_vec()),
            ("usr/share/text", b"\x7fELF of a kind".to_vec()),
        ],
    );
    let expected = "needed libone.so=1-64\nprovided libnameless.so=libnameless.so-64\nprovided libone.so=1-64\n\
         provided libsmall.so=7-32\nprovided libuser.so=2.3-64\n";
    assert_eq!(found.to_string(), expected);
}

#[test]
fn code_for_other_machines_is_passed_over() {
    if !need::programs(&["cc"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let content = library(directory.path(), &["-m32", "-Wl,-soname,libx.so.1"]);
    let of = |arch: &str| sonames(directory.path(), arch, &[("usr/lib/libx.so.1", content.clone())]);
    let provided = Sonames {
        provided: ["libx.so=1-32".parse::<Soname>().unwrap()].into(),
        ..Sonames::default()
    };
    assert_eq!(of("i686"), provided);
    assert_eq!(of("x86_64"), provided);
    assert_eq!(of("unheard_of"), provided);
    for arch in ["aarch64", "riscv64", "any"] {
        assert_eq!(of(arch), Sonames::default(), "{arch}");
    }
}

#[test]
fn a_real_program_of_this_machine_needs_its_libc_and_a_large_one_is_read_too() {
    let directory = tempfile::tempdir().unwrap();
    let program = fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(program.len() > 16 << 20, "it is larger than what is kept in memory");
    let found = sonames(directory.path(), "unheard_of", &[("usr/bin/program", program)]);
    assert!(
        found.needed.iter().any(|soname| soname.library() == "libc.so"),
        "{found}"
    );
    assert!(found.provided.is_empty(), "{found}");
}

#[test]
fn a_damaged_elf_file_needs_nothing_and_harms_nobody() {
    if !need::programs(&["cc"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let whole = library(directory.path(), &["-Wl,-soname,libx.so.1"]);
    // Header and program headers, every byte, at its largest value: offsets, sizes and counts beyond the file.
    let mut members = Vec::new();
    for at in 5..400 {
        let mut damaged = whole.clone();
        damaged[at] = 0xff;
        members.push((format!("usr/lib/{at}"), damaged));
    }
    let members: Vec<(&str, Vec<u8>)> = members
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()))
        .collect();
    let found = sonames(directory.path(), "x86_64", &members);
    assert!(
        found.provided.contains(&"libx.so=1-64".parse().unwrap()),
        "bytes that nobody reads"
    );
}

#[test]
fn lists_of_published_packages_are_made_again_when_they_are_lost_or_of_another_file() {
    if !need::programs(&["cc"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let text = format!("arch=x86_64\nrepo_dir='{}'\n", root.join("repos").display());
    let repositories = Repositories::open(&Config::from_text(&text).unwrap()).unwrap();
    let lists = SonameLists::new(root.join("sonames"));
    let content = library(root, &["-Wl,-soname,libx.so.1"]);
    let path = package(root, "x86_64", &[("usr/lib/libx.so.1", content)]);
    let file = PackageFile::read(&path).unwrap();
    let mut transaction = repositories.transaction();
    let core = "core".parse().unwrap();
    transaction.add(
        &core,
        NewPackage {
            file: file.clone(),
            signature: None,
        },
    );
    transaction.commit(1, Patience::Never).unwrap();
    let entry: Entry = repositories.packages(&core).unwrap().remove(0);

    lists.write(&file).unwrap();
    let kept = root.join("sonames/libs-1-1-x86_64.pkg.tar.zst");
    let written = fs::read_to_string(&kept).unwrap();
    assert_eq!(written, format!("sha256 {}\nprovided libx.so=1-64\n", entry.sha256));
    for damage in [
        "",
        "sha256 00\nprovided liby.so=1-64\n",
        "nonsense",
        &written.replace("provided", "gives"),
    ] {
        common::atomic::write(&kept, damage.as_bytes()).unwrap();
        assert_eq!(lists.of(&repositories, &entry).unwrap(), file.sonames);
        assert_eq!(fs::read_to_string(&kept).unwrap(), written, "{damage:?}");
    }
    // With a list the package is not read any more; without one it is missed.
    fs::remove_file(repositories.published(&entry.file_name).unwrap()).unwrap();
    assert_eq!(lists.of(&repositories, &entry).unwrap(), file.sonames);
    lists.keep_only(&[entry.file_name.clone()].into()).unwrap();
    assert!(kept.exists());
    lists.keep_only(&[].into()).unwrap();
    let error = lists.of(&repositories, &entry).unwrap_err().to_string();
    assert!(error.contains("libs-1-1-x86_64.pkg.tar.zst"), "{error}");
}
