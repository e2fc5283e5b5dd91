//! Uploads of a builder that means harm: each is refused with the documented code and one sentence, and nothing of the
//! repositories, of the build list or beside the work directory has changed a byte.

mod archives;
mod metadata;
mod signatures;
mod uploads;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use common::state::State;
use testkit::need;
use testkit::package::{PackageSpec, mtree};
use testkit::raw_tar::{RawMember, raw_tar};

use crate::master::{Master, collect, put};

/// The package that the order makes.
pub(crate) const SOLO: &str = "solo-1-1.0-x86_64.pkg.tar.zst";

/// One hostile upload.
pub(crate) struct Attack {
    /// What it is, for messages.
    name: &'static str,
    /// The documented answer.
    code: i32,
    /// What the sentence has to say.
    said: &'static str,
    upload: Vec<u8>,
    settings: Vec<(&'static str, String)>,
}

impl Attack {
    fn new(name: &'static str, (code, said): (i32, &'static str), upload: &[RawMember]) -> Self {
        Self::of_bytes(name, (code, said), raw_tar(upload))
    }

    fn of_bytes(name: &'static str, (code, said): (i32, &'static str), upload: Vec<u8>) -> Self {
        Self {
            name,
            code,
            said,
            upload,
            settings: Vec::new(),
        }
    }
}

/// Makes uploads that are right but for what the attack is about.
pub(crate) struct Forge<'a> {
    master: &'a Master,
}

impl Forge<'_> {
    /// The members of the package `solo`, changed; the manifest fits what comes out.
    fn solo(&self, change: impl FnOnce(&mut Vec<RawMember>)) -> Vec<RawMember> {
        let mut members = PackageSpec::new("solo", "1-1.0").members();
        members.retain(|member| member.path != b".MTREE");
        change(&mut members);
        members.insert(0, RawMember::file(".MTREE", mtree(&members)));
        members
    }

    /// The package `solo` with the text of one of its metadata files changed.
    fn solo_saying(&self, file: &str, change: impl FnOnce(String) -> String) -> Vec<RawMember> {
        self.solo(|members| {
            let member = members
                .iter_mut()
                .find(|member| member.path == file.as_bytes())
                .unwrap();
            member.content = change(String::from_utf8(member.content.clone()).unwrap()).into_bytes();
        })
    }

    /// A file and its signature by the builder's key.
    fn signed(&self, name: &str, content: &[u8]) -> Vec<RawMember> {
        let path = self.file(name, content);
        let signature = fs::read(self.master.keyring.sign(&path).unwrap()).unwrap();
        vec![
            RawMember::file(name, content),
            RawMember::file(format!("{name}.sig"), signature),
        ]
    }

    /// The package `solo` of these members, signed.
    fn packed(&self, members: &[RawMember]) -> Vec<RawMember> {
        self.signed(SOLO, &zstd(&raw_tar(members)))
    }

    /// A file beside the master.
    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.master.directory.path().join("new").join(name);
        put(&path, content);
        path
    }
}

/// Compresses as makepkg does.
pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Every file of the repositories and of the directory around the master, but for what the attacks are made of.
fn surroundings(master: &Master) -> BTreeMap<PathBuf, Vec<u8>> {
    let root = master.directory.path();
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let is_used = path.ends_with("work") || path.ends_with("new");
        if !is_used && path.is_dir() {
            collect(&path, &mut found);
        } else if !is_used {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn is_left_over(work: &Path) -> bool {
    fs::read_dir(work)
        .unwrap()
        .any(|entry| entry.unwrap().file_name().to_str().unwrap().starts_with('.'))
}

/// Sends each upload, of which there are at least `fewest`, and looks at everything afterwards.
fn endure(fewest: usize, attacks: impl FnOnce(&Forge<'_>) -> Vec<Attack>) {
    if !need::programs(&["bsdtar"]) {
        return;
    }
    let Some(master) = Master::new() else { return };
    let order = master.lease("a", &["b1"], 0);
    let upload = crate::master::tar(&master.packages_of_a("1-1.0"));
    master.run("b1", &order, "0", upload).expect(0);
    let attacks = attacks(&Forge { master: &master });
    assert!(attacks.len() >= fewest, "only {}", attacks.len());
    let before = surroundings(&master);
    let sonames = fs::read_dir(master.work_dir.metadata_directory().join("sonames"))
        .unwrap()
        .count();
    let mut wrong = Vec::new();
    for attack in &attacks {
        let name = attack.name;
        let order = master.lease("solo", &["b1"], 0);
        let list = master.list();
        let mut tool = master.tool("b1", &order, "0");
        for (key, value) in &attack.settings {
            tool = tool.env(key, value);
        }
        let ended = tool.stdin(attack.upload.clone()).run();
        let is_sentence = ended.stderr.starts_with("return-assignment: ") && ended.stderr.lines().count() == 1;
        let is_clear = is_sentence && ended.stderr.len() < 500 && ended.stderr.contains(attack.said);
        if ended.code != attack.code || !is_clear || !ended.stdout.is_empty() {
            wrong.push(format!("{name}: {ended:?}"));
        }
        assert_eq!(surroundings(&master), before, "{name}");
        assert_eq!(master.list(), list, "{name}");
        assert!(!is_left_over(master.work_dir.root()), "{name}");
        assert!(!master.has(&order, State::Done), "{name}");
        // What is refused for good ends the attempt; a passing trouble changes nothing.
        let is_refused = attack.code != 1;
        assert_eq!(master.leases("b1") == 0, is_refused, "{name}");
        assert_eq!(master.has(&order, State::Broken), is_refused, "{name}");
        master.work_dir.states().remove(&order, State::Broken).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let kept = fs::read_dir(master.work_dir.metadata_directory().join("sonames")).unwrap();
    assert_eq!(kept.count(), sonames);
    // The same order, returned as it should be, is taken.
    let order = master.lease("solo", &["b1"], 0);
    let forge = Forge { master: &master };
    let upload = raw_tar(&forge.packed(&forge.solo(|_| {})));
    master.run("b1", &order, "0", upload).expect(0);
}

#[test]
fn hostile_uploads_change_nothing() {
    endure(20, uploads::attacks);
}

#[test]
fn hostile_signatures_change_nothing() {
    endure(20, signatures::attacks);
}

#[test]
fn hostile_archives_change_nothing() {
    endure(40, archives::attacks);
}

#[test]
fn hostile_metadata_changes_nothing() {
    endure(20, metadata::attacks);
}
