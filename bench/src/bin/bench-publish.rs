//! `bench-publish`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bench::publish::main(std::env::args_os())
}
