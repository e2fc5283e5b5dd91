//! The retry ladder: each straw repairs what the one before it did not, and each failure is reported as what it is.

use testkit::packaging::{FILE, Remote};

use crate::site::{SOURCE_SUM, Site};

/// Every remedy, alone and those for sources with a clean chroot, too.
const LADDER: &str = ": :clean_chroot: :mirrored_source_by_hash: :mirrored_source: \
    :mirrored_source_by_hash:clean_chroot: :mirrored_source:clean_chroot: :with_build_support: :without_check: \
    :with_/dev/fuse:";

/// What a build command says and does: `$*` has its options, the working directory the sources.
const PASS: &str = ": >\"$PKGDEST/a-1-1.0-any.pkg.tar.zst\"\n";

/// A builder with all means: mirrors with this source, and options for its build command.
fn site(build: &str) -> Site {
    let site = Site::new(&format!("{build}\n{PASS}"));
    site.configure(&format!(
        "straws='{LADDER}'\nbuild_options__with_build_support=--with-support\nbuild_options__with_dev_fuse=--with-fuse\n\
         source_by_hash_mirror='file://{}'\nsource_archive_mirror='file://{}'\n",
        site.path("by-hash").display(),
        site.path("archives").display(),
    ));
    site
}

/// The mirror by checksum has the source.
fn with_hash(site: &Site) {
    std::fs::create_dir_all(site.path("by-hash")).unwrap();
    site.write(&format!("by-hash/{SOURCE_SUM}"), "source");
}

/// The mirror of source archives has the package, with another PKGBUILD in it.
fn with_archive(site: &Site) {
    let directory = site.path("archives/packages");
    std::fs::create_dir_all(directory.join("a")).unwrap();
    site.write("archives/packages/a/a.tar", "source");
    site.write("archives/packages/a/PKGBUILD", "exit 1");
    testkit::tool::must(
        common::process::Command::new("bsdtar")
            .args(["-czf", "a-1-1.src.tar.gz", "a"])
            .directory(&directory),
    );
}

/// The options of each attempt, until one works; it has to.
fn climbs(site: &Site) -> Vec<String> {
    let ended = site.run(&["-x"]).expect(0);
    let calls = site.read("calls");
    assert!(calls.contains(" core 0\n"), "packages are returned: {ended:?}");
    site.read("builds").lines().map(str::to_owned).collect()
}

#[test]
fn a_clean_chroot_repairs_what_fails_in_a_used_one() {
    assert_eq!(climbs(&site("[ \"$*\" = -c ] || exit 1")), ["", "-c"]);
    assert_eq!(climbs(&site("[ \"$*\" = -c ] || exit 2")), ["", "-c"]);
}

#[test]
fn sources_that_are_gone_come_by_their_checksums_and_no_clean_chroot_is_tried() {
    let site = site("[ -e a.tar ] || exit 3");
    with_hash(&site);
    assert_eq!(climbs(&site), ["", ""]);
}

#[test]
fn sources_that_no_checksum_finds_come_from_the_source_archive_and_our_pkgbuild_stays() {
    let site = site("[ -e a.tar ] || exit 3\ngrep -q pkgname PKGBUILD || exit 1");
    with_archive(&site);
    assert_eq!(climbs(&site), ["", ""], "a mirror that has nothing is passed over");
}

#[test]
fn sources_from_elsewhere_and_a_clean_chroot_go_together() {
    let needs_both = "[ -e a.tar ] || exit 3\n[ \"$*\" = -c ] || exit 1";
    let by_hash = site(needs_both);
    with_hash(&by_hash);
    assert_eq!(climbs(&by_hash), ["", "", "-c"]);
    let archive = site(needs_both);
    with_archive(&archive);
    assert_eq!(climbs(&archive), ["", "", "-c"]);
}

#[test]
fn dependencies_that_only_build_support_has_come_from_there() {
    assert_eq!(
        climbs(&site("[ \"$*\" = --with-support ] || exit 2")),
        ["", "-c", "--with-support"]
    );
}

#[test]
fn a_check_that_fails_is_left_out_and_nothing_but_a_check_is() {
    let failing =
        |function: &str| format!("echo '==> Starting {function}()...'\n[ \"$*\" = '-- --nocheck' ] || exit 1");
    assert_eq!(
        climbs(&site(&failing("check"))),
        ["", "-c", "--with-support", "-- --nocheck"]
    );
    let build = site(&failing("build"));
    build.run(&["-x"]).expect(0);
    assert_eq!(
        build.read("builds").lines().collect::<Vec<_>>(),
        ["", "-c", "--with-support", "--with-fuse"]
    );
    assert!(build.read("calls").trim_end().ends_with(" ERROR"));
}

#[test]
fn a_build_that_needs_dev_fuse_gets_it() {
    let site = site("echo '==> Starting build()...'\n[ \"$*\" = --with-fuse ] || exit 1");
    assert_eq!(climbs(&site), ["", "-c", "--with-support", "--with-fuse"]);
}

#[test]
fn each_class_of_failure_is_reported_as_what_it_is_and_decides_what_is_tried() {
    for (outcome, code, attempts) in [
        ("limit-stalled", 4, 1),
        ("limit-memory", 4, 1),
        ("limit-wall-time", 4, 1),
        ("limit-disk", 4, 1),
        ("limit-log-size", 4, 1),
        ("limit-processes", 4, 1),
        ("sources", 3, 1),
        ("dependencies", 2, 3),
        ("failed-build", 1, 3),
    ] {
        let record = format!(
            "{{\"outcome\":\"{outcome}\",\"arch\":\"any\",\"started\":1,\"milliseconds\":1500,\"peak_memory\":5242880,\
             \"phases\":[{{\"phase\":\"build\",\"milliseconds\":1200}}]}}"
        );
        let site = Site::new("");
        // A build command of ours prints a record; what it is called says so.
        site.script(
            "archbuild",
            &format!(
                "#!/bin/sh\necho \"$*\" >>'{}'\necho '{record}'\nexit {code}\n",
                site.path("builds").display()
            ),
        );
        site.configure(&format!(
            "build_command='{} build'\nstraws=': :clean_chroot: :with_/dev/fuse: :without_check:'\n",
            site.path("archbuild").display()
        ));
        site.run(&["-x"]).expect(0);
        let builds = site.read("builds");
        assert_eq!(builds.lines().count(), attempts, "{outcome}: {builds}");
        assert!(builds.starts_with("build --json\n"), "{builds}");
        let logs = site.uploaded_logs(0);
        let line = logs.lines().find(|line| line.contains(&format!(" {outcome}: ")));
        let line = line.unwrap_or_else(|| panic!("{outcome} is not named: {logs}"));
        assert!(line.ends_with(", build 1200 ms, 5 MiB of memory"), "{line}");
    }
}

#[test]
fn the_mirror_is_brought_up_to_date_before_a_build_and_a_build_goes_on_when_that_fails() {
    for (code, complaint) in [(0, false), (7, true)] {
        let site = Site::new(PASS);
        let order = site.path("order");
        let update = format!("#!/bin/sh\necho \"update $*\" >>'{}'\nexit {code}\n", order.display());
        site.script("update", &update);
        site.configure(&format!(
            "mirror_update_command='{} --to here'\n",
            site.path("update").display()
        ));
        let ended = site.run(&["-x"]).expect(0);
        assert_eq!(site.read("order"), "update --to here\n");
        assert_eq!(
            ended.stderr.contains("the mirror is used as it is"),
            complaint,
            "{ended:?}"
        );
        assert!(
            site.read("calls").contains(" core 0\n"),
            "packages are returned: {ended:?}"
        );
    }
}

#[test]
fn straws_without_means_are_passed_over() {
    let site = Site::new("exit 3");
    site.configure(&format!("straws='{LADDER}'\n"));
    site.run(&["-x"]).expect(0);
    assert_eq!(site.uploaded(0).len(), 1);
}

#[test]
fn an_order_whose_commit_is_gone_is_a_failure_and_repositories_that_are_away_are_waited_for() {
    let site = Site::new(PASS);
    let gone = format!("a {} {} core", "1".repeat(40), "0".repeat(40));
    site.write("assignment", &format!("{gone} 0\na-1-1.0-any.pkg.tar.zst\n"));
    site.run(&["-x"]).expect(0);
    assert!(site.uploaded_logs(0).contains("has the commit"), "the log says why");
    site.answer("get-assignment", "0\n0\n3\n");
    site.configure(&format!(
        "repo_urls__packages='file://{}'\n",
        site.path("away.git").display()
    ));
    std::fs::rename(site.path("packages.git"), site.path("hidden.git")).unwrap();
    let running = site.tool(&["-v"]).into_command().spawn().unwrap();
    while site.read("calls").matches("get-assignment").count() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(Remote::new(&site.path("away.git")).commit(&[("a/repos/core-any/PKGBUILD", FILE, "")]));
    let ended = running.wait().unwrap();
    assert_eq!(
        ended.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(site.read("calls").trim_end().ends_with(" ERROR"));
}

#[test]
fn a_command_of_ours_that_is_configured_wrongly_is_no_failure_of_the_package() {
    let site = Site::new("");
    site.script(
        "archbuild",
        "#!/bin/sh\necho >>\"${0%/*}/builds\"\necho 'archbuild: pacman_conf is not set' >&2\nexit 78\n",
    );
    site.configure(&format!("build_command='{} build'\n", site.path("archbuild").display()));
    let ended = site.run(&[]).expect(1);
    assert!(
        ended
            .stderr
            .contains("this machine cannot build: archbuild: pacman_conf is not set"),
        "{ended:?}"
    );
    assert!(!site.read("calls").contains("return-assignment"));
    assert_eq!(site.read("builds").lines().count(), 1, "trying again does not help");
}
