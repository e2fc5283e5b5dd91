//! The `check-opcodes` command as a library: code in packages that the processors of their architecture cannot run.

mod cli;
mod level;
mod program;
mod sweep;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use common::archive::{ArchiveError, Kind, Member};
use common::cli::{Messages, sentence};
use common::exit::{Failure, of_listing};
use common::names::last_part;
use common::package::{self, DEBUG_FILES, PackageError};
use common::parallel;
use common::version::{PackageFileName, PackageFileNameError};
use serde::Serialize;

pub use crate::cli::Cli;
pub use crate::level::Level;
use crate::program::Program;
use crate::sweep::Found;

/// Largest program in bytes. Browsers have a quarter of it.
const MAX_PROGRAM: u64 = 1 << 30;

/// A file with code that the processor need not be able to run.
#[derive(Debug, Serialize)]
struct Offender {
    package: String,
    file: String,
    instructions: Found,
}

/// Runs the tool.
pub fn main(args: impl IntoIterator<Item = OsString>, _stdin: &mut dyn Read, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("check-opcodes", &cli.common);
    match run(&cli, &messages, stdout) {
        Ok(code) => ExitCode::from(code),
        Err(error) => common::ending::failed(&messages, error.chain()),
    }
}

/// Does one run; the exit code.
///
/// # Errors
/// The result cannot be printed.
pub fn run(cli: &Cli, messages: &Messages, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut code = 0;
    let mut offenders = Vec::new();
    for (path, found) in cli
        .packages
        .iter()
        .zip(parallel::map(&cli.packages, |path| check(path, cli.arch)))
    {
        match found {
            Ok(Checked::Offenders(found)) => {
                messages.detail(format_args!("{}: {} files with such code", path.display(), found.len()));
                code = code.max(u8::from(!found.is_empty()));
                offenders.extend(found);
            }
            Ok(Checked::OtherMachine) => {
                messages.note(format_args!("{}: not looked into: it is not for x86", path.display()));
            }
            Err(error) => {
                let failure = if error.cause.is_trouble_of_the_machine() {
                    Failure::Io
                } else {
                    Failure::Data
                };
                code = code.max(failure.code());
                messages.error(sentence(anyhow::Error::from(error).chain()));
            }
        }
    }
    of_listing(print(&offenders, cli, out)).context("cannot print what was found")?;
    Ok(code)
}

/// What came of one package.
enum Checked {
    /// The files with such code.
    Offenders(Vec<Offender>),
    /// Its architecture has no code for x86.
    OtherMachine,
}

fn check(path: &Path, level: Option<Level>) -> Result<Checked, PackageError> {
    let package = last_part(path).to_string();
    let level = match level {
        Some(level) => Some(level),
        None => {
            let name: PackageFileName = package.parse().map_err(|source: PackageFileNameError| PackageError {
                path: path.to_owned(),
                cause: source.into(),
            })?;
            Level::of_arch(&name.arch)
        }
    };
    let Some(level) = level else {
        return Ok(Checked::OtherMachine);
    };
    let mut offenders = Vec::new();
    package::walk(path, &mut |member, data| {
        if member.kind == Kind::File && !member.path.starts_with(DEBUG_FILES) {
            let bytes = whole(member, data)?;
            let found = Program::read(&bytes)
                .map(|program| sweep::sweep(&program, level))
                .unwrap_or_default();
            if !found.is_empty() {
                offenders.push(Offender {
                    package: package.clone(),
                    file: member.path.clone(),
                    instructions: found,
                });
            }
        }
        Ok(())
    })?;
    offenders.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(Checked::Offenders(offenders))
}

/// A member, if it is an ELF file; otherwise its beginning.
fn whole(member: &Member, data: &mut dyn Read) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    data.take(4).read_to_end(&mut bytes)?;
    if bytes == b"\x7fELF" {
        if member.size > MAX_PROGRAM {
            return Err(ArchiveError::Limit(format!("{} bytes of {}", member.size, member.path)));
        }
        data.take(MAX_PROGRAM).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn print(offenders: &[Offender], cli: &Cli, out: &mut dyn Write) -> io::Result<()> {
    if cli.json {
        serde_json::to_writer(&mut *out, offenders)?;
        writeln!(out)?;
        return out.flush();
    }
    for Offender {
        package,
        file,
        instructions,
    } in offenders
    {
        let counts: Vec<String> = instructions
            .iter()
            .map(|(name, uses)| format!("{name}={}", uses.count))
            .collect();
        writeln!(out, "{package}: {file}: {}", counts.join(" "))?;
        for (name, uses) in instructions.iter().filter(|_| cli.disassemble) {
            for instruction in &uses.first {
                writeln!(out, "{package}: {file}: {name}: {instruction}")?;
            }
        }
    }
    out.flush()
}
