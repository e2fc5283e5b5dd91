//! The `db-update` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    db_update::main(
        std::env::args_os(),
        &mut std::io::stdin().lock(),
        &mut std::io::stdout().lock(),
    )
}
