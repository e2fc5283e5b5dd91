//! The `show-dependencies` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    show_dependencies::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
