//! What built files really need: libraries that no package declares.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::fs;
use std::path::{Path, PathBuf};

use common::atomic;
use common::config::Config;
use common::lock::Patience;
use common::package::PackageFile;
use common::process::Command;
use common::repository::{NewPackage, Repositories};
use testkit::need;
use testkit::package::PackageSpec;
use testkit::tool::{Ended, Tool};

/// Links a shared library that needs others, which lie beside it.
fn link(directory: &Path, name: &str, needed: &[&str]) -> Vec<u8> {
    let path = directory.join(format!("lib{name}.so"));
    Command::new("cc")
        .args([
            "-shared",
            "-nostdlib",
            "-x",
            "c",
            "/dev/null",
            "-Wl,--no-as-needed",
            "-o",
        ])
        .arg(&path)
        .arg(format!("-Wl,-soname,lib{name}.so.1"))
        .arg("-L")
        .arg(directory)
        .args(needed.iter().map(|needed| format!("-l{needed}")))
        .env("PATH", "/usr/bin:/bin")
        .run()
        .unwrap();
    fs::read(path).unwrap()
}

/// Published packages: `undeclared` is linked against the library of `one` and does not say so, `two` against that of
/// `undeclared`.
fn published(root: &Path) -> PathBuf {
    let file = |name: &str, needed: &[&str]| (format!("usr/lib/lib{name}.so.1"), link(root, name, needed));
    let libraries = [
        file("one", &[]),
        file("undeclared", &["one"]),
        file("two", &["undeclared"]),
    ];
    let text = format!(
        "arch=x86_64\nwork_dir='{0}/work'\nrepo_dir='{0}/repos'\n",
        root.display()
    );
    let repositories = Repositories::open(&Config::from_text(&text).unwrap()).unwrap();
    let mut transaction = repositories.transaction();
    for (name, library) in ["one", "undeclared", "two"].into_iter().zip(&libraries) {
        let spec = PackageSpec::new(name, "1-1").file(&library.0, &library.1);
        let file = PackageFile::read(&spec.write(root).unwrap()).unwrap();
        transaction.add(&"core".parse().unwrap(), NewPackage { file, signature: None });
    }
    let declared = PackageSpec::new("declared", "1-1").depends("libone.so=1-64");
    let file = PackageFile::read(&declared.write(root).unwrap()).unwrap();
    transaction.add(&"extra".parse().unwrap(), NewPackage { file, signature: None });
    transaction.commit(1, Patience::Never).unwrap();
    let conf = root.join("portsmith.conf");
    atomic::write(&conf, text.as_bytes()).unwrap();
    conf
}

fn ask(conf: &Path, question: &str) -> Ended {
    Tool::new("show-dependencies")
        .args(["--config".as_ref(), conf.as_os_str()])
        .args(question.split(' '))
        .run()
}

#[test]
fn libraries_that_built_files_need_are_followed_declared_or_not() {
    if !need::programs(&["cc"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let conf = published(directory.path());
    let answer = |question: &str| ask(&conf, question).expect(0).stdout;
    assert_eq!(
        answer("dependents libone.so=1-64"),
        "declared needs libone.so=1-64 (run)\n"
    );
    let both = "declared needs libone.so=1-64 (run)\nundeclared needs libone.so=1-64 (run)\n";
    assert_eq!(answer("dependents --built libone.so=1-64"), both);
    assert_eq!(
        answer("dependents --built one"),
        both,
        "the package provides it by its file"
    );
    assert_eq!(
        answer("dependents --built --transitive --rebuild-order libone.so=1-64"),
        format!("{both}two needs libundeclared.so=1-64 (run)\n")
    );
    assert_eq!(answer("dependents --built libone.so=2-64"), "");
    assert_eq!(
        answer("needs --built two"),
        "undeclared is needed by two as libundeclared.so=1-64 (run)\n"
    );
    // The lists are a cache; what can be read nowhere is said, and the others are asked.
    let lists = directory.path().join("work/metadata/sonames");
    assert_eq!(fs::read_dir(&lists).unwrap().count(), 4);
    fs::remove_dir_all(&lists).unwrap();
    assert_eq!(answer("dependents --built libone.so=1-64"), both);
    fs::remove_dir_all(&lists).unwrap();
    fs::remove_file(directory.path().join("repos/pool/two-1-1-x86_64.pkg.tar.zst")).unwrap();
    let ended = ask(&conf, "dependents --built libone.so=1-64").expect(0);
    assert_eq!(ended.stdout, both);
    assert!(ended.stderr.contains("two-1-1-x86_64.pkg.tar.zst"), "{}", ended.stderr);
}
