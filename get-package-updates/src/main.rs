//! The `get-package-updates` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    get_package_updates::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
