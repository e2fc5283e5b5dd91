//! The `archbuild` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    archbuild::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
