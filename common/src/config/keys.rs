//! The keys that some tool knows. docs/formats.md, "Keys", says what each of them means.

/// Keys without a repository's name in them.
const KEYS: &[&str] = &[
    "accepted_builddirs",
    "always_blacklisted",
    "arch",
    "bug_list_url",
    "build_account",
    "build_alone",
    "build_command",
    "build_list_lock_file",
    "build_log_directory",
    "build_loops_twice",
    "build_options__with_build_support",
    "build_options__with_dev_fuse",
    "builder_keys",
    "builder_name",
    "check_dependencies",
    "chroot_dir",
    "customization_repo",
    "emulated_check",
    "emulator",
    "free_disk_mib",
    "gnupg_home",
    "grace_seconds",
    "heartbeat_seconds",
    "kept_error_logs",
    "kept_generations",
    "kept_metadata_days",
    "kept_success_log_days",
    "kept_versions",
    "keyring",
    "lease_seconds",
    "limit_disk_mib",
    "limit_log_mib",
    "limit_memory_mib",
    "limit_processes",
    "limit_seconds",
    "limit_stalled_seconds",
    "lock_wait_seconds",
    "makepkg_conf",
    "master",
    "master_identity",
    "max_deletions",
    "max_package_age_broken_testing",
    "max_package_age_build_list",
    "max_package_age_staging",
    "max_package_age_testing",
    "max_parallel_builds_per_builder",
    "mirror_refresh_trigger_urls",
    "mirror_update_command",
    "neighbours_hold",
    "package_database_lock_file",
    "package_key",
    "package_limit_mib",
    "pacman_conf",
    "pkgext",
    "proxy_cache_dir",
    "proxy_listen",
    "proxy_max_age_days",
    "proxy_max_gib",
    "proxy_mirrors",
    "proxy_stall_seconds",
    "publish_command",
    "publish_timeout_seconds",
    "repo_dir",
    "repo_key",
    "repo_names",
    "repo_path",
    "require_packager",
    "require_signatures",
    "retry_pause_seconds",
    "sanity_check_lock_file",
    "slot_idle_percent",
    "slot_memory_mib",
    "slots",
    "source_archive_mirror",
    "source_by_hash_mirror",
    "srcdest",
    "ssh_command",
    "stable_package_repositories",
    "staging_package_repositories",
    "standalone_package_repositories",
    "straws",
    "straws_that_might_repair_failing_builds",
    "sub_pkgrel",
    "testing_package_repositories",
    "upload_limit_mib",
    "upload_stall_seconds",
    "upstream_arch",
    "vm_base_seconds",
    "vm_boot_seconds",
    "vm_cpus",
    "vm_dir",
    "vm_identity",
    "vm_image",
    "vm_layout",
    "vm_memory_mib",
    "vm_overlay_dir",
    "vm_overlay_mib",
    "vm_packages",
    "work_dir",
];

/// Beginnings of keys that end in a repository's name.
const KEY_FAMILIES: &[&str] = &[
    "repo_paths__",
    "repo_urls__",
    "repo_layout__",
    "repo_default__",
    "repo_packages__",
    "repo_branch__",
    "repo_only__",
    "staging_for__",
    "testing_for__",
    "stable_for__",
];

/// Whether some tool knows a key.
pub(super) fn is_known(key: &str) -> bool {
    KEYS.binary_search(&key).is_ok()
        || KEY_FAMILIES
            .iter()
            .any(|family| key.len() > family.len() && key.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_keys_is_sorted_for_the_search() {
        assert!(KEYS.is_sorted());
    }
}
