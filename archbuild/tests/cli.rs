//! The contract of the command line, without any chroot.

use testkit::tool::{Tool, must};

fn archbuild(arguments: &[&str]) -> Tool {
    Tool::new("archbuild").args(arguments).directory("/".as_ref())
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    for arguments in [
        &["--no-such"][..],
        &["build", "--no-such"],
        &["no-such"],
        &[],
        &["build", "-r", "x"],
    ] {
        let ended = archbuild(arguments).run().expect(64);
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{ended:?}");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = archbuild(&["--help"]).run().expect(0);
    assert!(help.stdout.contains("Exit codes of build"), "{help:?}");
    assert!(!help.stdout.contains("inside"), "a hidden sub-command is shown");
    assert!(
        archbuild(&["--version"])
            .run()
            .expect(0)
            .stdout
            .starts_with("archbuild ")
    );
}

#[test]
fn a_directory_without_a_pkgbuild_is_a_usage_error() {
    let directory = tempfile::tempdir().unwrap();
    let ended = archbuild(&["build", "--pacman-conf", "x"])
        .directory(directory.path())
        .run()
        .expect(64);
    assert!(ended.stderr.contains("there is no PKGBUILD in"), "{ended:?}");
}

#[test]
fn a_missing_key_or_file_is_an_error_of_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    common::atomic::write(&directory.path().join("empty"), b"# nothing\n").unwrap();
    let without_key = ["create", "--config", "empty", "--chroot-dir", "x"];
    let without_file = [
        "create",
        "--config",
        "empty",
        "--chroot-dir",
        "x",
        "--pacman-conf",
        "absent",
    ];
    let without_config = ["create", "--config", "absent"];
    for (arguments, words) in [
        (&without_key[..], "pacman_conf"),
        (&without_file, "absent"),
        (&without_config, "absent"),
    ] {
        let ended = archbuild(arguments).directory(directory.path()).run().expect(78);
        assert!(ended.stderr.contains(words), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
}

#[test]
fn the_inner_part_refuses_to_run_outside_of_a_namespace() {
    let request = r#"{"verbose":0,"quiet":false,"arch":"any","directory":"/nonexistent","runner":"Native","task":{"List":"Lines"}}"#;
    let ended = archbuild(&["inside"]).stdin(format!("{request}\n")).run();
    assert!(ended.stderr.contains("not root of a user namespace"), "{ended:?}");
    assert!(ended.code > 6, "{ended:?}");
    assert!(!std::path::Path::new("/nonexistent").exists());
    assert!(archbuild(&["inside"]).run().code > 6);
}

#[test]
fn a_directory_of_chroots_with_separators_of_mount_options_is_refused() {
    let ended = archbuild(&["clean", "--chroot-dir", "/tmp/a:b,c"]).run().expect(78);
    assert!(ended.stderr.contains("chroot_dir"), "{ended:?}");
}

#[test]
fn an_account_that_does_not_exist_is_named_when_root_builds() {
    if must(common::process::Command::new("id").arg("-u")) != "0" {
        return;
    }
    let ended = archbuild(&["clean"])
        .env("PORTSMITH_BUILD_ACCOUNT", "no-such-account")
        .run()
        .expect(78);
    assert!(ended.stderr.contains("no-such-account"), "{ended:?}");
}
