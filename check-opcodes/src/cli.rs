//! The command line: types and help, nothing else.

use std::path::PathBuf;

use clap::Parser;
use common::cli::CommonArgs;

use crate::level::Level;

/// Find code in packages that their processors cannot run
///
/// Disassembles the ELF files in packages for x86 and prints those with instructions that a processor of the package's
/// architecture need not have, a line each: PACKAGE: FILE: what the instructions belong to, and how many there are. In a
/// package for 32 bits a file with 64 is one, too. Data between instructions may look like one. Code that looks for its instructions before it uses them is printed as well: nothing in a
/// file says that it does.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "check-opcodes",
    version,
    after_long_help = "Files of other machines, object files in ar archives and the kernel's compressed image are not \
        looked into, nor are packages for `any` machine.\n\n\
        Example:\n  check-opcodes -d /srv/repo/pool/zlib-1:1.2.12-1.0-i486.pkg.tar.zst\n\n\
        Exit codes: 0 nothing found, 1 something found, 65 something is no package, 74 a file cannot be read"
)]
pub struct Cli {
    /// Options of every tool.
    #[command(flatten)]
    pub common: CommonArgs,
    /// The least processor that the code is for, instead of that of the package's architecture
    #[arg(short, long, value_name = "PROCESSOR")]
    pub arch: Option<Level>,
    /// Print the first ten instructions of each kind, too
    #[arg(short, long)]
    pub disassemble: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// Package files
    #[arg(value_name = "PACKAGE", required = true)]
    pub packages: Vec<PathBuf>,
}
