//! `arch-vm check`: whether an image keeps the guest contract: it boots, its ssh lets `user` in, `user` may do everything
//! by sudo, and there is what a build needs.

use std::io::Write;

use anyhow::{Context, Result};
use common::build_command::Outcome;

use crate::Refusal;
use crate::call::Call;
use crate::cli::{CheckArgs, MachineArgs, Start};
use crate::guest::User;

/// What has to work in a guest, in words and as a command.
const NEEDS: &[(&str, User, &[&str])] = &[
    ("user can do everything by sudo", User::Root, &["true"]),
    ("pacman is there", User::Builder, &["pacman", "--version"]),
    ("makepkg is there", User::Builder, &["makepkg", "--version"]),
    (
        "bash, tar and install are there",
        User::Builder,
        &["bash", "-c", "type tar install df"],
    ),
];

/// Boots the image over an overlay and looks.
pub(crate) fn check(call: &Call<'_>, args: &CheckArgs, out: &mut dyn Write) -> Result<()> {
    let image = call.directory.join(&args.image);
    if !image.is_file() {
        return Err(Refusal::File(image).into());
    }
    let machine = MachineArgs {
        cpus: None,
        memory: None,
        overlay_dir: None,
        overlay: None,
        extra_disks: Vec::new(),
        boot_limit: args.boot_limit,
        start: Start::Boot,
        image: Some(image),
        identity: args.identity.clone(),
    };
    let conf = call.settings.pacman_conf()?;
    let session = call.opener(&machine, &conf)?.open()?;
    writeln!(out, "it boots and lets user in")?;
    for (what, user, argv) in NEEDS {
        let command = session.guest.command(*user, &[], *argv);
        session
            .guest
            .run(what, command)
            .with_context(|| format!("the image does not keep the guest contract ({what})"))
            .context(Outcome::Machine)?;
        writeln!(out, "{what}")?;
    }
    Ok(out.flush()?)
}
