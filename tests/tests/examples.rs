//! The sample files in docs/examples are what the tools read.

use std::path::{Path, PathBuf};

use common::config::{Config, Environment};

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
