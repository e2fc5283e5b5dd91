//! The `arch-vm` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    arch_vm::main(std::env::args_os(), &mut std::io::stdout().lock())
}
