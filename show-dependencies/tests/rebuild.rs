//! What a change of a library reaches in a real distribution, against a scan of its databases by brute force.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::LazyLock;

use common::build_graph::Kind;
use testkit::distribution::{self, Desc, Distribution};

/// The databases of the set without those of a small derivative.
fn databases() -> Option<Vec<PathBuf>> {
    let set = distribution::sets()
        .into_iter()
        .find(|set| set.ends_with("arch-x86_64-2022-09-12"))?;
    let names = ["core", "extra", "multilib", "chaotic-aur"];
    Some(names.map(|name| set.join(format!("{name}.db"))).to_vec())
}

fn ask(databases: &[PathBuf], question: &[&str]) -> Vec<String> {
    let mut args = vec!["show-dependencies".into()];
    for database in databases {
        args.extend(["--database".into(), database.clone().into_os_string()]);
    }
    args.extend(question.iter().map(Into::into));
    let mut out = Vec::new();
    let code = show_dependencies::main(args, &mut std::io::empty(), &mut out);
    assert_eq!(
        format!("{code:?}"),
        format!("{:?}", std::process::ExitCode::SUCCESS),
        "{question:?}"
    );
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

fn first_words(lines: &[String]) -> BTreeSet<&str> {
    lines.iter().map(|line| line.split(' ').next().unwrap()).collect()
}

/// A need as a database has it, and who satisfies it.
struct Satisfied {
    needer: &'static str,
    kind: &'static str,
    by: Vec<&'static Desc>,
}

static DISTRIBUTION: LazyLock<Option<Distribution>> = LazyLock::new(|| Some(Distribution::read(&databases()?)));

/// Every need that its package does not satisfy itself; made once, since it takes long.
static SATISFIED: LazyLock<Vec<Satisfied>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for distribution in DISTRIBUTION.iter() {
        for needer in &distribution.packages {
            let needer_of = |(kind, need): (Kind, &str)| Satisfied {
                needer: &needer.base,
                kind: kind.as_str(),
                by: distribution.satisfying(need),
            };
            all.extend(needer.needs().map(needer_of));
        }
    }
    all.retain(|it| it.by.iter().all(|by| by.base != it.needer));
    all
});

/// The pkgbases that need what a package satisfies, by a scan of all databases.
fn direct(package: &str, kinds: &[&str]) -> BTreeSet<&'static str> {
    let scanned = SATISFIED.iter().filter(|it| kinds.contains(&it.kind));
    scanned
        .filter(|it| it.by.iter().any(|by| by.name == package))
        .map(|it| it.needer)
        .collect()
}

#[test]
fn what_a_library_reaches_is_what_a_scan_of_the_databases_finds() {
    let (Some(databases), Some(distribution)) = (databases(), &*DISTRIBUTION) else {
        return;
    };
    assert_eq!((distribution.packages.len(), distribution.bases().len()), (6956, 5494));
    let mut needers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for it in SATISFIED.iter() {
        for by in &it.by {
            needers.entry(&by.base).or_default().insert(it.needer);
        }
    }
    for package in ["openssl", "icu", "boost-libs", "python"] {
        let near = direct(package, &["make", "run", "check"]);
        let lines = ask(&databases, &["dependents", package]);
        assert_eq!(first_words(&lines), near, "{package}");
        let lines = ask(&databases, &["dependents", "--depends-only", package]);
        assert_eq!(first_words(&lines), direct(package, &["run"]), "{package}");

        let mut closure = near;
        let mut round: Vec<&str> = closure.iter().copied().collect();
        while let Some(base) = round.pop() {
            round.extend(
                needers
                    .get(base)
                    .into_iter()
                    .flatten()
                    .filter(|needer| closure.insert(needer)),
            );
        }
        let lines = ask(&databases, &["dependents", "--transitive", "--rebuild-order", package]);
        assert_eq!(first_words(&lines), closure, "{package}");
        assert_eq!(lines.len(), closure.len(), "{package}: each once");
    }
}

#[test]
fn a_soname_is_asked_for_exactly() {
    let (Some(databases), Some(distribution)) = (databases(), &*DISTRIBUTION) else {
        return;
    };
    let by_soname = |is_asked: &dyn Fn(&str) -> bool| -> BTreeSet<&str> {
        let needs = |needer: &Desc| needer.needs().any(|(_, need)| is_asked(need));
        distribution
            .packages
            .iter()
            .filter(|it| needs(it))
            .map(|it| it.base.as_str())
            .collect()
    };
    let exact = ask(&databases, &["dependents", "libicuuc.so=71-64"]);
    let theirs = by_soname(&|need| need == "libicuuc.so=71-64");
    assert_eq!(first_words(&exact), theirs);
    assert!(!theirs.is_empty());
    let of_icu = ask(&databases, &["dependents", "--sonames", "icu"]);
    let theirs = by_soname(&|need| need.starts_with("libicu") && need.contains(".so") && !need.ends_with("-32"));
    assert_eq!(first_words(&of_icu), theirs);
}

#[test]
fn a_rebuild_set_is_in_build_order() {
    let Some(databases) = databases() else { return };
    let question = ["dependents", "--rebuild-order", "--depends-only", "-d", "2", "icu"];
    let lines = ask(&databases, &question);
    let order: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    let loops = ask(&databases, &["loops"]);
    let loops: Vec<BTreeSet<&str>> = loops.iter().map(|line| line.split(' ').skip(2).collect()).collect();
    let place = |name: &str| order.iter().position(|it| *it == name);
    let mut count = 0;
    for it in SATISFIED.iter() {
        let Some(taken) = it.by.first().map(|by| by.base.as_str()) else {
            continue;
        };
        let is_looped = loops
            .iter()
            .any(|members| members.contains(it.needer) && members.contains(taken));
        if let (false, Some(needer), Some(taken)) = (is_looped, place(it.needer), place(taken)) {
            assert!(taken < needer, "{}", it.needer);
            count += 1;
        }
    }
    assert!(count > 0, "some of them need each other");
}
