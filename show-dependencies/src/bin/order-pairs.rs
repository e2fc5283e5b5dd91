//! `order-pairs`: see the library.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    show_dependencies::pairs::main(std::env::args_os(), &mut io::stdin().lock(), &mut io::stdout().lock())
}
