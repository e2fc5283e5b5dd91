//! Images as files of the caller's: `IMAGE`, and beside it, where it has no boot loader of its own, `IMAGE.kernel`,
//! `IMAGE.initramfs` and `IMAGE.root` with the guest's name of the root file system.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use common::names::Arch;

use crate::base::Base;
use crate::hardware::Boot;

/// Where an image has its root file system unless `IMAGE.root` says otherwise.
const FIRST_PARTITION: &str = "/dev/vda1";

/// Copies a base image to a place of the caller's; kernel, initramfs and the name of the root file system beside it.
pub(crate) fn copy_to(base: &Base, arch: &Arch, image: &Path) -> Result<()> {
    let directory = base.disk();
    let directory = directory.parent().context("a base image lies in a directory")?;
    for (part, name) in [
        ("disk.qcow2", image.to_owned()),
        ("kernel", beside(image, "kernel")),
        ("initramfs", beside(image, "initramfs")),
    ] {
        let copying = || format!("cannot copy the base image for {arch} to {}", name.display());
        let parent = name
            .parent()
            .filter(|path| !path.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut file = common::atomic::temporary_file(parent)?;
        let mut from = File::open(directory.join(part)).with_context(copying)?;
        io::copy(&mut from, &mut file).with_context(copying)?;
        common::atomic::persist(file, &name)?;
    }
    let root = format!("{}\n", base.record.root);
    Ok(common::atomic::write(&beside(image, "root"), root.as_bytes())?)
}

/// `IMAGE.kernel` for an image.
fn beside(image: &Path, name: &str) -> PathBuf {
    let mut path = image.as_os_str().to_owned();
    path.push(".");
    path.push(name);
    path.into()
}

/// What a machine of an image boots.
pub(crate) fn boot(image: &Path) -> Boot {
    let (kernel, initramfs) = (beside(image, "kernel"), beside(image, "initramfs"));
    if kernel.is_file() && initramfs.is_file() {
        Boot::Kernel {
            kernel,
            initramfs,
            root: fs::read_to_string(beside(image, "root"))
                .map_or_else(|_| FIRST_PARTITION.to_owned(), |text| text.trim().to_owned()),
        }
    } else {
        Boot::Disk
    }
}
