//! The `cleanup` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    cleanup::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
