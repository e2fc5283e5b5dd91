//! The `build-packages` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    build_packages::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
