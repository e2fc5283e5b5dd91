//! The `return-assignment` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    return_assignment::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
