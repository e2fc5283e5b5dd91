//! Control groups under a kernel that has all controllers for them, which that of a test's machine may not have: this very
//! test program, as the only one in a virtual machine. It is emulated, and a few seconds old when it has shown what it can.
//!
//! What is in there, in an initramfs: /init (a script), /test (this program), and the few programs that both call.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::build_command::{Enforcement, LimitKind, Limits};
use common::process::{Command, Finished, Output};
use rustix::fs::{XattrFlags, setxattr};
use testkit::need;
use testkit::tool::must;

use super::{Delegation, Group, RunGroups};
use crate::progress::Progress;
use crate::usage::Meter;

/// Says to a test that it runs in the machine.
const GUEST: &str = "PORTSMITH_TEST_GUEST";
/// The machine's processes are in a group of their own, as in a scope of systemd's.
const INIT: &str = "#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=200m tmpfs /tmp
mount -t cgroup2 cgroup2 /groups
echo +memory +pids >/groups/cgroup.subtree_control
mkdir /groups/a.scope
echo $$ >/groups/a.scope/cgroup.procs
PORTSMITH_TEST_GUEST=1 /test --ignored --exact cgroup::machine::in_the_machine
echo b >/proc/sysrq-trigger
";
/// What /init and the tests call.
const PROGRAMS: &[&str] = &["sh", "sleep", "mount", "mkdir"];

#[test]
fn the_kernel_keeps_a_build_to_its_memory_and_processes() {
    let is_pc = cfg!(target_arch = "x86_64") || need::skip("the machine is a PC");
    if !is_pc || !need::programs(&["qemu-system-x86_64", "bsdtar", "ldd", "strip"]) {
        return;
    }
    let Some(mirror) = need::directory("PORTSMITH_TEST_MIRROR") else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let kernel = take_kernel(&mirror, place.path());
    let initramfs = make_initramfs(place.path());
    let machine = ["-machine", "q35,accel=tcg", "-cpu", "max", "-m", "512", "-no-reboot"];
    let console = ["-nodefaults", "-display", "none", "-serial", "stdio"];
    let ended = Command::new("qemu-system-x86_64")
        .args(machine)
        .args(console)
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off"])
        .timeout(Duration::from_secs(300))
        .run()
        .unwrap();
    let said = ended.text();
    assert!(said.contains("test result: ok. 1 passed"), "{said}");
}

/// The kernel of the test mirror, which virtual machines boot.
fn take_kernel(mirror: &Path, place: &Path) -> PathBuf {
    let packages = fs::read_dir(mirror.join("host/os/x86_64")).unwrap();
    let packages = packages.map(|entry| entry.unwrap().path());
    let is_kernel = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("linux-image-6") && name.ends_with(".zst")
    };
    let package = packages.into_iter().find(is_kernel).expect("the mirror has a kernel");
    let kernel = place.join("kernel");
    let log = fs::File::create(&kernel).unwrap();
    let taken = Command::new("bsdtar").arg("-xOf").arg(package).arg("boot/vmlinuz-*");
    taken.output(Output::Stdout(log)).run().unwrap();
    kernel
}

fn make_initramfs(place: &Path) -> PathBuf {
    let root = place.join("root");
    for name in ["bin", "dev", "groups", "proc", "tmp"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    let own = std::env::current_exe().unwrap();
    must(Command::new("strip").arg("-o").arg(root.join("test")).arg(&own));
    common::atomic::write(&root.join("init"), INIT.as_bytes()).unwrap();
    fs::set_permissions(root.join("init"), Permissions::from_mode(0o755)).unwrap();
    let mut files = vec![own];
    for name in PROGRAMS {
        let path = Path::new("/bin").join(name);
        fs::copy(&path, root.join("bin").join(name)).unwrap();
        files.push(path);
    }
    let libraries = must(Command::new("ldd").args(&files));
    let words = libraries.split_ascii_whitespace();
    let libraries = words.filter(|word| word.starts_with('/') && !word.ends_with(':'));
    must(
        Command::new("cp")
            .args(["-L", "--parents", "-t"])
            .arg(&root)
            .args(libraries),
    );
    let initramfs = place.join("initramfs");
    let pack = Command::new("bsdtar").args(["--format=newc", "-cf"]).arg(&initramfs);
    must(pack.arg("-C").arg(&root).arg("."));
    initramfs
}

/// In the machine, in a group that was delegated and has processes of its own.
#[test]
#[ignore = "runs in the machine of the test above"]
fn in_the_machine() {
    assert!(std::env::var_os(GUEST).is_some(), "it moves every process of its group");
    setxattr("/groups/a.scope", "user.delegate", b"1", XattrFlags::empty()).unwrap();
    for (limits, kind, script) in [
        (
            Limits {
                memory: Some(32 << 20),
                ..Limits::default()
            },
            LimitKind::Memory,
            "sleep 600 & x=0123456789abcdef; while :; do x=$x$x; done",
        ),
        (
            Limits {
                processes: Some(20),
                ..Limits::default()
            },
            LimitKind::Processes,
            "while :; do sleep 600 & done",
        ),
    ] {
        let delegation = Delegation::find(Path::new("/")).unwrap();
        let groups = RunGroups::make(&delegation, &limits, None).unwrap();
        assert_eq!(groups.build().enforcement(), Enforcement::Cgroup);
        assert!(
            own_group("self").starts_with("/a.scope/archbuild-"),
            "{}",
            own_group("self")
        );
        assert_eq!(own_group("1"), "/a.scope/supervisor");
        let mut meter = Meter::new(
            &limits,
            &Progress::since(Instant::now()),
            Path::new("/tmp"),
            Some(groups.build()),
        );
        assert_eq!(meter.check_now(), None);
        let ended = run(script, groups.build());
        assert_eq!(groups.build().exceeded(), Some(kind));
        assert_eq!(meter.check_now(), Some(kind));
        assert!(groups.build().usage().cpu > Some(Duration::ZERO));
        if kind == LimitKind::Memory {
            // All of the group was killed, by the kernel.
            assert_eq!(ended.status.signal(), Some(9));
            wait_until_empty(groups.build());
            assert!(meter.peak_memory() > 30 << 20, "{}", meter.peak_memory());
        } else {
            assert_eq!(groups.build().usage().processes, Some(19));
        }
        groups.remove().unwrap();
        assert_eq!(own_group("self"), "/a.scope/supervisor");
        assert_eq!(groups_in("/groups/a.scope"), ["supervisor"]);
    }
}

fn run(script: &str, group: &Group) -> Finished {
    let shell = Command::new("/bin/sh").args(["-c", script]);
    shell
        .control_group(Some(group.directory()))
        .output(Output::Inherit)
        .wait()
        .unwrap()
}

fn own_group(process: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap();
    text.trim().trim_start_matches("0::").to_owned()
}

fn groups_in(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let groups = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    groups.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

fn wait_until_empty(group: &Group) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !group.is_empty().unwrap() {
        assert!(Instant::now() < deadline, "somebody survived");
        std::thread::sleep(Duration::from_millis(10));
    }
}
