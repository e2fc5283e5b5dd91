//! The `sanity-check` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    sanity_check::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
