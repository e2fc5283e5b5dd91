//! What each sub-command does.

use std::io::Write;

use anyhow::Result;
use common::build_command::Outcome;

use crate::building;
use crate::call::Call;
use crate::check;
use crate::cli::Action;
use crate::hardware::Platform;
use crate::image;
use crate::machines::{self, Extent};
use crate::running;

/// Does what was asked for.
pub(crate) fn run(call: &Call<'_>, action: &Action, stdout: &mut dyn Write) -> Result<Outcome> {
    match action {
        Action::Install(args) => {
            Platform::of(&call.settings.arch)?;
            let base = call.installer().ensure()?;
            if let Some(image) = &args.image {
                image::copy_to(&base, &call.settings.arch, &call.directory.join(image))?;
            }
        }
        Action::Update(_) => {
            let old = crate::base::current(&call.place);
            call.installer().make(old.map(|base| base.name()).as_deref())?;
        }
        Action::Build(args) => return building::build(call, args, stdout),
        Action::Run(args) => return running::run(call, args, stdout),
        Action::Check(args) => check::check(call, args, stdout)?,
        Action::List(args) => machines::list(&call.place, args.json, stdout)?,
        Action::Ssh(args) => {
            let command = args.command.iter().map(|word| word.to_string_lossy().into_owned());
            machines::enter(&call.place, &args.id, &command.collect::<Vec<_>>())?;
        }
        Action::Console(args) => {
            machines::console((&call.place, &args.id), std::io::stdin(), stdout, call.interrupt)?;
        }
        Action::Stop(args) => machines::stop(&call.place, &args.id)?,
        Action::Clean(args) => {
            let extent = if args.all { Extent::Everything } else { Extent::Remains };
            machines::clean(&call.place, extent, call.interrupt)?;
        }
        // They were answered before there was a machine to look after.
        Action::Relay | Action::Proxy(_) => {}
    }
    Ok(Outcome::Built)
}
