//! What qemu is told: the machine of the architecture ([`platform`]), its disks, its two network cards, its console.
//!
//! Invariant: everything but the overlay and the extra disks is read only; the first card leads nowhere but to the
//! guest's ssh, from a port of the host's loopback; the second leads to [`crate::relay`] and nowhere else. Qemu runs in
//! the machine's directory, so the names of sockets and logs are the same for all.

mod platform;

use std::path::{Path, PathBuf};

pub(crate) use platform::{Acceleration, Platform, UnknownArch};

/// The network card that is cut off while a package is built.
pub(crate) const FETCH_CARD: &str = "fetch";
/// Where the guest finds the relay, as a proxy for HTTP.
pub(crate) const RELAY: &str = "10.0.3.100:3128";
/// The console's log in a machine's directory.
pub(crate) const CONSOLE_LOG: &str = "console.log";
/// The console's socket.
pub(crate) const CONSOLE: &str = "console.sock";
/// The socket that leads to the guest's agent.
pub(crate) const AGENT: &str = "agent.sock";
/// A word of the kernel's command line: switch off at once, it was only to be seen that a machine runs.
pub(crate) const PROBE: &str = "arch-vm.probe";

/// What a machine boots.
#[derive(Debug, Clone)]
pub(crate) enum Boot {
    /// A kernel of the host's, and the guest's name of the root file system.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// The initramfs.
        initramfs: PathBuf,
        /// The root file system.
        root: String,
    },
    /// Its own boot loader.
    Disk,
}

/// A machine to be started.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// The machine.
    pub(crate) platform: Platform,
    /// KVM or emulation.
    pub(crate) acceleration: Acceleration,
    /// Processors.
    pub(crate) cpus: u64,
    /// MiB of memory.
    pub(crate) memory: u64,
    /// What it boots.
    pub(crate) boot: &'a Boot,
    /// Its disk.
    pub(crate) overlay: PathBuf,
    /// Further disks, raw.
    pub(crate) extra_disks: Vec<PathBuf>,
    /// The state of a machine that had booted, to go on from.
    pub(crate) state: Option<&'a Path>,
    /// This program, for the relay.
    pub(crate) program: &'a Path,
}

impl Plan<'_> {
    /// The command line of qemu.
    pub(crate) fn argv(&self) -> Vec<String> {
        let mut argv = bare(&self.platform, self.acceleration);
        argv.extend([
            "-rtc".into(),
            "base=utc".into(),
            "-smp".into(),
            self.cpus.to_string(),
            "-m".into(),
            self.memory.to_string(),
        ]);
        argv.extend(boot_arguments(self.boot, self.platform.console, ""));
        argv.extend(disk("disk", &self.overlay, "qcow2"));
        for (number, path) in self.extra_disks.iter().enumerate() {
            argv.extend(disk(&format!("extra{number}"), path, "raw"));
        }
        argv.extend(self.cards());
        for (name, socket) in [("agent", AGENT), ("console", CONSOLE)] {
            let log = if name == "console" {
                format!(",logfile={CONSOLE_LOG}")
            } else {
                String::new()
            };
            argv.extend([
                "-chardev".into(),
                format!("socket,id={name},path={socket},server=on,wait=off{log}"),
            ]);
        }
        argv.extend(
            [
                "-serial",
                "chardev:console",
                "-device",
                "virtio-serial-pci",
                "-device",
                "virtserialport,chardev=agent,name=arch-vm",
            ]
            .map(Into::into),
        );
        argv.extend(["-qmp".into(), format!("unix:{},server=on,wait=off", crate::qmp::SOCKET)]);
        if self.state.is_some() {
            // A shell opens it, in the machine's directory: there is nothing of anybody's in this text.
            argv.extend(["-incoming", "exec:cat state"].map(Into::into));
        }
        argv
    }

    fn cards(&self) -> Vec<String> {
        let relay = shell_word(&self.program.display().to_string()).replace(',', ",,");
        let mut argv = Vec::new();
        for (number, name, forward) in [
            (0, "ssh", "hostfwd=tcp:127.0.0.1:0-10.0.2.15:22".to_owned()),
            (1, FETCH_CARD, format!("guestfwd=tcp:{RELAY}-cmd:{relay} relay")),
        ] {
            let network = format!("user,id={name},restrict=on,net=10.0.{}.0/24,{forward}", 2 + number);
            let card = format!("virtio-net-pci,id={name}-card,netdev={name},mac=52:54:00:00:00:0{number},romfile=");
            argv.extend(["-netdev".into(), network, "-device".into(), card]);
        }
        argv
    }
}

/// A machine without disk and network that boots and switches itself off, for [`Acceleration`].
pub(crate) fn probe(platform: &Platform, acceleration: Acceleration, boot: &Boot) -> Vec<String> {
    let mut argv = bare(platform, acceleration);
    argv.extend(["-m", "256"].map(Into::into));
    argv.extend(boot_arguments(boot, platform.console, PROBE));
    argv.extend(["-serial".into(), format!("file:{CONSOLE_LOG}")]);
    argv
}

/// A machine with nothing in it but a processor.
fn bare(platform: &Platform, acceleration: Acceleration) -> Vec<String> {
    let mut argv = vec![platform.program.to_owned()];
    argv.extend(platform.processor(acceleration));
    argv.extend(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"].map(Into::into));
    argv
}

fn boot_arguments(boot: &Boot, console: &str, more: &str) -> Vec<String> {
    match boot {
        Boot::Disk => Vec::new(),
        Boot::Kernel {
            kernel,
            initramfs,
            root,
        } => vec![
            "-kernel".into(),
            kernel.display().to_string(),
            "-initrd".into(),
            initramfs.display().to_string(),
            "-append".into(),
            // Whoever builds may be root in there anyhow: nobody is protected from anybody, and where the processor is
            // emulated that costs a lot.
            format!("root={root} rw console={console} quiet panic=-1 mitigations=off {more}")
                .trim_end()
                .to_owned(),
        ],
    }
}

fn disk(name: &str, path: &Path, format: &str) -> [String; 4] {
    let path = path.display().to_string().replace(',', ",,");
    [
        "-drive".into(),
        // A full disk of the host stops the machine, so that it can be told from trouble of the guest. Nothing of it
        // outlives the machine, so nothing needs to be on the disk.
        format!(
            "if=none,id={name},file={path},format={format},cache=unsafe,discard=unmap,detect-zeroes=unmap,werror=stop"
        ),
        "-device".into(),
        format!("virtio-blk-pci,drive={name}"),
    ]
}

/// One word of a shell's command line.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use common::process::{Command, Output};

    use super::*;
    use crate::qmp::Qmp;

    fn plan<'a>(boot: &'a Boot, arch: &str) -> Plan<'a> {
        Plan {
            platform: Platform::of(&arch.parse().unwrap()).unwrap(),
            acceleration: Acceleration::Tcg,
            cpus: 2,
            memory: 512,
            boot,
            overlay: "/o,x/overlay.qcow2".into(),
            extra_disks: vec!["/e".into()],
            state: None,
            program: Path::new("/p q/arch-vm"),
        }
    }

    #[test]
    fn each_architecture_has_a_machine_and_others_are_refused() {
        for (arch, program) in [
            ("x86_64", "qemu-system-x86_64"),
            ("i686", "qemu-system-i386"),
            ("aarch64", "qemu-system-aarch64"),
            ("riscv64", "qemu-system-riscv64"),
        ] {
            assert_eq!(plan(&Boot::Disk, arch).argv()[0], program);
        }
        assert!(Platform::of(&"armv7h".parse().unwrap()).is_err());
    }

    #[test]
    fn the_guest_reaches_nothing_but_the_relay_and_ssh_is_on_loopback_only() {
        let line = plan(&Boot::Disk, "x86_64").argv().join(" ");
        assert_eq!(line.matches("-netdev user").count(), 2);
        assert_eq!(line.matches("restrict=on").count(), 2);
        assert_eq!(line.matches("hostfwd=").count(), 1);
        assert!(line.contains("hostfwd=tcp:127.0.0.1:0-"), "{line}");
        assert!(
            line.contains("guestfwd=tcp:10.0.3.100:3128-cmd:'/p q/arch-vm' relay"),
            "{line}"
        );
    }

    #[test]
    fn a_comma_in_a_path_is_no_separator() {
        let line = plan(&Boot::Disk, "x86_64").argv().join(" ");
        assert!(line.contains("file=/o,,x/overlay.qcow2,format=qcow2"), "{line}");
    }

    #[test]
    fn a_shell_reads_one_word_back() {
        for text in ["plain", "", "two words", "it's", "$(id)", "a\nb", "--x=`y`"] {
            let script = format!("printf %s {}", shell_word(text));
            let read = common::process::Command::new("sh").arg("-c").arg(script).run().unwrap();
            assert_eq!(read.stdout, text.as_bytes());
        }
    }

    /// Starts a machine that waits before its first instruction, and asks it how it is.
    fn is_accepted(arch: &str) {
        let platform = Platform::of(&arch.parse().unwrap()).unwrap();
        if !testkit::need::programs(&["qemu-img"]) || !is_installed(platform.program) {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let extra = at("extra,0.raw");
        std::fs::File::create(&extra).unwrap().set_len(1 << 20).unwrap();
        let image = Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]);
        image.arg(at("overlay.qcow2")).arg("64M").run().unwrap();
        let plan = Plan {
            overlay: at("overlay.qcow2"),
            extra_disks: vec![extra],
            ..plan(&Boot::Disk, arch)
        };
        let argv = plan.argv();
        let command = Command::new(&argv[0])
            .args(&argv[1..])
            .arg("-S")
            .directory(directory.path());
        let qemu = command.output(Output::Capture).spawn().unwrap();
        let (sender, _events) = std::sync::mpsc::channel();
        let mut qmp = loop {
            match Qmp::connect(directory.path(), sender.clone()) {
                Ok(qmp) => break qmp,
                Err(_) if qemu.is_running() => std::thread::sleep(std::time::Duration::from_millis(20)),
                Err(error) => panic!(
                    "{arch}: {error}: {}",
                    String::from_utf8_lossy(&qemu.wait().unwrap().stderr)
                ),
            }
        };
        assert_eq!(qmp.status().unwrap(), "prelaunch");
        assert!(qmp.ssh_port().unwrap() > 0);
        let card = serde_json::json!({"name": format!("{FETCH_CARD}-card"), "up": false});
        qmp.execute("set_link", &card).unwrap();
    }

    /// Emulators of other architectures are no part of what the tests need.
    #[expect(clippy::print_stderr, reason = "a skip has to be seen")]
    fn is_installed(program: &str) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
        if !is_there {
            eprintln!("SKIPPED: {program} is not installed");
        }
        is_there
    }

    #[test]
    fn qemu_accepts_the_machine_of_each_architecture() {
        for arch in ["x86_64", "i686", "aarch64", "riscv64"] {
            is_accepted(arch);
        }
    }
}
