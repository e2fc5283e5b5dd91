//! The machine of each architecture.

use common::names::Arch;
use thiserror::Error;

/// Who executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acceleration {
    /// The processor.
    Kvm,
    /// Qemu.
    Tcg,
}

impl Acceleration {
    /// Its name on the disk.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// An architecture that no machine is known for.
#[derive(Debug, Error)]
#[error("no virtual machine is known for {0}: x86_64, i686, aarch64 and riscv64 are")]
pub(crate) struct UnknownArch(String);

/// The machine of one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Platform {
    /// The emulator.
    pub(crate) program: &'static str,
    machine: &'static str,
    /// The processor where it is emulated.
    cpu: &'static str,
    /// The console's device.
    pub(super) console: &'static str,
    /// The machine's own architecture, as the kernel calls it, on which it needs no emulation.
    native: &'static [&'static str],
}

/// Everything that qemu knows, but for what is slower than doing without where it is emulated: instructions that fill and
/// copy memory byte by byte, and a fifth level of page tables.
const PROCESSOR: &str = "max,erms=off,fsrm=off,la57=off";

const PLATFORMS: &[(&[&str], Platform)] = &[
    (
        &["x86_64"],
        Platform {
            program: "qemu-system-x86_64",
            machine: "q35",
            cpu: PROCESSOR,
            console: "ttyS0",
            native: &["x86_64"],
        },
    ),
    (
        &["i486", "i586", "i686", "pentium4"],
        Platform {
            program: "qemu-system-i386",
            machine: "q35",
            cpu: PROCESSOR,
            console: "ttyS0",
            native: &["x86_64", "i686"],
        },
    ),
    (
        &["aarch64"],
        Platform {
            program: "qemu-system-aarch64",
            machine: "virt",
            cpu: "cortex-a57",
            console: "ttyAMA0",
            native: &["aarch64"],
        },
    ),
    (
        &["riscv64"],
        Platform {
            program: "qemu-system-riscv64",
            machine: "virt",
            cpu: "rv64",
            console: "ttyS0",
            native: &["riscv64"],
        },
    ),
];

impl Platform {
    /// The machine for an architecture.
    ///
    /// # Errors
    /// None is known.
    pub(crate) fn of(arch: &Arch) -> Result<Self, UnknownArch> {
        let found = PLATFORMS.iter().find(|(names, _)| names.contains(&arch.as_str()));
        found
            .map(|(_, platform)| *platform)
            .ok_or_else(|| UnknownArch(arch.to_string()))
    }

    /// Whether this host's processor could run it itself.
    pub(crate) fn is_native(&self) -> bool {
        self.native.contains(&std::env::consts::ARCH)
    }

    /// Machine and processor, as options of qemu.
    pub(super) fn processor(&self, acceleration: Acceleration) -> [String; 4] {
        let (name, cpu) = match acceleration {
            Acceleration::Kvm => ("kvm", "host"),
            Acceleration::Tcg => ("tcg", self.cpu),
        };
        [
            "-machine".into(),
            format!("{},accel={name}", self.machine),
            "-cpu".into(),
            cpu.into(),
        ]
    }
}
