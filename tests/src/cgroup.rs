//! A control group (cgroup v2) as systemd delegates one with `DelegateSubgroup=supervisor`: real, whatever controllers the
//! kernel of this machine has for it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::account::Account;
use common::process::Command;
use rustix::fs::{XattrFlags, setxattr};
use tempfile::TempDir;

use crate::need;
use crate::tool::must;

/// A group of one test. Dropping it ends what is in it and removes it.
pub struct Delegated {
    directory: PathBuf,
    /// Where the hierarchy is mounted for this test alone, when it was not.
    _mount: Option<Mount>,
}

impl Delegated {
    /// Makes the group; of the account, if one is given. `None` is a skip: only root can make one.
    ///
    /// # Panics
    /// The kernel refuses it.
    #[must_use]
    pub fn make(account: Option<&Account>) -> Option<Self> {
        if must(Command::new("id").arg("-u")) != "0" {
            need::skip("only root makes control groups that belong to nobody yet");
            return None;
        }
        let (root, mount) = match mounted() {
            Some(root) => (root, None),
            None => {
                let mount = Mount::make();
                (mount.0.path().to_owned(), Some(mount))
            }
        };
        let made = tempfile::Builder::new()
            .prefix("portsmith-test-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(root);
        let group = Self {
            directory: made.expect("a control group").keep(),
            _mount: mount,
        };
        fs::create_dir(group.supervisor()).expect("a control group");
        // systemd's mark: without it groups of a machine with systemd are systemd's.
        setxattr(&group.directory, "user.delegate", b"1", XattrFlags::empty()).expect("Linux 5.7");
        if let Some(account) = account {
            let owner = format!("{}:{}", account.uid, account.gid);
            for directory in [&group.directory, &group.supervisor()] {
                for name in ["", "cgroup.procs", "cgroup.subtree_control"] {
                    must(Command::new("chown").arg(&owner).arg(directory.join(name)));
                }
            }
        }
        Some(group)
    }

    /// The group.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The group in it for who makes others.
    #[must_use]
    pub fn supervisor(&self) -> PathBuf {
        self.directory.join("supervisor")
    }

    /// The other groups in it.
    ///
    /// # Panics
    /// It is gone.
    #[must_use]
    pub fn others(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory).expect("the group is there");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths
            .filter(|path| path.is_dir() && *path != self.supervisor())
            .collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // Without processes the kernel removes what has only directories in it.
        let script = r#"echo 1 >"$0"/cgroup.kill; while grep -q 'populated 1' "$0"/cgroup.events; do sleep 0.01; done
            find "$0" -depth -type d -exec rmdir {} +"#;
        drop(Command::new("sh").args(["-c", script]).arg(&self.directory).run());
    }
}

struct Mount(TempDir);

impl Mount {
    fn make() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        must(
            Command::new("mount")
                .args(["-t", "cgroup2", "none"])
                .arg(directory.path()),
        );
        Self(directory)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).run());
    }
}

/// Where the whole hierarchy is mounted.
fn mounted() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        (line.contains(" - cgroup2 ") && fields.get(3) == Some(&"/")).then(|| PathBuf::from(fields[4]))
    })
}
