//! A small port of the demo's packages: git repositories, master, sshd, builders, all real.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::process::Command;
use tempfile::TempDir;

use crate::gpg::GpgHome;
use crate::sshd::{Login, Sshd};
use crate::tool::{Tool, directory, must};
use crate::{need, tool};

/// The repositories in the order in which builders look for packages.
const REPOSITORIES: &[&str] = &[
    "staging",
    "community-staging",
    "testing",
    "community-testing",
    "core",
    "extra",
    "community",
];

/// What a port is made of.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// The packages of the demo port that are not blacklisted.
    pub pkgbases: &'a [&'a str],
    /// The builders.
    pub builders: &'a [&'a str],
    /// Where the programs lie that sshd's forced commands run.
    pub programs: PathBuf,
}

/// A master with its builders.
pub struct Port {
    root: TempDir,
    sshd: Sshd,
    keyring: GpgHome,
    homes: Vec<(String, GpgHome)>,
}

impl Port {
    /// Makes the port, or says why it is skipped.
    ///
    /// # Panics
    /// A step fails, or something is missing and `CI` is set.
    #[must_use]
    pub fn make(plan: &Plan<'_>) -> Option<Self> {
        if !need::programs(&[
            "git",
            "gpg",
            "pacman",
            "makepkg",
            "bwrap",
            "unshare",
            "newuidmap",
            "ssh",
            "bsdtar",
        ]) {
            return None;
        }
        let mirror = need::directory("PORTSMITH_TEST_MIRROR")?;
        let sources = need::directory("PORTSMITH_TEST_SOURCES")?;
        let root = tempfile::Builder::new()
            .prefix("port")
            .tempdir()
            .expect("a temporary directory");
        // Started by root, archbuild works as another account, which has to reach the repositories.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(root.path(), open).expect("the mode of one's own directory");
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("port");
        must(
            Command::new(scripts.join("make-port"))
                .arg(&sources)
                .arg(root.path().join("port")),
        );
        blacklist_all_but(&scripts, root.path(), plan.pkgbases);

        let keyring = key("repository");
        let mut builder_keys = String::new();
        let mut homes = Vec::new();
        for name in plan.builders {
            let home = key(name);
            keyring
                .import(&home)
                .and_then(|()| keyring.trust(&home))
                .expect("gpg works");
            writeln!(builder_keys, "{name} {}", home.fingerprint()).expect("text can be written");
            homes.push(((*name).to_owned(), home));
        }
        let at = |name: &str| root.path().join(name);
        write(&at("builder-keys"), &builder_keys);
        let logins: Vec<Login<'_>> = plan
            .builders
            .iter()
            .map(|name| Login {
                name,
                command: format!(
                    "{} --config {} {name}",
                    plan.programs.join("builder-gate").display(),
                    at("master.conf").display()
                ),
            })
            .collect();
        let sshd = Sshd::start(&logins);
        let port = Self {
            root,
            sshd,
            keyring,
            homes,
        };
        port.write_configurations(&mirror);
        Some(port)
    }

    fn write_configurations(&self, mirror: &Path) {
        let root = self.root.path().display();
        let common = format!(
            "arch={}\nrepo_names='packages community customization'\n\
             repo_urls__packages='{root}/port/git/packages.git'\n\
             repo_urls__community='{root}/port/git/community.git'\n\
             repo_urls__customization='{root}/port/git/customization.git'\n\
             keyring='{}'\nretry_pause_seconds=1\n",
            std::env::consts::ARCH,
            self.keyring.path().display()
        );
        let master = format!(
            "{common}work_dir='{root}/master'\nrepo_dir='{root}/repositories'\nrepo_key={}\n\
             gnupg_home='{}'\nbuilder_keys='{root}/builder-keys'\nmax_package_age_testing=0\n",
            self.keyring.fingerprint(),
            self.keyring.path().display()
        );
        write(&self.path("master.conf"), &master);
        let mut pacman = String::from("[options]\nArchitecture = auto\nSigLevel = PackageRequired DatabaseOptional\n");
        for repository in REPOSITORIES {
            writeln!(
                pacman,
                "[{repository}]\nServer = file://{root}/repositories/$repo/os/$arch"
            )
            .expect("text can be written");
        }
        pacman.push_str(&read(&mirror.join("host.conf")));
        write(&self.path("pacman.conf"), &pacman);
        let chroots = directory().join("../test-chroots/port");
        std::fs::create_dir_all(&chroots).expect("the target directory can be written");
        if must(Command::new("id").arg("-u")) == "0" {
            must(Command::new("chown").arg("portsmith:").arg(&chroots));
        }
        let chroots = chroots.canonicalize().expect("it was just made");
        for (name, home) in &self.homes {
            let builder = format!(
                "{common}work_dir='{root}/{name}'\nbuilder_name={name}\nmaster='{}'\nmaster_identity='{}'\n\
                 ssh_command='{}'\npackage_key={}\npacman_conf='{root}/pacman.conf'\n\
                 makepkg_conf='{}'\nchroot_dir='{}'\nsrcdest='{root}/port/srcdest'\n\
                 source_by_hash_mirror='file://{root}/port/by-hash'\n\
                 straws=': :clean_chroot: :mirrored_source_by_hash:'\n",
                self.sshd.address(),
                self.sshd.identity(name).display(),
                self.sshd.client(),
                home.fingerprint(),
                mirror.join("makepkg.conf").display(),
                chroots.display(),
            );
            write(&self.path(&format!("{name}.conf")), &builder);
        }
    }

    /// A path below the port's directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A tool of the master.
    #[must_use]
    pub fn master(&self, tool: &str) -> Tool {
        Tool::new(tool)
            .env("HOME", self.root.path())
            .args(["--config".as_ref(), self.path("master.conf").as_os_str()])
    }

    /// `build-packages` of a builder.
    ///
    /// # Panics
    /// There is no such builder.
    #[must_use]
    pub fn builder(&self, name: &str) -> Tool {
        let (_, home) = self
            .homes
            .iter()
            .find(|(n, _)| n == name)
            .expect("a builder of the plan");
        Tool::new("build-packages")
            .env("HOME", self.root.path())
            .env("GNUPGHOME", home.path())
            .env("PACKAGER", format!("{name} <{name}@port.example>"))
            .args(["--config".as_ref(), self.path(&format!("{name}.conf")).as_os_str()])
    }

    /// The sshd that builders come through.
    #[must_use]
    pub fn sshd(&self) -> &Sshd {
        &self.sshd
    }

    /// The keyring that the master and pacman trust.
    #[must_use]
    pub fn keyring(&self) -> &GpgHome {
        &self.keyring
    }

    /// The pkgbases on the build list.
    #[must_use]
    pub fn build_list(&self) -> Vec<String> {
        words(&self.path("master/build-list"))
    }

    /// The pkgbases on the deletion list.
    #[must_use]
    pub fn deletion_list(&self) -> Vec<String> {
        words(&self.path("master/deletion-list"))
    }

    /// Names of the packages that a published database lists, as pacman reads it.
    ///
    /// # Panics
    /// The database cannot be read.
    #[must_use]
    pub fn published(&self, repository: &str) -> Vec<String> {
        let database = self.path(&format!(
            "repositories/{repository}/os/{}/{repository}.db",
            std::env::consts::ARCH
        ));
        let listing = must(Command::new("bsdtar").arg("-tf").arg(database));
        let mut names: Vec<String> = listing
            .lines()
            .filter_map(|line| line.strip_suffix("/desc"))
            .filter_map(|entry| entry.rsplitn(3, '-').nth(2).map(str::to_owned))
            .collect();
        names.sort();
        names
    }
}

fn key(name: &str) -> GpgHome {
    GpgHome::new(name).expect("gpg makes a key")
}

fn words(path: &Path) -> Vec<String> {
    read(path)
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

/// Commits a blacklist with every package of the demo port that is not wanted.
fn blacklist_all_but(scripts: &Path, root: &Path, wanted: &[&str]) {
    let all = read(&scripts.join("expected"));
    let mut blacklist = String::new();
    for line in all.lines() {
        let mut fields = line.split_whitespace();
        let pkgbase = match fields.next() {
            Some("stable") => fields.nth(1),
            Some("broken" | "waiting" | "deleted") => fields.next(),
            _ => None,
        };
        if let Some(pkgbase) = pkgbase.filter(|name| !wanted.contains(name)) {
            writeln!(blacklist, "{pkgbase} # not part of this test").expect("text can be written");
        }
    }
    let work = root.join("work");
    let origin = root.join("port/git/customization.git");
    must(Command::new("git").arg("clone").arg("--quiet").arg(&origin).arg(&work));
    write(&work.join("blacklist"), &blacklist);
    let git = |arguments: &[&str]| {
        must(
            Command::new("git")
                .args(["-c", "user.name=Test", "-c", "user.email=test@port.example"])
                .args(arguments)
                .directory(&work),
        )
    };
    git(&[
        "commit",
        "--quiet",
        "--all",
        "--message",
        "blacklist: only what the test needs",
    ]);
    git(&["push", "--quiet", "origin", "HEAD"]);
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) {
    common::atomic::write(path, text.as_bytes()).expect("the test's directory can be written");
}

/// A directory with all programs of the project, in which some can be replaced.
///
/// # Panics
/// A program cannot be copied.
#[must_use]
pub fn programs_with(root: &Path, replaced: &[(&str, &str)]) -> PathBuf {
    let programs = root.join("programs");
    std::fs::create_dir_all(&programs).expect("the test's directory can be written");
    for name in [
        "builder-gate",
        "ping-from-builder",
        "get-assignment",
        "return-assignment",
    ] {
        let target = programs.join(name);
        match replaced.iter().find(|(other, _)| *other == name) {
            Some((_, script)) => {
                write(&target, script);
                let executable = std::fs::Permissions::from_mode(0o755);
                std::fs::set_permissions(&target, executable).expect("the mode of one's own file");
            }
            None => {
                std::fs::copy(tool::program(name), &target).expect("programs can be copied");
            }
        }
    }
    programs
}
