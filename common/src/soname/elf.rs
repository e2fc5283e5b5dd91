//! Reading DT_NEEDED and DT_SONAME of one ELF file, as ld.so would: from the program headers, since a stripped file may
//! have no sections.
//!
//! The file comes from a stranger. Whatever in it cannot be read makes it a file that ld.so cannot load either, and it
//! then needs and provides nothing; nothing of its claims is believed beyond the limits here. The crate `object` reads
//! the structures: Rust's standard library uses it for its own backtraces, it is fuzzed, and it reads out of a file as
//! well as out of memory (goblin wants the whole file in memory).

use std::io::{self, Read, Seek, Write};
use std::path::Path;

use object::Endianness;
use object::elf::{self, DynamicTag, Machine};
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _};
use object::read::{ReadCache, ReadCacheOps, ReadRef, StringTable};
use tempfile::SpooledTempFile;

use super::{Soname, Sonames};
use crate::archive::ArchiveError;
use crate::atomic::FileError;
use crate::names::Arch;

/// Files up to this size are looked at in memory, larger ones in a file without a name.
const IN_MEMORY: usize = 16 << 20;
/// Most program headers; linkers make about a dozen.
const MAX_SEGMENTS: u32 = 256;
/// Longest dynamic section in bytes.
const MAX_DYNAMIC: u64 = 1 << 20;
/// Most names of one file.
const MAX_NAMES: usize = 4096;
/// Directories in which the linker looks for libraries: a file there without a soname is known by its name.
const LIBRARY_DIRECTORIES: [&str; 5] = ["usr/lib", "usr/lib32", "usr/lib64", "lib", "lib64"];

/// What every ELF file begins with.
const MAGIC: &[u8; 4] = b"\x7fELF";

/// Looks at one member of a package for `arch`: reads it whole when it is an ELF file, else its beginning. Large files
/// are put aside in `directory`.
///
/// # Errors
/// The member cannot be read, or there is no room to put it aside ([`ArchiveError::Machine`]).
pub(crate) fn look_at(
    member: &str,
    content: &mut dyn Read,
    arch: &Arch,
    directory: &Path,
) -> Result<Sonames, ArchiveError> {
    let mut magic = Vec::with_capacity(MAGIC.len());
    content.take(MAGIC.len() as u64).read_to_end(&mut magic)?;
    if magic != MAGIC {
        return Ok(Sonames::default());
    }
    let mut aside = Aside {
        file: tempfile::spooled_tempfile_in(IN_MEMORY, directory),
        failed: false,
    };
    let trouble = |source| ArchiveError::Machine(FileError::at("put a file of a package aside in", directory)(source));
    aside.write_all(&magic).map_err(trouble)?;
    match io::copy(content, &mut aside) {
        Ok(_) => {}
        Err(error) if aside.failed => return Err(trouble(error)),
        Err(error) => return Err(error.into()),
    }
    sonames(member, aside.file, arch).map_err(trouble)
}

/// Where a file is put aside; tells errors of this machine from those of the archive.
struct Aside {
    file: SpooledTempFile,
    failed: bool,
}

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).inspect_err(|_| self.failed = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().inspect_err(|_| self.failed = true)
    }
}

/// The names of one ELF file.
fn sonames(member: &str, mut file: SpooledTempFile, arch: &Arch) -> io::Result<Sonames> {
    let mut beginning = Vec::new();
    file.rewind()?;
    Read::by_ref(&mut file).take(5).read_to_end(&mut beginning)?;
    let bits = match beginning.get(4) {
        Some(1) => 32,
        Some(2) => 64,
        _ => return Ok(Sonames::default()),
    };
    let file = ReadCache::new(file);
    let dynamic = if bits == 32 {
        Dynamic::read::<elf::FileHeader32<Endianness>, _>(&file, arch)
    } else {
        Dynamic::read::<elf::FileHeader64<Endianness>, _>(&file, arch)
    };
    let Some(dynamic) = dynamic else {
        return Ok(Sonames::default());
    };
    let provided = match dynamic.soname {
        Some(soname) => Some(soname),
        None if dynamic.is_library => name_in_library_directory(member),
        None => None,
    };
    let as_soname = |name: &String| Soname::from_elf(name, bits);
    Ok(Sonames {
        needed: dynamic.needed.iter().filter_map(as_soname).collect(),
        provided: provided.iter().filter_map(as_soname).collect(),
    })
}

/// The name by which the linker finds a library that has no soname.
fn name_in_library_directory(member: &str) -> Option<String> {
    let (directory, name) = member.rsplit_once('/')?;
    (LIBRARY_DIRECTORIES.contains(&directory) && name.contains(".so")).then(|| name.to_owned())
}

/// What the dynamic section of a file says.
struct Dynamic {
    needed: Vec<String>,
    soname: Option<String>,
    is_library: bool,
}

impl Dynamic {
    /// `None` when the file has none, is for another machine, or cannot be read.
    fn read<Elf, R>(file: &ReadCache<R>, arch: &Arch) -> Option<Self>
    where
        Elf: FileHeader<Endian = Endianness>,
        R: ReadCacheOps,
    {
        let header = Elf::parse(file).ok()?;
        let endian = header.endian().ok()?;
        let kind = header.e_type(endian);
        if !runs(arch, header.e_machine(endian)) || !matches!(kind, elf::ET_DYN | elf::ET_EXEC) {
            return None;
        }
        if header.phnum(endian, file).ok()? > MAX_SEGMENTS {
            return None;
        }
        let segments = header.program_headers(endian, file).ok()?;
        let dynamic = segments
            .iter()
            .find(|segment| segment.p_type(endian) == elf::PT_DYNAMIC)
            .filter(|segment| segment.p_filesz(endian).into() <= MAX_DYNAMIC)?;
        let entries: Vec<(DynamicTag, u64)> = dynamic
            .dynamic(endian, file)
            .ok()??
            .iter()
            .map(|entry| (entry.d_tag(endian), entry.d_val(endian).into()))
            .take_while(|(tag, _)| *tag != elf::DT_NULL)
            .collect();
        let value = |wanted: DynamicTag| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let start = segments.iter().find_map(|segment| {
            let inside = value(elf::DT_STRTAB)?.checked_sub(segment.p_vaddr(endian).into())?;
            let is_there = segment.p_type(endian) == elf::PT_LOAD && inside < segment.p_filesz(endian).into();
            is_there.then(|| segment.p_offset(endian).into().checked_add(inside))?
        })?;
        let end = start.checked_add(value(elf::DT_STRSZ)?)?.min(file.len().ok()?);
        let strings = StringTable::new(file, start, end);
        let texts = |wanted: DynamicTag| {
            entries
                .iter()
                .filter(move |(tag, _)| *tag == wanted)
                .filter_map(|(_, offset)| strings.get(u32::try_from(*offset).ok()?).ok())
                .take(MAX_NAMES)
                .map(|text| String::from_utf8_lossy(text).into_owned())
        };
        Some(Self {
            needed: texts(elf::DT_NEEDED).collect(),
            soname: texts(elf::DT_SONAME).next(),
            is_library: kind == elf::ET_DYN,
        })
    }
}

/// Whether packages of an architecture run code of a machine. An architecture that is not known here runs any.
fn runs(arch: &Arch, machine: Machine) -> bool {
    let machines: &[Machine] = match arch.as_str() {
        "any" => &[],
        "x86_64" => &[elf::EM_X86_64, elf::EM_386],
        "i486" | "i586" | "i686" | "pentium4" => &[elf::EM_386],
        "aarch64" => &[elf::EM_AARCH64],
        "arm" | "armv6h" | "armv7h" => &[elf::EM_ARM],
        "riscv32" | "riscv64" => &[elf::EM_RISCV],
        "loong64" | "loongarch64" => &[elf::EM_LOONGARCH],
        "powerpc" => &[elf::EM_PPC],
        "powerpc64" | "powerpc64le" | "ppc64" | "ppc64le" => &[elf::EM_PPC64],
        _ => return true,
    };
    machines.contains(&machine)
}
