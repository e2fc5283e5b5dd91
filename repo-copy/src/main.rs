//! The `repo-copy` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    repo_copy::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
