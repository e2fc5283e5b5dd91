//! One run inside the namespace: its working copy, pacman, the root it starts from.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use common::cli::Messages;
use common::generations::Making;
use common::interrupt::Interrupt;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

use crate::QUICK_LINT;
use crate::copy::{Below, WorkingCopy};
use crate::databases::Databases;
use crate::emulation::Lodger;
use crate::layers;
use crate::layout::Layout;
use crate::pacman::{Pacman, Purpose};
use crate::request::{Parts, Request, User};
use crate::roots::{self, Generation, Kind};
use crate::sandbox::{BUILD_ID, BUILD_USER, Network, Sandbox, Sources};

/// ENOEXEC, as bubblewrap says it.
const NOT_EXECUTABLE: &str = "Exec format error";
/// Where libmakepkg looks for checks of a PKGBUILD.
const LINTS: &str = "usr/share/makepkg/lint_pkgbuild";
/// What a root has to have below usr/bin.
const NEEDED_PROGRAMS: &[&str] = &["bash", "env", "makepkg", "pacman", "setpriv"];
/// Packages of every root.
const ROOT_PACKAGES: &[&str] = &["base", "base-devel"];

/// Whether packages with the symbols for debuggers are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DebugPackages {
    /// As far as there is something in them.
    Made,
    /// Not unless a PKGBUILD asks for them.
    LeftOut,
}

/// One run.
pub(crate) struct Session<'a> {
    /// Where things lie.
    pub(crate) layout: &'a Layout,
    /// The directory of this run, and its working copy.
    pub(crate) copy: WorkingCopy,
    /// What chroots are made from.
    pub(crate) parts: &'a Parts,
    /// The interpreter, when it has to be in a root while packages are installed there.
    lodger: Option<Lodger>,
    /// pacman for the working copy.
    pub(crate) pacman: Pacman,
    /// pacman for a root.
    root_pacman: Pacman,
    /// Raised when the run has to end.
    pub(crate) interrupt: Interrupt,
    /// Messages to the caller.
    pub(crate) messages: Messages,
}

impl<'a> Session<'a> {
    /// Begins a run in a directory that has the files of the request.
    pub(crate) fn new(
        layout: &'a Layout,
        mut copy: WorkingCopy,
        request: &'a Request,
        interrupt: &Interrupt,
        messages: Messages,
    ) -> Result<Self> {
        let parts = request
            .task
            .parts()
            .context("the request does not say what the chroot is made from")?;
        let lodger = request.runner.set_up(request.arch.as_str())?;
        if let Some(lodger) = &lodger {
            let ground = copy.part("interpreter")?;
            lodger.move_in(&ground)?;
            copy.lay_over(ground)?;
        }
        Ok(Self {
            lodger,
            pacman: Pacman::new(layout, &copy, Purpose::Copy(parts), interrupt)?,
            root_pacman: Pacman::new(layout, &copy, Purpose::Root(parts), interrupt)?,
            interrupt: interrupt.clone(),
            layout,
            copy,
            parts,
            messages,
        })
    }

    /// Ends pacman then, whatever it does.
    pub(crate) const fn end_pacman_at(&mut self, deadline: Instant) {
        self.pacman.end_at(deadline);
        self.root_pacman.end_at(deadline);
    }

    /// The root, made where it is missing or broken.
    pub(crate) fn ensure_root(&self) -> Result<Generation> {
        if let Some(found) = roots::current(self.layout, self.kind()) {
            return Ok(found);
        }
        self.make_root(None)
    }

    /// What the root has to be made from.
    fn kind(&self) -> Kind<'_> {
        Kind(&self.parts.repositories)
    }

    /// Makes a new root unless somebody else replaced `old` while we waited for the right to do it.
    fn make_root(&self, old: Option<&str>) -> Result<Generation> {
        let right = roots::lock(self.layout, &self.interrupt, || {
            self.messages.note("waiting for another archbuild that makes the root");
        })?;
        match roots::current(self.layout, self.kind()) {
            Some(found) if old.is_none_or(|old| found.name() != old) => return Ok(found),
            _ => {}
        }
        self.messages
            .note(format_args!("making the root {}", self.layout.roots().link().display()));
        roots::make(self.layout, &right, self.kind(), |root| {
            let lodger = self.lodger.as_ref();
            lodger.map_or(Ok(()), |lodger| lodger.move_in(root))?;
            self.root_pacman.refresh(root)?;
            self.root_pacman.install_root(root, ROOT_PACKAGES)?;
            lodger.map_or(Ok(()), |lodger| lodger.move_out(root))
        })
        .context("the root cannot be made")?;
        self.after_making(&right)
    }

    /// Makes a root by other means than pacman.
    pub(crate) fn replace_root(&self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let right = roots::lock(self.layout, &self.interrupt, || {
            self.messages.note("waiting for another archbuild that makes the root");
        })?;
        roots::make(self.layout, &right, self.kind(), fill)?;
        self.after_making(&right).map(drop)
    }

    fn after_making(&self, right: &Making) -> Result<Generation> {
        let made = roots::current(self.layout, self.kind()).context("the new root has vanished")?;
        roots::sweep(self.layout, right)?;
        // Those of the old root are of no use to new copies.
        layers::sweep(self.layout, layers::Surplus::Old)?;
        Ok(made)
    }

    /// The newest databases for the working copy.
    pub(crate) fn refresh(&self) -> Result<Databases> {
        Databases::refresh(self.layout, &self.pacman, &self.copy, &self.interrupt)
    }

    /// Makes a new root when a package of the present one has a newer version. Says whether it did.
    pub(crate) fn update_root(&mut self) -> Result<bool> {
        let generation = self.ensure_root()?;
        let old = generation.name();
        self.copy.mount(Below::root(generation))?;
        Databases::refresh(self.layout, &self.root_pacman, &self.copy, &self.interrupt)?;
        let outdated = self.root_pacman.outdated(&self.copy.root())?;
        if outdated.is_empty() {
            return Ok(false);
        }
        self.messages
            .detail(format_args!("out of date: {}", outdated.join(", ")));
        self.make_root(Some(&old))?;
        Ok(true)
    }

    /// A fresh working copy in which programs run. A root in which they do not is remade once.
    pub(crate) fn mount_copy(&mut self, sandbox: &Sandbox) -> Result<()> {
        let generation = self.ensure_root()?;
        let name = generation.name();
        self.copy.mount(Below::root(generation))?;
        if let Err(error) = self.probe(sandbox) {
            if self.interrupt.is_raised() {
                return Err(error);
            }
            if format!("{error:#}").contains(NOT_EXECUTABLE) {
                self.messages.hint(
                    "emulation needs Linux 6.7 or later, or `archbuild binfmt` once as root, and a static qemu (key emulator)",
                );
                return Err(error).context("programs of this architecture do not run here");
            }
            self.messages
                .error(format_args!("the root is broken and is made again: {error:#}"));
            let generation = self.make_root(Some(&name))?;
            self.copy.mount(Below::root(generation))?;
            self.probe(sandbox)?;
        }
        Ok(())
    }

    /// Runs makepkg as the build user, to see that the box and the root work: once a root and boot, since it costs more
    /// than all else that makes a copy ready. That the programs are there is looked at every time.
    fn probe(&self, sandbox: &Sandbox) -> Result<()> {
        let generation = &self.copy.below().context("no copy is mounted")?.generation;
        let is_there = |name: &&str| self.copy.root().join("usr/bin").join(name).exists();
        if NEEDED_PROGRAMS.iter().all(is_there) && generation.is_proven() {
            return Ok(());
        }
        let argv = ["/usr/bin/makepkg", "--version"];
        let command = sandbox.command(User::Builder, Network::None, Sources::ReadOnly, argv);
        let command = command.output(common::process::Output::Capture);
        crate::pacman::run("makepkg cannot be run in the chroot", command)?;
        generation.prove()
    }

    /// Writes the configuration, the build user and what finds hosts into the copy.
    pub(crate) fn configure(&self, debug: DebugPackages) -> Result<()> {
        let root = self.copy.root();
        let tree = Tree::open(&root)?;
        if root.join(LINTS).is_dir() {
            tree.write(&format!("{LINTS}/zz-quick-lint.sh"), QUICK_LINT)?;
        }
        tree.write("etc/pacman.conf", &self.parts.chroot_conf)?;
        let conf = match &self.parts.makepkg_conf {
            Some(text) => text.clone(),
            None => tree.read("etc/makepkg.conf")?,
        };
        // A PKGBUILD that wants one says so in its own options.
        let option = match debug {
            DebugPackages::Made => "debug",
            DebugPackages::LeftOut => "!debug",
        };
        tree.write("etc/makepkg.conf", &format!("{conf}\nOPTIONS+=({option})\n"))?;
        let user = format!("{BUILD_USER}:x:{BUILD_ID}:{BUILD_ID}::/build:/bin/bash\n");
        tree.append("etc/passwd", BUILD_USER, &user)?;
        tree.append("etc/group", BUILD_USER, &format!("{BUILD_USER}:x:{BUILD_ID}:\n"))?;
        tree.append("etc/hosts", "127.0.0.1", "127.0.0.1 localhost\n::1 localhost\n")?;
        if let Ok(text) = std::fs::read_to_string("/etc/resolv.conf") {
            tree.write("etc/resolv.conf", &text)?;
        }
        Ok(())
    }
}

/// Files in a working copy. Names are looked up with the copy as the root, so that no link in it leads to the host.
struct Tree(OwnedFd);

impl Tree {
    fn open(root: &Path) -> Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(open(root, flags, Mode::empty())?))
    }

    fn file(&self, name: &str, flags: OFlag) -> Result<File> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .mode(if flags.contains(OFlag::O_CREAT) {
                Mode::from_bits_truncate(0o644)
            } else {
                Mode::empty()
            })
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let file = openat2(&self.0, name, how).with_context(|| format!("cannot open {name} in the working copy"))?;
        Ok(File::from(file))
    }

    /// The content, empty when there is none.
    fn read(&self, name: &str) -> Result<String> {
        let mut text = Vec::new();
        if let Ok(mut file) = self.file(name, OFlag::O_RDONLY) {
            file.read_to_end(&mut text)?;
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let mut file = self.file(name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC)?;
        file.write_all(text.as_bytes())
            .with_context(|| format!("cannot write {name} in the working copy"))
    }

    /// Adds lines to a file in which none begins with `first`.
    fn append(&self, name: &str, first: &str, lines: &str) -> Result<()> {
        let old = self.read(name)?;
        if old.lines().any(|line| line.starts_with(first)) {
            return Ok(());
        }
        let gap = if old.is_empty() || old.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        self.write(name, &format!("{old}{gap}{lines}"))
    }
}
