//! The `derive-build-graph` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    get_package_updates::derive::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
