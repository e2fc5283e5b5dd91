//! `manual DIRECTORY`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    manual::main(std::env::args_os(), &mut std::io::stdout().lock())
}
