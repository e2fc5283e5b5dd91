//! One call of the tool: what every sub-command needs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use archbuild::pacman_conf::PacmanConf;
use common::build_command::{Keep, Limits};
use common::cli::Messages;
use common::config::Environment;
use common::interrupt::Interrupt;

use crate::cli::MachineArgs;
use crate::install::Installer;
use crate::place::Place;
use crate::session::Opener;
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

    /// Opens a machine without limits, which goes when it is no longer used.
    pub(crate) fn opener<'b>(&'b self, machine: &MachineArgs, pacman_conf: &'b PacmanConf) -> Result<Opener<'b>> {
        Ok(Opener {
            settings: self.settings,
            place: &self.place,
            installer: self.installer(),
            machine: self.settings.machine(machine, &self.directory)?,
            limits: Limits::default(),
            keep: Keep::Never,
            pacman_conf,
            interrupt: self.interrupt,
            messages: self.messages,
            program: &self.program,
        })
    }
}
