//! The `prioritize-build-list` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    prioritize_build_list::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
