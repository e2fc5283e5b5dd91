//! The gate and the heartbeat as processes: exit codes, the log, what the called tool sees.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::os::unix::fs::PermissionsExt;

use testkit::tool::{Ended, Tool, program};

const A: &str = "1111111111111111111111111111111111111111";

/// A master's directory, with a configuration and a copy of the gate beside a stand-in for `get-assignment` that shows
/// what it was called with.
struct Master {
    root: tempfile::TempDir,
}

impl Master {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let master = Self { root };
        master.write(
            "master.conf",
            &format!("work_dir='{}'\n", master.path("work").display()),
        );
        std::fs::create_dir_all(master.path("work")).unwrap();
        std::fs::copy(program("builder-gate"), master.path("builder-gate")).unwrap();
        master.write(
            "get-assignment",
            "#!/bin/sh\necho \"$*\"\nenv | sort | cut -d= -f1\nexit 3\n",
        );
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(master.path("get-assignment"), executable).unwrap();
        master
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        common::atomic::write(&self.path(name), text.as_bytes()).unwrap();
    }

    fn ask(&self, command: impl AsRef<std::ffi::OsStr>) -> Ended {
        Tool::at(&self.path("builder-gate"))
            .args([
                "--config".as_ref(),
                self.path("master.conf").as_os_str(),
                "eurobuild3".as_ref(),
            ])
            .env("SSH_ORIGINAL_COMMAND", command)
            .env("PORTSMITH_LEASE_SECONDS", "1")
            .env("HOME", "/nonexistent")
            .run()
    }

    fn ping(&self) -> Ended {
        self.ping_with(&["building"])
    }

    fn ping_with(&self, words: &[&str]) -> Ended {
        Tool::new("ping-from-builder")
            .args(["--config".as_ref(), self.path("master.conf").as_os_str()])
            .args(words)
            .env("PORTSMITH_BUILDER", "eurobuild3")
            .run()
    }
}

#[test]
fn scenario_68_the_tool_gets_checked_words_its_exit_code_is_passed_on_and_its_environment_is_empty() {
    let master = Master::new();
    let ended = master.ask("get-assignment --files zlib").expect(3);
    let config = master.path("master.conf");
    let mut lines = ended.stdout.lines();
    assert_eq!(
        lines.next(),
        Some(format!("--config {} --files zlib", config.display()).as_str())
    );
    // The shell of the stand-in adds PWD, and some add SHLVL and _.
    let seen: Vec<&str> = lines
        .filter(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name))
        .collect();
    assert_eq!(seen, ["PATH", "PORTSMITH_BUILDER"]);
}

#[test]
fn scenario_68_what_is_not_of_the_grammar_is_42_and_runs_nothing() {
    let master = Master::new();
    let canary = master.path("canary");
    for command in [
        format!("get-assignment foo;touch {}", canary.display()),
        format!("get-assignment $(touch {})", canary.display()),
        format!("get-assignment x\ntouch {}", canary.display()),
        "get-assignment \nid -un".to_owned(),
        "rm -rf".to_owned(),
        "get-assignment --config /etc/passwd".to_owned(),
        String::new(),
    ] {
        let ended = master.ask(&command).expect(42);
        assert!(
            ended.stdout.is_empty() && ended.stderr.starts_with("builder-gate: refused: "),
            "{ended:?}"
        );
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
    assert!(!canary.exists());
    let log = std::fs::read_to_string(master.path("work/ssh-log")).unwrap();
    assert_eq!(log.lines().count(), 7, "{log}");
    assert!(log.lines().all(|line| line.contains(" eurobuild3 ")), "{log}");
}

#[test]
fn bytes_that_are_no_text_are_refused_and_logged() {
    let master = Master::new();
    let command = std::os::unix::ffi::OsStrExt::from_bytes(b"get-assignment \xff\xfe");
    let command: &std::ffi::OsStr = command;
    let ended = master.ask(command).expect(42);
    assert!(ended.stderr.contains("characters"), "{ended:?}");
    let log = std::fs::read_to_string(master.path("work/ssh-log")).unwrap();
    assert!(log.contains(" eurobuild3 get-assignment "), "{log}");
}

#[test]
fn a_log_that_cannot_be_written_stops_nobody() {
    let master = Master::new();
    std::fs::create_dir(master.path("work/ssh-log")).unwrap();
    let ended = master.ask("get-assignment zlib").expect(3);
    assert!(ended.stderr.contains("ssh-log"), "{ended:?}");
    master.ask("id").expect(42);
}

#[test]
fn usage_errors_are_64_and_a_missing_configuration_is_78() {
    Tool::new("builder-gate").args(["--no-such-option"]).run().expect(64);
    Tool::new("builder-gate").run().expect(64);
    Tool::new("builder-gate").args(["../x"]).run().expect(64);
    let ended = Tool::new("builder-gate")
        .args(["--config", "/nonexistent/portsmith.conf", "b"])
        .run()
        .expect(78);
    assert!(ended.stderr.contains("/nonexistent/portsmith.conf"), "{ended:?}");
    for tool in ["builder-gate", "ping-from-builder"] {
        let help = Tool::new(tool).args(["--help"]).run().expect(0);
        assert!(help.stdout.contains("Usage") && help.stderr.is_empty());
        Tool::new(tool).args(["--version"]).run().expect(0);
    }
    Tool::new("ping-from-builder").args(["building"]).run().expect(64);
}

#[test]
fn scenario_72_a_ping_renews_the_lease_while_the_order_is_the_builders() {
    let master = Master::new();
    master.ping().expect(2);
    let order = format!("zlib {A} {A} core");
    master.write("work/build-list", &format!("{order}\n"));
    let lease = format!("{order} 0 assigned 5 5 - 0 1\n");
    common::atomic::write(&master.path("work/builders/eurobuild3"), lease.as_bytes()).unwrap();
    master.ping().expect(0);
    let renewed = std::fs::read_to_string(master.path("work/builders/eurobuild3")).unwrap();
    let fields: Vec<&str> = renewed.split_whitespace().collect();
    assert_eq!((fields[5], fields[6]), ("building", "5"), "{renewed}");
    assert!(fields[7].parse::<u64>().unwrap() > 1_000_000_000, "{renewed}");
    master.write("work/build-list", "");
    master.ping().expect(2);
}

#[test]
fn a_ping_may_be_about_one_order_and_says_how_large_its_log_is() {
    let master = Master::new();
    let orders = ["zlib", "tree"].map(|pkgbase| format!("{pkgbase} {A} {A} core"));
    master.write("work/build-list", &orders.join("\n"));
    let leases: String = orders.iter().map(|o| format!("{o} 0 assigned 5 5 - 0 1\n")).collect();
    common::atomic::create_directory(&master.path("work/builders")).unwrap();
    master.write("work/builders/eurobuild3", &leases);
    master.ping_with(&["check", "12345", "zlib"]).expect(0);
    let renewed = std::fs::read_to_string(master.path("work/builders/eurobuild3")).unwrap();
    let fields: Vec<Vec<&str>> = renewed.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!((fields[0][5], fields[0][11]), ("check", "12345"), "{renewed}");
    assert_eq!((fields[1][5], fields[1][7]), ("assigned", "5"), "{renewed}");
    master.write("work/build-list", &format!("{}\n", orders[1]));
    master.ping_with(&["check", "0", "zlib"]).expect(2);
    master.ping_with(&["check", "0", "tree"]).expect(0);
}

#[test]
fn trouble_of_the_master_ends_no_build() {
    let master = Master::new();
    master.write("work/build-master-sanity", "a package is missing\n");
    let ended = master.ping().expect(0);
    assert!(ended.stderr.contains("a package is missing"), "{ended:?}");
    std::fs::remove_file(master.path("master.conf")).unwrap();
    master.ping().expect(0);
}
