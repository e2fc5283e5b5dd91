//! Programs of another architecture: qemu's user mode, called by the kernel through binfmt_misc.
//!
//! From Linux 6.7 on binfmt_misc belongs to a user namespace: the process inside mounts one of its own and registers the
//! interpreter there, so no root is needed and the host stays as it is. Before, the host's entry counts, which
//! `archbuild binfmt` makes as root. With the flag F the kernel opens the interpreter when it is registered, and nothing
//! of it has to be in the chroot; an entry of the host without that flag wants one at the same path ([`Lodger`]).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use common::process::Command;
use nix::mount::{MsFlags, mount};
use serde::{Deserialize, Serialize};

/// Where binfmt_misc is mounted.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
/// The kernel opens the interpreter at registration; the name by which a program was called stays what it is.
const FLAGS: &str = "PF";
/// Where static interpreters are installed.
const PLACES: &[&str] = &["/usr/bin", "/usr/local/bin"];

/// An architecture that qemu knows, by its ELF header.
#[derive(Debug)]
struct Target {
    /// pacman's names.
    names: &'static [&'static str],
    /// qemu's name.
    qemu: &'static str,
    bits: Bits,
    order: Order,
    machine: u16,
}

#[derive(Debug, Clone, Copy)]
enum Bits {
    B32 = 1,
    B64 = 2,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Little = 1,
    Big = 2,
}

const fn target(
    names: &'static [&'static str],
    qemu: &'static str,
    (bits, order): (Bits, Order),
    machine: u16,
) -> Target {
    Target {
        names,
        qemu,
        bits,
        order,
        machine,
    }
}

const LITTLE_32: (Bits, Order) = (Bits::B32, Order::Little);
const LITTLE_64: (Bits, Order) = (Bits::B64, Order::Little);
const BIG_64: (Bits, Order) = (Bits::B64, Order::Big);

/// Machines are elf.h's EM_ numbers.
const TARGETS: &[Target] = &[
    target(&["i386", "i486", "i586", "i686", "pentium4"], "i386", LITTLE_32, 3),
    target(
        &["x86_64", "x86_64_v2", "x86_64_v3", "x86_64_v4"],
        "x86_64",
        LITTLE_64,
        62,
    ),
    target(&["arm", "armv5", "armv6h", "armv7h", "armv7l"], "arm", LITTLE_32, 40),
    target(&["aarch64"], "aarch64", LITTLE_64, 183),
    target(&["riscv32"], "riscv32", LITTLE_32, 243),
    target(&["riscv64"], "riscv64", LITTLE_64, 243),
    target(&["powerpc64le", "ppc64le"], "ppc64le", LITTLE_64, 21),
    target(&["powerpc64", "ppc64"], "ppc64", BIG_64, 21),
    target(&["loong64", "loongarch64"], "loongarch64", LITTLE_64, 258),
    target(&["mips64el"], "mips64el", LITTLE_64, 8),
    target(&["s390x"], "s390x", BIG_64, 22),
];

/// How programs of a target run here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Runner {
    /// As they are.
    Native,
    /// By an interpreter that we register for ourselves, or that the host has registered.
    Emulated {
        /// Its path, absolute.
        interpreter: PathBuf,
        /// Where the host wants to find an interpreter in the chroot.
        wanted_in_root: Option<PathBuf>,
    },
}

impl Runner {
    /// Finds out how programs for `arch` run here. `interpreter` is the operator's choice.
    pub(crate) fn find(arch: &str, interpreter: Option<PathBuf>) -> Result<Self> {
        if is_native(std::env::consts::ARCH, arch) {
            return Ok(Self::Native);
        }
        let target = known(arch)?;
        let found = interpreter.or_else(|| {
            let names = PLACES
                .iter()
                .map(|place| Path::new(place).join(format!("qemu-{}-static", target.qemu)));
            names.into_iter().find(|path| path.is_file())
        });
        let Some(interpreter) = found else {
            bail!(
                "programs for {arch} do not run on this machine, and there is no qemu-{}-static: install qemu's user mode \
                 (Debian: qemu-user-static, Arch: qemu-user-static)",
                target.qemu
            );
        };
        Ok(Self::Emulated {
            interpreter,
            wanted_in_root: host_entry(&target.magic()).and_then(|entry| entry.wanted_in_root()),
        })
    }

    /// Makes it work in this user namespace. Returns the interpreter when it has to be in the chroot, since the host's
    /// entry has to serve and wants it there.
    pub(crate) fn set_up(&self, arch: &str) -> Result<Option<Lodger>> {
        let Self::Emulated {
            interpreter,
            wanted_in_root,
        } = self
        else {
            return Ok(None);
        };
        test_interpreter(interpreter)?;
        // Before Linux 6.7 only the host's root may.
        if mount(
            Some("binfmt_misc"),
            BINFMT,
            Some("binfmt_misc"),
            MsFlags::empty(),
            None::<&str>,
        )
        .is_ok()
        {
            register(known(arch)?, interpreter)?;
            return Ok(None);
        }
        Ok(wanted_in_root.as_ref().map(|place| Lodger {
            interpreter: interpreter.clone(),
            place: place.strip_prefix("/").unwrap_or(place).to_owned(),
        }))
    }

    /// Whether programs are emulated.
    pub(crate) const fn is_emulated(&self) -> bool {
        matches!(self, Self::Emulated { .. })
    }
}

/// An interpreter that has to be in a chroot as long as programs run there, and is no part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lodger {
    interpreter: PathBuf,
    /// Where, relative to the chroot.
    place: PathBuf,
}

impl Lodger {
    /// Puts it into a tree that is not used yet.
    pub(crate) fn move_in(&self, tree: &Path) -> Result<()> {
        let place = tree.join(&self.place);
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).context("cannot put the interpreter into the chroot")?;
        }
        fs::copy(&self.interpreter, &place).context("cannot put the interpreter into the chroot")?;
        Ok(())
    }

    /// Takes it out of a tree.
    pub(crate) fn move_out(&self, tree: &Path) -> Result<()> {
        fs::remove_file(tree.join(&self.place)).context("cannot take the interpreter out of the chroot")
    }
}

/// The line that lets the kernel run programs of a target, once the interpreter is seen to work; none for programs that
/// this machine runs by itself.
pub(crate) fn registration(arch: &str, interpreter: Option<PathBuf>) -> Result<Option<String>> {
    let Runner::Emulated { interpreter, .. } = Runner::find(arch, interpreter)? else {
        return Ok(None);
    };
    test_interpreter(&interpreter)?;
    Ok(Some(known(arch)?.line(&interpreter)))
}

/// Registers the interpreter for a target with the host's binfmt_misc; only root can. Says whether there was none yet.
pub(crate) fn register_on_host(arch: &str, interpreter: Option<PathBuf>) -> Result<bool> {
    let Runner::Emulated { interpreter, .. } = Runner::find(arch, interpreter)? else {
        return Ok(false);
    };
    let target = known(arch)?;
    test_interpreter(&interpreter)?;
    if !Path::new(BINFMT).join("register").exists() {
        mount(
            Some("binfmt_misc"),
            BINFMT,
            Some("binfmt_misc"),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("cannot mount binfmt_misc on {BINFMT} (only root can)"))?;
    }
    if host_entry(&target.magic()).is_some_and(|entry| entry.is_fixed) {
        return Ok(false);
    }
    register(target, &interpreter)?;
    Ok(true)
}

fn known(arch: &str) -> Result<&'static Target> {
    let target = TARGETS.iter().find(|target| target.names.contains(&arch));
    target.with_context(|| format!("no emulator is known for {arch}"))
}

/// Whether a machine runs programs of a target by itself.
fn is_native(machine: &str, arch: &str) -> bool {
    let runs = |name: &str| {
        let target = TARGETS.iter().find(|target| target.qemu == name);
        target.is_some_and(|target| target.names.contains(&arch))
    };
    machine == arch || runs(machine) || (machine == "x86_64" && runs("i386")) || arch == "any"
}

fn test_interpreter(interpreter: &Path) -> Result<()> {
    let tried = Command::new(interpreter).arg("--version").run();
    tried.with_context(|| format!("the interpreter {} does not run", interpreter.display()))?;
    Ok(())
}

fn register(target: &Target, interpreter: &Path) -> Result<()> {
    let line = target.line(interpreter);
    #[expect(
        clippy::disallowed_methods,
        reason = "a file of the kernel takes one write, and is no state of ours"
    )]
    fs::write(Path::new(BINFMT).join("register"), line)
        .with_context(|| format!("the kernel does not take {} as an interpreter", interpreter.display()))
}

impl Target {
    /// What binfmt_misc's `register` takes.
    fn line(&self, interpreter: &Path) -> String {
        let (magic, mask) = (escaped(&self.magic()), escaped(&self.mask()));
        format!(
            ":qemu-{}:M::{magic}:{mask}:{}:{FLAGS}",
            self.qemu,
            interpreter.display()
        )
    }

    /// The first twenty bytes of a program: elf(5), e_ident, e_type (EXEC), e_machine.
    fn magic(&self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(b"\x7fELF");
        bytes[4] = self.bits as u8;
        bytes[5] = self.order as u8;
        bytes[6] = 1;
        bytes[16..18].copy_from_slice(&self.number(2));
        bytes[18..].copy_from_slice(&self.number(self.machine));
        bytes
    }

    /// Which bits of them count: not the ABI's number, and not the bit that tells EXEC from DYN.
    fn mask(&self) -> [u8; 20] {
        let mut bytes = [0xff; 20];
        bytes[7] = 0;
        bytes[16..18].copy_from_slice(&self.number(0xfffe));
        bytes
    }

    const fn number(&self, value: u16) -> [u8; 2] {
        match self.order {
            Order::Little => value.to_le_bytes(),
            Order::Big => value.to_be_bytes(),
        }
    }
}

fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// What the host's binfmt_misc says of one kind of program.
#[derive(Debug, PartialEq, Eq)]
struct HostEntry {
    interpreter: PathBuf,
    is_fixed: bool,
}

impl HostEntry {
    fn wanted_in_root(self) -> Option<PathBuf> {
        (!self.is_fixed).then_some(self.interpreter)
    }

    fn parse(text: &str, magic: &str) -> Option<Self> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let is_wanted = text.starts_with("enabled") && field("magic ")? == magic;
        is_wanted.then_some(Self {
            interpreter: field("interpreter ")?.into(),
            is_fixed: field("flags:").unwrap_or_default().contains('F'),
        })
    }
}

fn host_entry(magic: &[u8]) -> Option<HostEntry> {
    let magic: String = magic.iter().map(|byte| format!("{byte:02x}")).collect();
    let entries = fs::read_dir(BINFMT).ok()?.flatten();
    let mut texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.find_map(|text| HostEntry::parse(&text, &magic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_are_those_of_qemu() {
        let target = known("aarch64").unwrap();
        // /usr/lib/binfmt.d/qemu-aarch64.conf of Debian.
        let (magic, mask) = (escaped(&target.magic()), escaped(&target.mask()));
        assert_eq!(
            magic,
            r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
        );
        assert_eq!(
            mask,
            r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
        );
        let big = known("s390x").unwrap();
        assert!(escaped(&big.magic()).ends_with(r"\x00\x02\x00\x16"));
        assert!(escaped(&big.mask()).ends_with(r"\xff\xfe\xff\xff"));
    }

    #[test]
    fn a_machine_runs_its_own_programs_and_those_of_its_smaller_sister() {
        for (machine, arch, is) in [
            ("x86_64", "x86_64", true),
            ("x86_64", "x86_64_v3", true),
            ("x86_64", "i686", true),
            ("x86_64", "aarch64", false),
            ("aarch64", "armv7h", false),
            ("aarch64", "x86_64", false),
            ("riscv64", "riscv64", true),
            ("x86_64", "any", true),
        ] {
            assert_eq!(is_native(machine, arch), is, "{machine} {arch}");
        }
        assert!(Runner::find("vax", None).is_err());
    }

    #[test]
    fn an_entry_of_the_host_says_whether_the_root_needs_the_interpreter() {
        let text = "enabled\ninterpreter /usr/bin/qemu-x\nflags: OC\noffset 0\nmagic 7f45\nmask ffff\n";
        let entry = HostEntry::parse(text, "7f45").unwrap();
        assert_eq!(entry.wanted_in_root(), Some("/usr/bin/qemu-x".into()));
        let fixed = HostEntry::parse(&text.replace("OC", "OCF"), "7f45").unwrap();
        assert_eq!(fixed.wanted_in_root(), None);
        assert_eq!(HostEntry::parse(text, "7f46"), None);
        assert_eq!(HostEntry::parse(&text.replace("enabled", "disabled"), "7f45"), None);
    }
}
