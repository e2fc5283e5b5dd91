//! What each sub-command does.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use common::build_command::Outcome;
use common::cli::Messages;
use common::config::Environment;
use common::interrupt::Interrupt;

use crate::building;
use crate::check;
use crate::cli::Action;
use crate::hardware::Platform;
use crate::image;
use crate::install::Installer;
use crate::machines::{self, Extent};
use crate::place::Place;
use crate::running;
use crate::settings::Settings;

/// One call of the tool.
pub(crate) struct Call<'a> {
    /// Where things lie.
    pub(crate) place: Place,
    /// Configuration.
    pub(crate) settings: &'a Settings,
    /// The caller's environment.
    pub(crate) environment: &'a Environment,
    /// The working directory.
    pub(crate) directory: PathBuf,
    /// This program.
    pub(crate) program: PathBuf,
    /// `--config`.
    pub(crate) config_option: Option<&'a Path>,
    /// Raised when somebody ends us.
    pub(crate) interrupt: &'a Interrupt,
    /// Messages to the caller.
    pub(crate) messages: Messages,
}

impl Call<'_> {
    /// Does what was asked for.
    pub(crate) fn run(&self, action: &Action, stdout: &mut dyn Write) -> Result<Outcome> {
        match action {
            Action::Install(args) => {
                Platform::of(&self.settings.arch)?;
                let base = self.installer().ensure()?;
                if let Some(image) = &args.image {
                    image::copy_to(&base, &self.settings.arch, &self.directory.join(image))?;
                }
            }
            Action::Update(_) => {
                let old = crate::base::current(&self.place);
                self.installer().make(old.map(|base| base.name()).as_deref())?;
            }
            Action::Build(args) => return building::build(self, args, stdout),
            Action::Run(args) => return running::run(self, args, stdout),
            Action::Check(args) => check::check(self, args, stdout)?,
            Action::List(args) => machines::list(&self.place, args.json, stdout)?,
            Action::Ssh(args) => {
                let command = args.command.iter().map(|word| word.to_string_lossy().into_owned());
                machines::enter(&self.place, &args.id, &command.collect::<Vec<_>>())?;
            }
            Action::Console(args) => {
                machines::console((&self.place, &args.id), std::io::stdin(), stdout, self.interrupt)?;
            }
            Action::Stop(args) => machines::stop(&self.place, &args.id)?,
            Action::Clean(args) => {
                let extent = if args.all { Extent::Everything } else { Extent::Remains };
                machines::clean(&self.place, extent, self.interrupt)?;
            }
            // They were answered before there was a machine to look after.
            Action::Relay | Action::Proxy(_) => {}
        }
        Ok(Outcome::Built)
    }

    /// Makes base images.
    pub(crate) fn installer(&self) -> Installer<'_> {
        Installer {
            settings: self.settings,
            place: &self.place,
            config_option: self.config_option,
            interrupt: self.interrupt,
            messages: self.messages,
        }
    }
}
