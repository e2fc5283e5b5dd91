//! The processors that packages are built for, the least first, and what they can do.

use clap::ValueEnum;
use common::names::Arch;
use iced_x86::{CpuidFeature, Instruction, Mnemonic};

/// The least processor of an architecture. Each can do what those before it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum Level {
    /// 486 with a floating-point unit.
    #[value(name = "i486")]
    I486,
    /// Pentium.
    #[value(name = "i586")]
    I586,
    /// Pentium Pro.
    #[value(name = "i686")]
    I686,
    /// Pentium III: SSE.
    #[value(name = "pentium3")]
    Pentium3,
    /// Pentium 4: SSE2.
    #[value(name = "pentium4")]
    Pentium4,
    /// The first ones with 64 bits.
    #[value(name = "x86_64")]
    X86V1,
    /// SSE4.2 and POPCNT.
    #[value(name = "x86_64_v2")]
    X86V2,
    /// AVX2.
    #[value(name = "x86_64_v3")]
    X86V3,
    /// AVX-512.
    #[value(name = "x86_64_v4")]
    X86V4,
}

impl Level {
    /// That of an architecture of packages; `None` when it is none of x86.
    #[must_use]
    pub fn of_arch(arch: &Arch) -> Option<Self> {
        Self::from_str(arch.as_str(), false).ok()
    }

    /// Whether the processor runs programs of 64 bits.
    #[must_use]
    pub fn has_64_bits(self) -> bool {
        self >= Self::X86V1
    }

    /// What an instruction belongs to that the processor need not have, if so.
    pub(crate) fn lacks(self, instruction: &Instruction) -> Option<CpuidFeature> {
        // Any processor runs TZCNT, as BSF: compilers write it where both say the same.
        if instruction.mnemonic() == Mnemonic::Tzcnt {
            return None;
        }
        let features = instruction.cpuid_features().iter();
        features.copied().find(|feature| !self.can(*feature))
    }

    fn can(self, feature: CpuidFeature) -> bool {
        least(feature).is_some_and(|least| self >= least)
    }
}

/// The first processor of the list that is sure to have it.
fn least(feature: CpuidFeature) -> Option<Level> {
    use CpuidFeature as F;
    Some(match feature {
        // CPUID came with later ones, and is how code finds out what it may use. PAUSE is an old NOP.
        F::INTEL8086
        | F::INTEL186
        | F::INTEL286
        | F::INTEL386
        | F::INTEL486
        | F::FPU
        | F::FPU287
        | F::FPU387
        | F::CPUID
        | F::PAUSE => Level::I486,
        F::CX8 | F::MSR | F::TSC => Level::I586,
        // What marks the targets of jumps (CET) is a long NOP to processors that do not know it.
        F::CMOV | F::RDPMC | F::MULTIBYTENOP | F::CET_IBT | F::CET_SS => Level::I686,
        F::FXSR | F::MMX | F::SEP | F::SSE => Level::Pentium3,
        F::CLFSH | F::SSE2 => Level::Pentium4,
        F::PREFETCHW | F::SYSCALL | F::X64 => Level::X86V1,
        F::CMPXCHG16B | F::POPCNT | F::SSE3 | F::SSE4_1 | F::SSE4_2 | F::SSSE3 => Level::X86V2,
        F::AVX | F::AVX2 | F::BMI1 | F::BMI2 | F::F16C | F::FMA | F::LZCNT | F::MOVBE | F::XSAVE => Level::X86V3,
        F::AVX512BW | F::AVX512CD | F::AVX512DQ | F::AVX512F | F::AVX512VL => Level::X86V4,
        _ => return None,
    })
}
