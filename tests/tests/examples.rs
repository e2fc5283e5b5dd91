//! The sample files in docs/examples are what the tools read.

use std::path::{Path, PathBuf};

use common::config::{Config, Environment};
use common::process::Command;
use testkit::need;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/examples")
        .join(name)
}

#[test]
fn the_sample_configurations_are_read_without_a_warning() {
    for name in ["portsmith.conf", "builder.conf"] {
        let config = Config::load(Some(&example(name)), &Environment::new()).unwrap();
        let unknown: Vec<&str> = config.unknown_keys().collect();
        assert!(unknown.is_empty(), "{name}: {unknown:?}");
    }
}

#[test]
fn the_sample_configuration_of_a_builder_is_enough_for_one() {
    let config = Config::load(Some(&example("builder.conf")), &Environment::new()).unwrap();
    for key in [
        "builder_name",
        "master",
        "work_dir",
        "repo_names",
        "package_key",
        "pacman_conf",
    ] {
        assert!(config.text(key).is_some(), "{key}");
    }
}

#[test]
fn the_sample_units_are_ones_that_systemd_takes() {
    if !need::programs(&["systemd-analyze"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for entry in std::fs::read_dir(example("systemd")).unwrap() {
        let from = entry.unwrap().path();
        let text = std::fs::read_to_string(&from).unwrap();
        // The tools are installed nowhere.
        let programs = testkit::tool::directory().display().to_string();
        let unit = place.path().join(from.file_name().unwrap());
        common::atomic::write(&unit, text.replace("/usr/local/bin", &programs).as_bytes()).unwrap();
        units.push(unit);
    }
    assert!(units.len() >= 5, "{units:?}");
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .args(&units)
        .wait()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    // systemd before 254 does not know it, and passes over it.
    let complaints: Vec<&str> = said
        .lines()
        .filter(|line| !line.contains("'DelegateSubgroup'"))
        .collect();
    assert!(verified.status.success() && complaints.is_empty(), "{said}");
}
