//! The `bench` command, which `scripts/bench` builds and starts.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench::main(std::env::args_os(), &mut std::io::stdout().lock())
}
