//! The `builder-gate` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    builder_gate::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
