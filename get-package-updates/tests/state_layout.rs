//! Change detection in Arch's state repository.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod scenario;

use scenario::Scenario;
use scenario::forge::{arch, package, release};
use testkit::packaging::{FILE, srcinfo};

#[test]
fn releases_moves_and_deletions_are_seen_in_the_state_files() {
    let mut scenario = arch();
    let (a, of_a) = package(&scenario, "aplusplus", "a++", "b");
    let (_, of_b) = package(&scenario, "b", "b", "glibc");
    release(&mut scenario, "extra-x86_64/a++", "1-1", &of_a);
    release(&mut scenario, "core-any/b", "1-1", &of_b);
    release(&mut scenario, "extra-staging-x86_64/c", "1-1", &of_b);
    let [state, _, ours] = scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.list(), ["b", "a++"], "in the order of their metadata");
    assert_eq!(scenario.line("a++").unwrap(), format!("a++ {state} {ours} extra"));
    let before = scenario.snapshot();
    scenario.ends(0, &[]);
    assert_eq!(scenario.snapshot(), before);
    // A commit that is not released is nothing; a release, a move and a deletion are.
    scenario.all_built();
    let text = srcinfo("a++", &["depends = b"]);
    let newer = a.commit(&[("PKGBUILD", FILE, "pkgname=a++ # 2\n"), (".SRCINFO", FILE, &text)]);
    scenario.ends(0, &[]);
    assert!(scenario.list().is_empty());
    release(&mut scenario, "extra-x86_64/a++", "2-1", &newer);
    let [state, ..] = scenario.commit();
    let (stdout, _) = scenario.ends(0, &[]);
    assert_eq!(
        stdout,
        format!("a++ {state} {} extra\n", scenario.read("ours.revision").trim())
    );
    scenario.all_built();
    scenario.drop("core-any/b");
    scenario.drop("extra-x86_64/a++");
    release(&mut scenario, "core-x86_64/a++", "2-1", &newer);
    scenario.commit();
    let (_, stderr) = scenario.ends(0, &["-v"]);
    assert!(stderr.contains("a++: moved from extra"), "{stderr}");
    assert_eq!(
        (scenario.list(), scenario.deletions()),
        (vec!["a++".into()], vec!["b".to_owned()])
    );
}

#[test]
fn an_order_whose_repository_cannot_be_fetched_waits_and_the_others_do_not() {
    let mut scenario = arch();
    let (_, of_a) = package(&scenario, "a", "a", "glibc");
    release(&mut scenario, "core-x86_64/a", "1-1", &of_a);
    release(&mut scenario, "core-x86_64/late", "1-1", &of_a);
    scenario.commit();
    let (_, stderr) = scenario.ends(0, &[]);
    assert!(stderr.contains("/forge/late.git"), "{stderr}");
    assert_eq!(scenario.list(), ["a", "late"]);
    let blocked = |scenario: &Scenario| {
        let id = scenario.line("late").unwrap().replace(' ', ".");
        scenario.read(&format!("package-states/{id}.blocked"))
    };
    assert!(blocked(&scenario).starts_with("metadata: "), "{}", blocked(&scenario));
    let (_, of_late) = package(&scenario, "late", "late", "glibc");
    release(&mut scenario, "core-x86_64/late", "1-1", &of_late);
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(blocked(&scenario), "");
}
