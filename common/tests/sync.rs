//! Sync databases that are none, or hold what no repo-add would write.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::path::{Path, PathBuf};

use common::sync_database::Databases;
use testkit::distribution;
use testkit::raw_tar::{RawMember, raw_tar};

fn desc(name: &[u8], more: &[u8]) -> Vec<u8> {
    [b"%FILENAME%\nx\n\n%NAME%\n", name, b"\n\n%VERSION%\n1-1\n\n", more].concat()
}

fn write(directory: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = directory.join(name);
    common::atomic::write(&path, content).unwrap();
    path
}

/// What is read of a database with these members, by names; and the complaints.
fn read(directory: &Path, members: &[RawMember]) -> (Vec<String>, Vec<String>) {
    let path = write(directory, "core.db", &raw_tar(members));
    let databases = Databases::read(&[path]).unwrap();
    let names = databases.infos().map(|(name, _)| name.to_string()).collect();
    let complaints = databases.complaints.iter().map(ToString::to_string).collect();
    (names, complaints)
}

#[test]
fn an_entry_that_is_no_text_is_left_out_and_named_with_its_database_and_field() {
    let directory = tempfile::tempdir().unwrap();
    let field = |field: &str| [b"%", field.as_bytes(), b"%\nfine\nlib\xff\n\n"].concat();
    let mut members = vec![
        RawMember::file("good-1-1/desc", desc(b"good", b"%DEPENDS%\nlib\n")),
        RawMember::file(
            "umlaut-1-1/desc",
            desc(b"umlaut", b"%PACKAGER%\nJ\xf6rg\n\n%DEPENDS%\nlib\n"),
        ),
        RawMember::file("n\u{fffd}-1-1/desc", desc(b"n\xff", b"")),
        RawMember::file(b"path\xff-1-1/desc", desc(b"path", b"")),
        RawMember::file("old-1-1/desc", desc(b"old", b"")),
        RawMember::file("old-1-1/depends", field("DEPENDS")),
    ];
    let fields = [
        "BASE",
        "ARCH",
        "GROUPS",
        "DEPENDS",
        "MAKEDEPENDS",
        "CHECKDEPENDS",
        "PROVIDES",
    ];
    for name in fields {
        members.push(RawMember::file(
            format!("{name}-1-1/desc"),
            desc(name.as_bytes(), &field(name)),
        ));
    }
    let (names, complaints) = read(directory.path(), &members);
    assert_eq!(names, ["good", "umlaut"]);
    assert_eq!(complaints.len(), members.len() - 3, "{complaints:?}");
    for name in fields {
        let expected = format!("core.db is left out: its %{name}% is not UTF-8");
        let of_it = |complaint: &&String| complaint.starts_with(&format!("{name}-1-1 of "));
        assert!(
            complaints.iter().find(of_it).unwrap().ends_with(&expected),
            "{complaints:?}"
        );
    }
}

#[test]
fn an_entry_of_any_bytes_is_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    for byte in 0..=255_u8 {
        let name = [b"a", &[byte][..], b"b"].concat();
        let path = [&name[..], b"-1-1/desc"].concat();
        let more = [
            b"%DEPENDS%\n",
            &[byte][..],
            b"\n",
            &name,
            b">=",
            &[byte][..],
            b"\n\n%PROVIDES%\n",
            &[byte][..],
        ]
        .concat();
        let members = [
            RawMember::file(path, desc(&name, &more)),
            RawMember::file("good-1-1/desc", desc(b"good", b"")),
        ];
        let file = write(directory.path(), "core.db", &raw_tar(&members));
        // Some make a path of another form, and nothing of such a database is to be had.
        if let Ok(databases) = Databases::read(&[file]) {
            let good: common::names::PkgBase = "good".parse().unwrap();
            assert!(databases.infos().any(|(name, _)| *name == good), "{byte:#x}");
        }
    }
}

#[test]
fn an_entry_without_a_version_is_an_error_and_a_database_without_entries_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let file = |path: &str| RawMember::file(path, desc(b"good", b""));
    let bad = write(
        directory.path(),
        "bad.db",
        &raw_tar(&[file("bad/desc"), file("good-1-1/desc")]),
    );
    let error = Databases::read(&[bad]).unwrap_err().to_string();
    assert!(error.contains("bad.db"), "{error}");
    assert_eq!(read(directory.path(), &[]), (vec![], vec![]));
}

#[test]
fn a_database_that_is_cut_or_none_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let Some(data) = distribution::data() else { return };
    let whole = std::fs::read(data.join("sync-dbs/arch-x86_64-2025-04-11/core.db")).unwrap();
    let huge = RawMember::file("a-1-1/desc", vec![0xff; 5 << 20]);
    for (name, content) in [
        ("cut.db", &whole[..whole.len() / 2]),
        ("text.db", b"no database"),
        ("empty.db", b""),
        ("huge.db", &raw_tar(&[huge])),
    ] {
        let path = write(directory.path(), name, content);
        let error = Databases::read(&[path]).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    for name in ["absent.db", "core", ".db"] {
        assert!(Databases::read(&[directory.path().join(name)]).is_err(), "{name}");
    }
}
