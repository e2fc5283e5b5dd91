//! What is scheduled and what is deleted: the numbers are those of the scenarios of a drop-in for the original.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod scenario;

use std::fs;

use scenario::Scenario;
use testkit::need;

const SMALL: &[(&str, &str)] = &[
    ("core/a", ""),
    ("extra/b", "run:a"),
    ("community/c", "make:b"),
    ("multilib/m", ""),
];

#[test]
fn scenario_1_the_first_run_schedules_everything_that_is_followed() {
    let mut scenario = Scenario::of(SMALL);
    scenario.put("staging/x", "");
    scenario.drop("x/repos/staging-x86_64/.SRCINFO");
    scenario::add(&mut scenario.community, "y/repos/community-staging-x86_64", "y", "");
    scenario::add(&mut scenario.packages, "z/trunk", "z", "");
    scenario::add(&mut scenario.packages, "n/repos/extra-any", "n", "");
    let [packages, community, ours] = scenario.commit();
    let (stdout, _) = scenario.ends(0, &[]);
    assert_eq!(scenario.list(), ["a", "b", "c", "m", "n"]);
    assert_eq!(stdout, scenario.read("build-list"));
    assert_eq!(scenario.line("n").unwrap(), format!("n {packages} {ours} extra"));
    assert_eq!(scenario.line("m").unwrap(), format!("m {community} {ours} multilib"));
    for (name, revision) in [("packages", packages), ("community", community), ("ours", ours)] {
        assert_eq!(scenario.read(&format!("{name}.revision")), format!("{revision}\n"));
    }
    assert_eq!(scenario.read("build-graph"), "a\nb run:a\nc make:b\nm\nn\n");
    assert_eq!(scenario.read("journal").lines().count(), 5);
}

#[test]
fn scenario_2_a_package_of_ours_alone_is_on_the_list_at_once() {
    if !need::programs(&["bwrap", "makepkg"]) {
        return;
    }
    let mut scenario = Scenario::of(SMALL);
    scenario.file(
        "core/only32/PKGBUILD",
        "pkgname=only32\npkgver=1\npkgrel=1\narch=(any)\nmakedepends=(c)\n",
    );
    let [packages, _, ours] = scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(
        scenario.line("only32").unwrap(),
        format!("only32 {packages} {ours} core")
    );
    assert_eq!(scenario.read("build-graph").lines().last().unwrap(), "only32 make:c");
}

#[test]
fn scenario_3_a_run_without_new_commits_touches_no_file() {
    let scenario = Scenario::of(SMALL);
    scenario.commit();
    scenario.ends(0, &[]);
    let before = scenario.snapshot();
    let (stdout, stderr) = scenario.ends(0, &[]);
    assert!(stdout.is_empty() && stderr.contains("nothing new"), "{stderr}");
    assert_eq!(scenario.snapshot(), before);
}

#[test]
fn scenario_4_a_changed_pkgbuild_changes_its_line_and_no_other() {
    let mut scenario = Scenario::of(SMALL);
    let [old, _, _] = scenario.commit();
    scenario.ends(0, &[]);
    scenario.put("extra/b", "ver:2 run:a");
    let [new, _, ours] = scenario.commit();
    let (stdout, _) = scenario.ends(0, &[]);
    assert_eq!(stdout, format!("b {new} {ours} extra\n"));
    assert!(scenario.line("a").unwrap().contains(old.as_str()));
    assert_eq!(scenario.list(), ["a", "b", "c", "m"]);
}

#[test]
fn scenario_5_other_files_count_for_pending_orders_only() {
    let mut scenario = Scenario::of(SMALL);
    scenario.commit();
    scenario.ends(0, &[]);
    scenario
        .packages
        .insert("a/repos/core-x86_64/a.install".to_owned(), "x".to_owned());
    scenario.packages.insert("b/trunk/PKGBUILD".to_owned(), "x".to_owned());
    let [new, _, _] = scenario.commit();
    scenario.ends(0, &[]);
    assert!(scenario.line("a").unwrap().contains(new.as_str()));
    assert!(!scenario.line("b").unwrap().contains(new.as_str()));
    scenario.all_built();
    scenario
        .packages
        .insert("a/repos/core-x86_64/a.install".to_owned(), "y".to_owned());
    scenario.commit();
    scenario.ends(0, &[]);
    assert!(scenario.list().is_empty());
}

#[test]
fn scenario_6_a_renamed_package_is_a_new_one_and_a_deleted_one() {
    let mut scenario = Scenario::of(SMALL);
    scenario.commit();
    scenario.ends(0, &[]);
    scenario.drop("a/");
    scenario.put("core/a2", "provides:a");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.list(), ["a2", "b", "c", "m"]);
    assert_eq!(scenario.deletions(), ["a"]);
    let journal = scenario.read("journal");
    assert!(journal.lines().any(|line| line.contains("\tdeleted\ta\t")), "{journal}");
}

#[test]
fn scenario_7_a_move_between_repositories_is_one_line_with_the_new_one() {
    let mut scenario = Scenario::of(SMALL);
    scenario.commit();
    scenario.ends(0, &[]);
    scenario.all_built();
    scenario.drop("a/");
    scenario.put("extra/a", "");
    let [packages, _, ours] = scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.read("build-list"), format!("a {packages} {ours} extra\n"));
    assert!(scenario.deletions().is_empty());
}

#[test]
fn scenario_8_a_move_between_git_repositories_is_one_line_too() {
    let mut scenario = Scenario::of(SMALL);
    scenario.commit();
    scenario.ends(0, &[]);
    scenario.drop("c/");
    scenario.put("extra/c", "");
    let [packages, _, ours] = scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.line("c").unwrap(), format!("c {packages} {ours} extra"));
    assert!(scenario.deletions().is_empty());
}

#[test]
fn scenario_9_a_version_in_testing_counts_when_it_leaves_testing() {
    let mut scenario = Scenario::of(SMALL);
    scenario.commit();
    scenario.ends(0, &[]);
    scenario.all_built();
    scenario.put("testing/b", "ver:2");
    scenario.commit();
    scenario.ends(0, &[]);
    assert!(scenario.list().is_empty());
    scenario.drop("b/repos/testing");
    scenario.put("extra/b", "ver:2");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.list(), ["b"]);
}

#[test]
fn scenario_10_what_upstream_deletes_stays_when_we_have_a_pkgbuild_for_it() {
    if !need::programs(&["bwrap", "makepkg"]) {
        return;
    }
    let pkgbuild = |name: &str| format!("pkgname={name}\npkgver=1\npkgrel=1\narch=(any)\n");
    let mut scenario = Scenario::of(&[("core/f", ""), ("core/g", ""), ("core/h", "")]);
    scenario.file("core/f/some.patch", "");
    scenario.file("core/g/PKGBUILD", &pkgbuild("g"));
    scenario.file("core/h/PKGBUILD", "depends=(x)\n");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.list(), ["f", "g", "h"]);
    scenario.all_built();
    scenario.drop("f/");
    scenario.drop("g/");
    scenario.drop("core/h");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(
        (scenario.list(), scenario.deletions()),
        (vec!["g".into(), "h".into()], vec!["f".into()])
    );
}

#[test]
fn scenario_11_what_is_added_again_leaves_the_deletion_list() {
    let mut scenario = Scenario::of(SMALL);
    scenario.commit();
    scenario.ends(0, &[]);
    scenario.drop("m/");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.deletions(), ["m"]);
    scenario.put("multilib/m", "");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!((scenario.list().len(), scenario.deletions().len()), (4, 0));
}

#[test]
fn scenario_12_dependants_of_a_blacklisted_package_go_with_it_also_when_they_are_built() {
    let mut scenario = Scenario::of(&[
        ("core/a", ""),
        ("core/b", "run:a"),
        ("core/c", "make:b"),
        ("core/d", ""),
    ]);
    scenario.commit();
    scenario.ends(0, &[]);
    scenario.all_built();
    scenario.file("blacklist", "# dmd\na # why # and <b>more</b>\n");
    scenario.commit();
    let (_, stderr) = scenario.ends(0, &[]);
    assert_eq!(scenario.deletions(), ["a", "b", "c"]);
    assert!(stderr.contains("c is to be deleted: needs b"), "{stderr}");
    scenario.put("core/d", "provides:a");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(
        (scenario.deletions(), scenario.list()),
        (vec!["a".into()], vec!["d".into(), "b".into(), "c".into()])
    );
}

#[test]
fn scenario_13_lib32_packages_are_blacklisted_unless_the_target_is_x86_64() {
    let mut scenario = Scenario::of(&[("multilib/lib32-a", ""), ("multilib/b", "run:lib32-a"), ("core/c", "")]);
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(
        (scenario.deletions(), scenario.list()),
        (vec!["b".into(), "lib32-a".into()], vec!["c".into()])
    );
    fs::remove_dir_all(scenario.work("")).unwrap();
    scenario.conf.push_str("arch=x86_64\n");
    scenario.ends(0, &[]);
    assert!(scenario.deletions().is_empty());
}

#[test]
fn scenarios_14_and_15_an_empty_blacklist_is_fine_and_brings_packages_back() {
    let mut scenario = Scenario::of(&[
        ("core/a", ""),
        ("core/b", "run:a"),
        ("core/c", "make:b"),
        ("core/d", ""),
    ]);
    scenario.file("blacklist", "a\n");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!((scenario.deletions().len(), scenario.list()), (3, vec!["d".into()]));
    scenario.file("blacklist", "# only a comment\n");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!((scenario.deletions().len(), scenario.list().len()), (0, 4));
}

#[test]
fn scenarios_21_to_23_build_manually_blocks_and_update_once_schedules_once() {
    let mut scenario = Scenario::of(&[("core/g", ""), ("core/h", ""), ("core/i", "make:g")]);
    scenario.commit();
    scenario.ends(0, &[]);
    scenario.all_built();
    scenario.file("build-manually", "g # by hand\n");
    scenario.put("core/g", "ver:2");
    let [first, _, _] = scenario.commit();
    scenario.ends(0, &[]);
    let blocked = |scenario: &Scenario| {
        let names = fs::read_dir(scenario.work("package-states")).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let [name] = &blocked(&scenario)[..] else { panic!() };
    assert!(name.starts_with(&format!("g.{first}.")) && name.ends_with(".core.blocked"));
    assert!(
        scenario
            .read(&format!("package-states/{name}"))
            .starts_with("build-manually")
    );
    scenario.put("core/g", "ver:3");
    let [second, _, _] = scenario.commit();
    scenario.ends(0, &[]);
    let [name] = &blocked(&scenario)[..] else { panic!() };
    assert!(
        name.starts_with(&format!("g.{second}.")),
        "the block goes over to the new revision: {name}"
    );
    scenario.file("update-once", "g\nh\n");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.list(), ["g", "h"]);
    assert!(blocked(&scenario).is_empty());
    scenario.all_built();
    scenario.put("core/i", "make:g ver:2");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(scenario.list(), ["i"], "an entry counts once");
}

#[test]
fn the_state_of_an_order_that_left_the_list_is_forgotten() {
    let mut scenario = Scenario::of(SMALL);
    scenario.commit();
    scenario.ends(0, &[]);
    let id = scenario.line("a").unwrap().replace(' ', ".");
    scenario.write(&format!("package-states/{id}.broken"), "b 1\n");
    scenario.write(&format!("package-states/{id}.locked"), "b\n");
    scenario.write(&format!("package-states/{id}.testing"), "a-1-1-any.pkg.tar.zst\n");
    scenario.write(&format!("package-states/{id}.blocked"), "wait for FS#1\n");
    scenario.write(
        "builders/b",
        &format!("{} 0 building 1 1 - 0 1\n", scenario.line("a").unwrap()),
    );
    scenario.write("priorities", "a 3\nm 2\n");
    scenario.drop("m/");
    scenario.put("core/a", "ver:2");
    scenario.commit();
    scenario.ends(0, &[]);
    let mut names: Vec<String> = fs::read_dir(scenario.work("package-states"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let new = scenario.line("a").unwrap().replace(' ', ".");
    let mut expected = [format!("{id}.testing"), format!("{new}.blocked")];
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(
        scenario.read(&format!("package-states/{new}.blocked")),
        "wait for FS#1\n"
    );
    assert_eq!(
        (scenario.read("builders/b"), scenario.read("priorities")),
        (String::new(), "a 3\n".to_owned())
    );
}

#[test]
fn a_pkgbuild_that_cannot_be_evaluated_holds_its_order_back_until_it_can() {
    if !need::programs(&["bwrap", "makepkg"]) {
        return;
    }
    let mut scenario = Scenario::of(&[("core/a", ""), ("core/b", "make:a")]);
    scenario
        .packages
        .insert("a/repos/core-x86_64/PKGBUILD".to_owned(), "pkgname=(\n".to_owned());
    scenario.packages.remove("a/repos/core-x86_64/.SRCINFO");
    scenario.commit();
    let (_, stderr) = scenario.ends(0, &[]);
    assert!(stderr.contains("the PKGBUILD of a cannot be evaluated"), "{stderr}");
    assert_eq!(scenario.read("build-graph"), "a\nb make:a\n");
    let id = scenario.line("a").unwrap().replace(' ', ".");
    assert!(
        scenario
            .read(&format!("package-states/{id}.blocked"))
            .starts_with("metadata: ")
    );
    scenario.put("core/a", "");
    scenario.commit();
    scenario.ends(0, &[]);
    assert_eq!(fs::read_dir(scenario.work("package-states")).unwrap().count(), 0);
}
