//! Every program has a page and completions, and they say what it says itself.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Programs of the build and of tests.
const NOT_INSTALLED: [&str; 2] = ["bench", "manual"];

/// The programs in the directories of the workspace.
fn programs() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap() {
        let directory = entry.unwrap().path();
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        if !directory.join("src/main.rs").exists() || NOT_INSTALLED.contains(&name.as_str()) {
            continue;
        }
        found.insert(name);
        for entry in fs::read_dir(directory.join("src/bin")).into_iter().flatten() {
            let path = entry.unwrap().path();
            found.insert(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    found
}

#[test]
fn every_program_has_a_page_and_completions() {
    let share = tempfile::tempdir().unwrap();
    manual::write(share.path()).unwrap();
    let programs = programs();
    assert!(programs.contains("get-assignment") && programs.contains("ping-from-builder"));
    let documented: BTreeSet<String> = manual::commands()
        .iter()
        .map(|command| command.get_name().to_owned())
        .collect();
    assert_eq!(documented, programs);
    for name in &programs {
        let page = fs::read_to_string(share.path().join(format!("man/man1/{name}.1"))).unwrap();
        assert!(page.contains(".TH") && page.contains("\\-\\-config"), "{name}: {page}");
        for path in [
            format!("bash-completion/completions/{name}"),
            format!("zsh/site-functions/_{name}"),
            format!("fish/vendor_completions.d/{name}.fish"),
        ] {
            let text = fs::read_to_string(share.path().join(&path)).unwrap();
            assert!(text.contains(name.as_str()) && text.contains("config"), "{path}");
        }
    }
    let page = fs::read_to_string(share.path().join("man/man1/archbuild-build.1")).unwrap();
    assert!(page.contains("limit"), "{page}");
    // Twice is once.
    manual::write(share.path()).unwrap();
}
