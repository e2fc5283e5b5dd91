//! A builder that loses no work: the real build-packages, ssh, sshd, gate and master's tools, and a network and a
//! machine that fail at the worst moments. In the end each package is published exactly once.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::process::{Child, Command, Signal};
use testkit::gpg::GpgHome;
use testkit::master::Master;
use testkit::need;
use testkit::package::PackageSpec;
use testkit::relay::{Break, Relay};
use testkit::sshd::{Login, Sshd};
use testkit::tool::{Tool, directory, must};

/// Bytes of a package that no compression makes smaller: it takes a while to upload.
const LARGE: usize = 6 << 20;
/// Bytes of one that does not.
const SMALL: usize = 1 << 10;
/// Longest wait for something that has to happen.
const LIMIT: Duration = Duration::from_secs(120);

/// A master with orders, behind sshd and a relay, and a builder whose build command has the packages ready.
struct Works {
    master: Master,
    relay: Relay,
    sshd: Sshd,
    key: GpgHome,
}

impl Works {
    /// Orders of these names, with small packages. `build` is what the build command does before the package lies in its
    /// place.
    fn new(pkgbases: &[&str], build: &str) -> Option<Self> {
        Self::with_packages_of(SMALL, pkgbases, build)
    }

    fn with_packages_of(size: usize, pkgbases: &[&str], build: &str) -> Option<Self> {
        if !need::programs(&["ssh", "gpg", "git", "mkfifo"]) {
            return None;
        }
        let master = Master::new(pkgbases);
        let key = GpgHome::new("one").unwrap();
        let at = |name: &str| master.root().join(name);
        let sshd = Sshd::start(&[Login {
            name: "one",
            command: format!(
                "{} --config {} one",
                directory().join("builder-gate").display(),
                master.config().display()
            ),
        }]);
        let relay = Relay::to(sshd.port());
        master.configure(&format!(
            "work_dir='{0}/work'\nrepo_dir='{0}/repositories'\nkeyring='{1}'\nmax_parallel_builds_per_builder=4\n",
            master.state().display(),
            key.path().display()
        ));
        std::fs::create_dir_all(at("ready")).unwrap();
        for pkgbase in pkgbases {
            let package = PackageSpec::new(pkgbase, "1-1.0").arch("any");
            package
                .file("usr/share/noise", noise(size))
                .write(&at("ready"))
                .unwrap();
            must(Command::new("mkfifo").args([at(&format!("begun.{pkgbase}")), at(&format!("go.{pkgbase}"))]));
        }
        let works = Self {
            master,
            relay,
            sshd,
            key,
        };
        works.script(
            "build",
            &format!(
                "here='{}'\n. ./PKGBUILD\necho \"$pkgname\" >>\"$here/builds\"\n{build}\n\
                 cp \"$here/ready/$pkgname\"-1-1.0-any.pkg.tar.zst \"$PKGDEST/\"\n",
                works.master.root().display()
            ),
        );
        let config = format!(
            "builder_name=one\nmaster='{}'\nmaster_identity='{}'\nssh_command='{}'\nwork_dir='{}'\n\
             repo_names=packages\nrepo_paths__packages='{}'\nbuild_command='{}'\npackage_key={}\n\
             retry_pause_seconds=1\nheartbeat_seconds=1\nstraws=':'\nslot_memory_mib=0\nslot_idle_percent=0\n\
             free_disk_mib=0\n",
            works.sshd.address_at(works.relay.port()),
            works.sshd.identity("one").display(),
            works.sshd.client(),
            works.at("builder").display(),
            works.at("packages.git").display(),
            works.at("build").display(),
            works.key.fingerprint(),
        );
        works.write("builder.conf", &config);
        Some(works)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.master.root().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        common::atomic::write(&self.at(name), text.as_bytes()).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    fn script(&self, name: &str, text: &str) {
        self.write(name, &format!("#!/bin/bash\n{text}"));
        std::fs::set_permissions(self.at(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn configure(&self, lines: &str) {
        self.write("builder.conf", &format!("{}{lines}", self.read("builder.conf")));
    }

    fn builder(&self, words: &[&str]) -> Tool {
        Tool::new("build-packages")
            .env("HOME", self.master.root())
            .env("GNUPGHOME", self.key.path())
            .args(["--config".as_ref(), self.at("builder.conf").as_os_str()])
            .args(words)
    }

    fn start(&self, words: &[&str]) -> Child {
        self.builder(words).into_command().spawn().unwrap()
    }

    /// Waits until the build command of a package has begun.
    fn wait_for_build(&self, pkgbase: &str) {
        assert_eq!(self.read(&format!("begun.{pkgbase}")), "begun\n");
    }

    /// Lets the build command of a package end.
    fn let_go(&self, pkgbase: &str) {
        let mut pipe = File::options()
            .write(true)
            .open(self.at(&format!("go.{pkgbase}")))
            .unwrap();
        pipe.write_all(b"go\n").unwrap();
    }

    fn wait_for(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}: {}", self.master.read("ssh-log"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Every package is published, taken by the master once, and built so often; the builder has nothing left.
    fn expect_exactly_once(&self, pkgbases: &[&str], builds: usize) {
        let journal = self.master.read("journal");
        for pkgbase in pkgbases {
            let returned = format!("\treturned\t{pkgbase}\t");
            assert_eq!(journal.matches(&returned).count(), 1, "{journal}");
            let file = format!("{pkgbase}-1-1.0-any.pkg.tar.zst");
            let published = self.master.state().join("repositories/staging/os/x86_64").join(&file);
            let ready = self.at("ready").join(&file);
            assert!(
                std::fs::read(published).unwrap() == std::fs::read(ready).unwrap(),
                "{file}"
            );
        }
        assert!(!journal.contains("\tfailed\t"), "{journal}");
        assert_eq!(self.read("builds").lines().count(), builds);
        assert_eq!(self.master.read("build-list"), "");
        for place in ["builder/outbox", "builder/builds"] {
            let left: Vec<_> = std::fs::read_dir(self.at(place)).unwrap().collect();
            assert!(left.is_empty(), "{place}: {left:?}");
        }
    }
}

/// A build command that says that it has begun, and waits.
const WAIT: &str = "echo begun >\"$here/begun.$pkgname\"; read -r -t 120 _ <\"$here/go.$pkgname\"";

/// Text of random letters, so that compression does not make it small.
fn noise(size: usize) -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(size).collect()
}

/// Waits for the end of a builder.
#[track_caller]
fn expect_end(builder: Child, code: i32) -> String {
    let ended = builder.wait().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(code), "{said}");
    said
}

#[test]
fn a_package_arrives_once_though_the_master_is_down_for_a_while() {
    let Some(works) = Works::new(&["a"], WAIT) else { return };
    works.relay.take_down();
    let builder = works.start(&[]);
    works.relay.wait_for_refusals(1);
    works.relay.bring_up();
    works.wait_for_build("a");
    works.relay.take_down();
    works.let_go("a");
    let (_, refused, _) = works.relay.counts();
    works.relay.wait_for_refusals(refused + 2);
    works.wait_for("the finished build is in the outbox", || {
        std::fs::read_dir(works.at("builder/outbox")).unwrap().count() == 1
    });
    works.relay.bring_up();
    let said = expect_end(builder, 0);
    assert!(said.contains("a: returning it again later: "), "{said}");
    works.expect_exactly_once(&["a"], 1);
}

#[test]
fn an_upload_that_is_cut_is_sent_again_and_arrives_once() {
    let Some(works) = Works::with_packages_of(LARGE, &["a"], "") else {
        return;
    };
    works.relay.break_after(2 << 20, Break::Cut);
    let said = expect_end(works.start(&[]), 0);
    assert!(said.contains("a: returning it again later: "), "{said}");
    assert_eq!(works.relay.counts().2, 1, "{said}");
    works.expect_exactly_once(&["a"], 1);
}

#[test]
fn an_upload_that_gets_no_byte_further_is_ended_and_sent_again() {
    let Some(works) = Works::with_packages_of(LARGE, &["a"], "") else {
        return;
    };
    works.configure("upload_stall_seconds=2\n");
    works.relay.break_after(2 << 20, Break::StandStill);
    let said = expect_end(works.start(&[]), 0);
    assert!(said.contains("the upload stands still at "), "{said}");
    works.expect_exactly_once(&["a"], 1);
}

#[test]
fn signs_of_life_that_wait_behind_a_slow_upload_do_not_break_it() {
    let Some(works) = Works::with_packages_of(LARGE, &["a"], "") else {
        return;
    };
    // Longer than a sign of life may take.
    works.relay.break_after(2 << 20, Break::Pause(Duration::from_secs(14)));
    let said = expect_end(works.start(&[]), 0);
    assert_eq!(works.relay.counts(), (1, 0, 1), "{said}");
    assert!(!said.contains("again later"), "{said}");
    works.expect_exactly_once(&["a"], 1);
}

#[test]
fn a_builder_that_is_killed_after_the_build_builds_nothing_again() {
    // Called by build-packages between the build and the packing.
    let Some(works) = Works::new(&["a"], "") else { return };
    works.script("namcap", "kill -9 $PPID\n");
    let path = format!("{}:{}", works.master.root().display(), std::env::var("PATH").unwrap());
    assert_eq!(works.builder(&[]).env("PATH", &path).run().code, -1);
    assert_eq!(std::fs::read_dir(works.at("builder/outbox")).unwrap().count(), 0);
    works.script("namcap", "echo \"$1 W: nothing\"\n");
    let said = works.builder(&[]).env("PATH", &path).run().expect(0).stderr;
    assert!(said.contains("a: was built before the last end"), "{said}");
    works.expect_exactly_once(&["a"], 1);
    let kept = format!("logs/success/a/{}", works.master.order("a").replace(' ', "."));
    let mut companions: Vec<_> = std::fs::read_dir(works.master.path(&kept))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    companions.sort();
    let file = "a-1-1.0-any.pkg.tar.zst";
    assert_eq!(
        companions,
        [
            format!("{file}-namcap.log.gz"),
            format!("{file}.so.needs.gz"),
            format!("{file}.so.provides.gz")
        ]
    );
}

#[test]
fn a_package_that_cannot_be_signed_waits_until_it_can() {
    let Some(works) = Works::new(&["a"], "mv \"$GNUPGHOME/private-keys-v1.d\" \"$here/hidden\"") else {
        return;
    };
    let said = works.builder(&[]).run().expect(74).stderr;
    assert!(said.contains("a is built, waits in "), "{said}");
    let said = works.builder(&[]).run().expect(78).stderr;
    assert!(said.contains("package_key"), "{said}");
    let keys = works.key.path().join("private-keys-v1.d");
    std::fs::remove_dir_all(&keys).ok();
    std::fs::rename(works.at("hidden"), keys).unwrap();
    works.builder(&[]).run().expect(0);
    works.expect_exactly_once(&["a"], 1);
}

#[test]
fn a_builder_that_is_killed_before_or_after_the_upload_returns_the_package_once() {
    let Some(works) = Works::with_packages_of(LARGE, &["a"], "") else {
        return;
    };
    // Killed when the master is away and the package in the outbox.
    works.relay.break_after(1 << 20, Break::Cut);
    let builder = works.start(&[]);
    works.wait_for("the upload is cut", || works.relay.counts().2 == 1);
    works.relay.take_down();
    builder.signal(Signal::SIGKILL);
    drop(builder.wait());
    works.relay.bring_up();
    // Killed when the master has said yes and nobody has heard it.
    let client = works.read("builder.conf");
    let client = client
        .lines()
        .find_map(|line| line.strip_prefix("ssh_command='"))
        .unwrap();
    let client = client.trim_end_matches('\'');
    works.script(
        "ssh-and-die",
        &format!("{client} \"$@\"; code=$?\ncase \"$*\" in *return-assignment*) kill -9 $PPID ;; esac\nexit $code\n"),
    );
    let config = works.read("builder.conf");
    works.configure(&format!("ssh_command='{}'\n", works.at("ssh-and-die").display()));
    assert_eq!(works.builder(&[]).run().code, -1);
    assert!(works.master.read("journal").contains("\treturned\ta\t"));
    assert_eq!(std::fs::read_dir(works.at("builder/outbox")).unwrap().count(), 1);
    works.write("builder.conf", &config);
    works.builder(&[]).run().expect(0);
    works.expect_exactly_once(&["a"], 1);
}

#[test]
fn the_master_sees_phase_and_log_and_an_order_that_is_taken_away_ends_its_build() {
    let check = format!("echo '==> Starting check()...'\n{WAIT}");
    let Some(works) = Works::new(&["a"], &check) else {
        return;
    };
    let builder = works.start(&[]);
    works.wait_for_build("a");
    works.wait_for("the lease says what is done", || {
        let lease = works.master.read("builders/one");
        let fields: Vec<&str> = lease.split_whitespace().collect();
        fields.get(5) == Some(&"check") && fields[11].parse::<u64>().is_ok_and(|bytes| bytes > 50)
    });
    works.master.write("builders/one", "");
    let said = expect_end(builder, 0);
    assert!(said.contains("a: the order is no longer ours"), "{said}");
    let journal = works.master.read("journal");
    assert!(
        !journal.contains("\treturned\t") && !journal.contains("\tfailed\t"),
        "{journal}"
    );
    assert_eq!(std::fs::read_dir(works.at("builder/builds")).unwrap().count(), 0);
}

#[test]
fn slots_build_at_one_time_over_one_connection() {
    // Each build needs the other one to run at the same time.
    let meet = "case $pkgname in\n\
        a) echo begun >\"$here/begun.a\"; read -r -t 120 _ <\"$here/begun.b\" ;;\n\
        b) read -r -t 120 _ <\"$here/begun.a\"; echo begun >\"$here/begun.b\" ;;\nesac || exit 1\n";
    let Some(works) = Works::new(&["a", "b"], meet) else {
        return;
    };
    let said = expect_end(works.start(&["-n", "0", "--slots", "2"]), 0);
    works.expect_exactly_once(&["a", "b"], 2);
    assert_eq!(works.relay.counts(), (1, 0, 0), "{said}");
}

#[test]
fn without_memory_for_two_builds_slots_take_turns() {
    let alone = "set -C; : >\"$here/alone\" || exit 1; rm \"$here/alone\"";
    let Some(works) = Works::new(&["a", "b", "c"], alone) else {
        return;
    };
    works.configure("slots=3\nslot_memory_mib=1000000000\n");
    works.builder(&["-n", "0"]).run().expect(0);
    works.expect_exactly_once(&["a", "b", "c"], 3);
}

#[test]
fn what_takes_the_whole_machine_is_built_with_nothing_beside_it() {
    let alone = format!("set -C; : >\"$here/alone\" || exit 1; [ $pkgname != a ] || {{ {WAIT}; }}; rm \"$here/alone\"");
    let Some(works) = Works::new(&["a", "huge", "z"], &alone) else {
        return;
    };
    works.configure("build_alone='huge vast'\n");
    let builder = works.start(&["-n", "3", "--slots", "3"]);
    works.wait_for_build("a");
    works.wait_for("the huge one waits", || {
        let leases = works.master.read("builders/one");
        leases
            .lines()
            .any(|lease| lease.starts_with("huge ") && lease.contains(" preparing "))
    });
    assert!(!works.master.read("journal").contains("\tassigned\tz\t"));
    works.let_go("a");
    expect_end(builder, 0);
    works.expect_exactly_once(&["a", "huge", "z"], 3);
}

#[test]
fn a_drained_builder_finishes_what_it_has_begun_and_asks_for_nothing_more() {
    let Some(works) = Works::new(&["a", "b"], WAIT) else {
        return;
    };
    let builder = works.start(&["-n", "0", "--keep-asking"]);
    works.wait_for_build("a");
    builder.signal(Signal::SIGTERM);
    works.let_go("a");
    expect_end(builder, 0);
    let journal = works.master.read("journal");
    assert!(
        journal.contains("\treturned\ta\t") && !journal.contains("\tassigned\tb\t"),
        "{journal}"
    );
}

#[test]
fn a_builder_that_is_killed_whenever_it_changes_a_file_returns_every_package_once() {
    if !need::programs(&["strace"]) {
        return;
    }
    let names: Vec<String> = (0..13).map(|number| format!("p{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let Some(works) = Works::new(&names, "") else { return };
    // strace waits for the process that owns a shared connection, too.
    let client = format!("{} -o ControlMaster=no", works.sshd.client());
    works.configure(&format!("ssh_command='{client}'\n"));
    let mut killed = 0;
    // A thread changes files so often for one order; the other processes of the builder never do with these calls.
    for call in ["rename,renameat,renameat2", "fsync", "unlink,unlinkat,rmdir"] {
        for number in 1..=4 {
            let inject = format!("inject={call}:signal=SIGKILL:when={number}");
            let strace = Command::new("strace")
                .args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none"])
                .args(["-e", &format!("trace={call}"), "-e", &inject])
                .arg(testkit::tool::program("build-packages"))
                .args(["--config".as_ref(), works.at("builder.conf").as_os_str()])
                .env("HOME", works.master.root())
                .env("GNUPGHOME", works.key.path());
            killed += usize::from(strace.wait().unwrap().status.code() != Some(0));
        }
    }
    assert!(killed > 6, "{killed}");
    works.builder(&["-n", "0"]).run().expect(0);
    let builds = works.read("builds").lines().count();
    works.expect_exactly_once(&names, builds);
}
