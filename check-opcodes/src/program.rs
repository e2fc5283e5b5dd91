//! The code in an ELF file for x86: what a disassembler is to look at.
//!
//! The file comes from a stranger: what cannot be read in it is no code, since no processor gets to it either, and never
//! more is looked at than the file has bytes.

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _};

/// A part of a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// Where it is when the program runs.
    pub(crate) address: u64,
    pub(crate) bytes: &'a [u8],
}

/// A program, a library, a kernel module or an object file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Program<'a> {
    /// 32 or 64.
    pub(crate) bits: u32,
    pub(crate) parts: Vec<Part<'a>>,
}

impl<'a> Program<'a> {
    /// Finds the code; `None` when this is no ELF file for x86.
    pub(crate) fn read(file: &'a [u8]) -> Option<Self> {
        match file.get(..5)? {
            b"\x7fELF\x01" => Self::of::<elf::FileHeader32<Endianness>>(file),
            b"\x7fELF\x02" => Self::of::<elf::FileHeader64<Endianness>>(file),
            _ => None,
        }
    }

    fn of<Elf: FileHeader<Endian = Endianness>>(file: &'a [u8]) -> Option<Self> {
        let header = Elf::parse(file).ok()?;
        let endian = header.endian().ok()?;
        let bits = match header.e_machine(endian) {
            elf::EM_386 => 32,
            elf::EM_X86_64 => 64,
            _ => return None,
        };
        let sections = header.section_headers(endian, file).unwrap_or_default();
        let code = |section: &&Elf::SectionHeader| {
            section.sh_type(endian) == elf::SHT_PROGBITS && section.sh_flags(endian).contains(elf::SHF_EXECINSTR)
        };
        let mut parts: Vec<Part<'a>> = sections
            .iter()
            .filter(code)
            .filter_map(|section| {
                let address = section.sh_addr(endian).into();
                Some(Part {
                    address,
                    bytes: section.data(endian, file).ok()?,
                })
            })
            .collect();
        // A stripped program needs no sections.
        if parts.is_empty() {
            let segments = header.program_headers(endian, file).unwrap_or_default();
            let code = |segment: &&Elf::ProgramHeader| {
                segment.p_type(endian) == elf::PT_LOAD && segment.p_flags(endian).contains(elf::PF_X)
            };
            let part = |segment: &Elf::ProgramHeader| {
                let address = segment.p_vaddr(endian).into();
                Some(Part {
                    address,
                    bytes: segment.data(endian, file).ok()?,
                })
            };
            parts = segments.iter().filter(code).filter_map(part).collect();
        }
        let mut left = file.len();
        parts.retain(|part| {
            let rest = left.checked_sub(part.bytes.len());
            left = rest.unwrap_or(left);
            rest.is_some()
        });
        Some(Self { bits, parts })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_that_claims_to_be_a_program_is_looked_at_beyond_its_end(
            mut file in proptest::collection::vec(prop_oneof![Just(0_u8), 1..80_u8, any::<u8>()], 64..600),
            is_wide in any::<bool>(),
        ) {
            file[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 1 + u8::from(is_wide), 1, 1]);
            file[18..20].copy_from_slice(&[if is_wide { 62 } else { 3 }, 0]);
            if let Some(program) = Program::read(&file) {
                prop_assert_eq!(program.bits, if is_wide { 64 } else { 32 });
                prop_assert!(program.parts.iter().map(|part| part.bytes.len()).sum::<usize>() <= file.len());
            }
        }

        #[test]
        fn parts_that_lie_one_over_the_other_are_looked_at_as_often_as_the_file_is_long(count in 1..40_u8) {
            // So many sections, each of them all that there is.
            let length = 52 + 40 * u32::from(count);
            let mut file = vec![0; 52];
            file[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
            file[18] = 3;
            file[32] = 52;
            file[46] = 40;
            file[48] = count;
            for _ in 0..count {
                for word in [0, 1, 4, 0, 0, length, 0, 0, 0, 0_u32] {
                    file.extend(word.to_le_bytes());
                }
            }
            let program = Program::read(&file).unwrap();
            prop_assert_eq!(program.parts.len(), 1);
        }
    }
}
