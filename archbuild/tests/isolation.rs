//! What code of a package can reach: nothing but its own copy.
//!
//! One build tries everything, on a terminal of its own and next to a kept copy, and prints what came of each trial; the
//! tests look at it. Each trial is a shell command that succeeds when it reaches what it must not. Where root runs the
//! tests, every trial is also made outside of the build and has to succeed there: one that cannot would prove nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers, too")]

mod place;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::sync::OnceLock;

use common::build_command::{LimitKind, Outcome};
use common::process::{Child, Command};
use place::{NOTHING, Place, processes, wait_for_process, wait_until};
use testkit::need;
use testkit::tool::{must, program};

const ARCH: &str = std::env::consts::ARCH;
/// ioctl(2) TIOCSTI: what is "typed" into each of the streams and the controlling terminal.
const TYPE_INTO_TERMINAL: &str = r#"perl -e 'open(my $tty, "+<", "/dev/tty"); my $done = 0;
    for my $file (\*STDIN, \*STDOUT, \*STDERR, $tty) { $done = 1 if $file && ioctl($file, 0x5412, my $key = "\n") } exit !$done'"#;

/// What the build found out.
struct Observed {
    /// By the name of the trial: whether it reached what it must not.
    trials: BTreeMap<String, bool>,
    /// By name: a word or two about the build.
    facts: BTreeMap<String, String>,
}

/// What there is to be reached, as long as this lives.
struct Outside {
    place: Place,
    loopback: TcpListener,
    network: Option<TcpListener>,
    _abstract: UnixListener,
    sleeper: Child,
    seconds: String,
    socket: String,
    kept: String,
}

impl Outside {
    fn make() -> Option<Self> {
        if !need::programs(&["script", "perl", "setsid"]) {
            return None;
        }
        let place = Place::with_chroots("isolation")?;
        place.archbuild(&["clean", "--kept"]).run().expect(0);
        place.package("kept", &NOTHING.replace("nothing", "kept"));
        let kept = place.record("kept", &["--keep", "always"]).1.kept.unwrap();
        place.write("secret", "a secret\n");
        must(Command::new("chmod").args(["-R", "a+rX"]).arg(place.path("")));
        let own = std::process::id();
        let seconds = format!("86123.{own}");
        let sleeper = Command::new("sleep").arg(&seconds).spawn().unwrap();
        wait_for_process(&format!("sleep {seconds}"));
        let socket = format!("portsmith-test-{own}");
        let address = SocketAddr::from_abstract_name(&socket).unwrap();
        Some(Self {
            place,
            loopback: TcpListener::bind("127.0.0.1:0").unwrap(),
            network: own_address().map(|address| TcpListener::bind((address, 0)).unwrap()),
            _abstract: UnixListener::bind_addr(&address).unwrap(),
            sleeper,
            seconds,
            socket,
            kept,
        })
    }

    /// Names and commands.
    fn trials(&self) -> Vec<(&'static str, String)> {
        let chroots = self.place.chroots().display();
        let port = self.loopback.local_addr().unwrap().port();
        let mut trials = vec![
            (
                "a file of the host",
                format!("cat '{}'", self.place.path("secret").display()),
            ),
            ("the directory of chroots", format!("ls '{chroots}'")),
            (
                "a kept copy",
                format!("ls '{chroots}/{ARCH}/copies/{}/build'", self.kept),
            ),
            (
                "the package cache",
                format!("touch '{chroots}/{ARCH}/cache/x' && rm '{chroots}/{ARCH}/cache/x'"),
            ),
            (
                "a process of the host",
                format!(
                    "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep '[s]leep {}'",
                    self.seconds
                ),
            ),
            ("a port of the loopback", format!("exec 3<>/dev/tcp/127.0.0.1/{port}")),
            (
                "an abstract socket",
                format!(
                    "perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); \
                     connect(S, pack(\"S a*\", AF_UNIX, \"\\0{}\")) or exit 1'",
                    self.socket
                ),
            ),
            ("a device of blocks", "find /dev -type b | grep .".to_owned()),
            ("the messages of the kernel", "exec 3</dev/kmsg".to_owned()),
            ("the core pattern", "exec 3>>/proc/sys/kernel/core_pattern".to_owned()),
            ("a setting of memory", "exec 3>>/proc/sys/vm/drop_caches".to_owned()),
            ("the terminal", TYPE_INTO_TERMINAL.to_owned()),
            (
                "a control group",
                "unshare --user --map-root-user --mount --cgroup \
                 sh -c 'mount -t cgroup2 none \"$0\" && mkdir \"$0\"/out && rmdir \"$0\"/out' \"$(mktemp -d)\""
                    .to_owned(),
            ),
            ("another priority", "nice -n -5 true 2>&1 | { ! grep .; }".to_owned()),
        ];
        if let Some(listener) = &self.network {
            let address = listener.local_addr().unwrap();
            let command = format!("exec 3<>/dev/tcp/{}/{}", address.ip(), address.port());
            trials.push(("an address of the network", command));
        }
        trials
    }

    /// What has to be inside, with the command that tells.
    fn facts(&self) -> [(&'static str, String); 12] {
        let capabilities = "awk '/^Cap(Eff|Bnd|Prm|Inh|Amb)/ { print $2 }' /proc/self/status | sort -u";
        [
            ("ids", "id -u; id -g; id -G".to_owned()),
            ("kernel ids", "awk '{ print $2 }' /proc/self/uid_map".to_owned()),
            ("capabilities", capabilities.to_owned()),
            ("new rights", "grep NoNewPrivs: /proc/self/status".to_owned()),
            ("interfaces", "grep -o '[^ ]*:' /proc/net/dev".to_owned()),
            ("host name", "uname -n".to_owned()),
            ("places", "pwd; echo $HOME".to_owned()),
            ("environment", "echo $SECRET$PORTSMITH_CONFIG".to_owned()),
            ("armed", "stat -c '%a %u' /usr/bin/who-am-i".to_owned()),
            ("setuid", "who-am-i -u".to_owned()),
            (
                "writable",
                "for place in /usr /etc /srcdest /var/cache/pacman/pkg; do ! : >$place/x || echo $place; done"
                    .to_owned(),
            ),
            (
                "left behind",
                format!("setsid -f sleep 1{} >/dev/null 2>&1 && echo started", self.seconds),
            ),
        ]
    }

    /// The build that tries everything.
    fn pkgbuild(&self) -> String {
        let mut text = format!("{NOTHING}build() {{\n");
        for (name, command) in self.trials() {
            writeln!(
                text,
                "if ( {command} ) >/dev/null 2>&1; then echo 'trial:{name}:1'; else echo 'trial:{name}:0'; fi"
            )
            .unwrap();
        }
        for (name, command) in self.facts() {
            writeln!(text, "echo 'fact:{name}:'$( ( {command} ) 2>/dev/null)").unwrap();
        }
        text.push_str("}\n");
        text
    }

    fn observe(self) -> Observed {
        self.check_trials();
        self.place.package(
            "trick",
            &format!(
                "{}package() {{ install -Dm4755 /usr/bin/id \"$pkgdir/usr/bin/who-am-i\"; }}\n",
                NOTHING.replace("pkgname=nothing", "pkgname=trick")
            ),
        );
        self.place.build("trick", &[]).expect(0);
        self.place.package("nothing", &self.pkgbuild());
        let archbuild = format!(
            "{} build -I '{}'",
            program("archbuild").display(),
            self.place.path("trick/trick-1-1-any.pkg.tar.zst").display()
        );
        let command = on_terminal(&archbuild)
            .env("PORTSMITH_CONFIG", self.place.path("portsmith.conf"))
            .env("SECRET", "x")
            .directory(self.place.path("nothing"));
        let said = must(command);
        drop(self.sleeper);
        let records = |kind: &'static str| {
            let lines = said.lines().filter_map(move |line| line.trim_end().strip_prefix(kind));
            lines.filter_map(|line| line.split_once(':'))
        };
        Observed {
            trials: records("trial:")
                .map(|(name, value)| (name.to_owned(), value == "1"))
                .collect(),
            facts: records("fact:")
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    /// Makes every trial outside, as root.
    fn check_trials(&self) {
        if must(Command::new("id").arg("-u")) != "0" {
            return;
        }
        for (name, command) in self.trials() {
            self.place.write("trial", &format!("( {command} ) >/dev/null 2>&1\n"));
            let shell = format!("bash '{}'", self.place.path("trial").display());
            let command = if name == "the terminal" {
                // Its output may not go elsewhere: it is what is typed into.
                self.place.write("trial", &format!("{command}\n"));
                on_terminal(&shell)
            } else {
                Command::new("sh").args(["-c", &shell])
            };
            let finished = command.wait().unwrap();
            assert!(
                finished.status.success(),
                "this trial proves nothing: {name}: {finished:?}"
            );
        }
    }
}

/// A shell command with a terminal of its own.
fn on_terminal(command: &str) -> Command {
    Command::new("script").args(["-qec", command, "/dev/null"])
}

/// An address of this machine that is not the loopback's; none on a machine without network. Nothing is sent.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

static OBSERVED: OnceLock<Option<Observed>> = OnceLock::new();

fn observed() -> Option<&'static Observed> {
    OBSERVED.get_or_init(|| Some(Outside::make()?.observe())).as_ref()
}

#[track_caller]
fn assert_out_of_reach(trials: &[&str]) {
    let Some(observed) = observed() else { return };
    for name in trials {
        assert_eq!(observed.trials.get(*name), Some(&false), "{name}");
    }
}

#[track_caller]
fn assert_fact(name: &str, expected: &str) {
    let Some(observed) = observed() else { return };
    assert_eq!(observed.facts.get(name).map(String::as_str), Some(expected), "{name}");
}

#[test]
fn a_build_reads_no_file_of_the_host() {
    assert_out_of_reach(&["a file of the host", "the directory of chroots"]);
}

#[test]
fn a_build_finds_no_other_copy() {
    assert_out_of_reach(&["a kept copy"]);
}

#[test]
fn a_build_sees_no_process_of_the_host() {
    assert_out_of_reach(&["a process of the host"]);
}

#[test]
fn a_build_reaches_no_service_on_the_loopback_of_the_host() {
    assert_out_of_reach(&["a port of the loopback", "an abstract socket"]);
}

#[test]
fn a_build_has_no_network() {
    assert_fact("interfaces", "lo:");
    if own_address().is_some() {
        assert_out_of_reach(&["an address of the network"]);
    }
}

#[test]
fn a_build_has_no_device_of_the_host() {
    assert_out_of_reach(&["a device of blocks", "the messages of the kernel"]);
}

#[test]
fn a_build_changes_no_setting_of_the_kernel() {
    assert_out_of_reach(&["the core pattern", "a setting of memory", "another priority"]);
}

#[test]
fn a_build_makes_no_control_group() {
    assert_out_of_reach(&["a control group"]);
}

#[test]
fn a_build_types_nothing_into_the_terminal_of_the_caller() {
    assert_out_of_reach(&["the terminal"]);
}

#[test]
fn a_setuid_program_of_root_gives_a_build_no_rights() {
    assert_fact("armed", "4755 0");
    assert_fact("setuid", "1000");
    assert_fact("new rights", "NoNewPrivs: 1");
    assert_fact("capabilities", "0000000000000000");
}

#[test]
fn no_user_of_a_build_is_root_of_the_host() {
    assert_fact("ids", "1000 1000 1000");
    let Some(observed) = observed() else { return };
    let ids: Vec<&str> = observed.facts["kernel ids"].split(' ').collect();
    assert!(ids.len() >= 2 && !ids.contains(&"0"), "{ids:?}");
}

#[test]
fn a_build_writes_to_neither_the_package_cache_nor_sources_nor_the_system() {
    assert_out_of_reach(&["the package cache"]);
    assert_fact("writable", "");
}

#[test]
fn a_build_sees_the_same_surroundings_on_every_machine() {
    assert_fact("host name", "archbuild");
    assert_fact("places", "/build/nothing/src /build");
    assert_fact("environment", "");
}

#[test]
fn a_process_that_a_build_leaves_behind_ends_with_it() {
    assert_fact("left behind", "started");
    let marker = format!("sleep 186123.{}", std::process::id());
    wait_until("without the process", || {
        !processes().iter().any(|(_, line)| line == &marker)
    });
}

#[test]
fn a_fork_bomb_ends_with_its_build() {
    let Some(place) = Place::shared() else { return };
    let marker = format!("86124.{}", std::process::id());
    let bomb = format!("bomb() {{ sleep {marker} & bomb & bomb; }}; bomb");
    place.package("nothing", &format!("{NOTHING}build() {{ {bomb}; }}\n"));
    let (code, record) = place.record("nothing", &["-q", "--process-limit", "200"]);
    assert_eq!(
        (code, record.outcome),
        (4, Outcome::Limit(Some(LimitKind::Processes))),
        "{record:?}"
    );
    wait_until("without processes", || {
        !processes().iter().any(|(_, line)| line.contains(&marker))
    });
}

#[test]
fn a_build_that_fills_its_file_system_is_told_so_and_ends() {
    let Some(place) = Place::with_chroots("isolation-disk") else {
        return;
    };
    if must(Command::new("id").arg("-u")) != "0" {
        return;
    }
    place.archbuild(&["create"]).run().expect(0);
    place.package("nothing", &format!("{NOTHING}build() {{ cat /dev/zero >big; }}\n"));
    let copies = place.chroots().join(ARCH).join("copies");
    let owner = must(Command::new("stat").args(["-c", "uid=%u,gid=%g"]).arg(&copies));
    let script = format!(
        "mount -t tmpfs -o mode=700,size=120m,{owner} none '{0}' && '{1}' build --json; code=$?; ls -A '{0}' >&2; exit $code",
        copies.display(),
        program("archbuild").display()
    );
    let finished = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .env("PORTSMITH_CONFIG", place.path("portsmith.conf"))
        .directory(place.path("nothing"))
        .wait()
        .unwrap();
    let record = common::build_command::Record::read(&finished.stdout).unwrap();
    assert_eq!(
        (finished.status.code(), record.outcome),
        (Some(4), Outcome::Limit(Some(LimitKind::Disk))),
        "{record:?}"
    );
    let said = String::from_utf8_lossy(&finished.stderr).into_owned();
    assert!(!said.lines().any(|line| line.starts_with("copy-")), "{said}");
    assert!(Path::new(&copies).is_dir());
}
