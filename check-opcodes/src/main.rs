//! The `check-opcodes` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    check_opcodes::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
