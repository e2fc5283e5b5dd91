//! The `modify-package-state` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    modify_package_state::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
