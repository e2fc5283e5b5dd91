//! Man pages and completions of all tools, out of their command lines: `manual DIRECTORY` writes what belongs into
//! `/usr/share` or `/usr/local/share`. A program of the build, which is not installed.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory as _, Parser};
use clap_complete::{Shell, generate};
use common::atomic;
use common::cli::{CommonArgs, Messages};

/// Write man pages and completions of all tools into a directory like /usr/local/share
#[derive(Debug, Clone, Parser)]
#[command(name = "manual", version)]
struct Cli {
    #[command(flatten)]
    common: CommonArgs,
    /// Where they go
    directory: PathBuf,
}

/// Runs the program.
pub fn main(args: impl IntoIterator<Item = OsString>, stdout: &mut dyn Write) -> ExitCode {
    let cli: Cli = match common::cli::parse(args, stdout) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let messages = Messages::new("manual", &cli.common);
    match write(&cli.directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => common::ending::failed(&messages, error.chain()),
    }
}

/// The command lines of all programs that are installed.
#[must_use]
pub fn commands() -> Vec<Command> {
    vec![
        arch_vm::Cli::command(),
        archbuild::Cli::command(),
        build_packages::Cli::command(),
        builder_gate::Cli::command(),
        builder_gate::ping::Cli::command(),
        check_opcodes::Cli::command(),
        cleanup::Cli::command(),
        db_update::Cli::command(),
        get_assignment::Cli::command(),
        get_package_updates::Cli::command(),
        get_package_updates::derive::Cli::command(),
        modify_package_state::Cli::command(),
        prioritize_build_list::Cli::command(),
        repo_copy::Cli::command(),
        return_assignment::Cli::command(),
        sanity_check::Cli::command(),
        seed_build_list::Cli::command(),
        show_dependencies::Cli::command(),
        show_dependencies::pairs::Cli::command(),
    ]
}

/// Writes the pages, one a tool and one a subcommand, and what bash, zsh and fish complete.
///
/// # Errors
/// A file cannot be written.
pub fn write(directory: &Path) -> anyhow::Result<()> {
    let pages = directory.join("man/man1");
    atomic::create_directory(&pages)?;
    for command in commands() {
        let name = command.get_name().to_owned();
        for (shell, path) in [
            (Shell::Bash, format!("bash-completion/completions/{name}")),
            (Shell::Zsh, format!("zsh/site-functions/_{name}")),
            (Shell::Fish, format!("fish/vendor_completions.d/{name}.fish")),
        ] {
            let path = directory.join(path);
            let mut completion = Vec::new();
            generate(shell, &mut command.clone(), &name, &mut completion);
            atomic::create_directory(path.parent().unwrap_or(directory))?;
            atomic::write(&path, &completion)?;
        }
        clap_mangen::generate_to(command, &pages)?;
    }
    Ok(())
}
