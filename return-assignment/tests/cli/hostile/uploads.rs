//! The outer archive: names, kinds, numbers and sizes of its members, and sets of packages.

use testkit::package::PackageSpec;
use testkit::raw_tar::{RawMember, raw_tar};

use super::{Attack, Forge, SOLO, zstd};

const MISSING: (i32, &str) = (4, "missing: solo-1-1.0");
const NOT_A_FILE: (i32, &str) = (4, "solo-1-1.0-x86_64.pkg.tar.zst is not a file");

pub(super) fn attacks(forge: &Forge<'_>) -> Vec<Attack> {
    let good = forge.packed(&forge.solo(|_| {}));
    let mut attacks = names(&good);
    attacks.extend(kinds(&good));
    attacks.extend(sizes(&good));
    attacks.extend(sets(forge, &good));
    attacks
}

/// The upload with its members renamed.
fn renamed(good: &[RawMember], rename: impl Fn(&str) -> Vec<u8>) -> Vec<RawMember> {
    let mut members = good.to_vec();
    for member in &mut members {
        member.path = rename(&String::from_utf8(member.path.clone()).unwrap());
    }
    members
}

fn names(good: &[RawMember]) -> Vec<Attack> {
    let prefixed = |prefix: &str| renamed(good, |name| format!("{prefix}{name}").into_bytes());
    let long = "x".repeat(300);
    let mut overridden = vec![RawMember::pax(&[("path", "b\0c")])];
    overridden.extend_from_slice(good);
    vec![
        Attack::new("traversal", MISSING, &prefixed("../")),
        Attack::new("traversal to the state", MISSING, &prefixed("../package-states/")),
        Attack::new("an absolute name", MISSING, &prefixed("/etc/")),
        Attack::new("in a directory", MISSING, &prefixed("pool/")),
        Attack::new("a leading dash", MISSING, &prefixed("--config=")),
        Attack::new("a temporary name", MISSING, &prefixed(".")),
        Attack::new("a name of 300 bytes", MISSING, &prefixed(&long)),
        Attack::new(
            "a look-alike letter",
            MISSING,
            &renamed(good, |name| name.replace("solo", "s\u{43e}lo").into_bytes()),
        ),
        Attack::new(
            "a name with a newline",
            (4, "the path"),
            &renamed(good, |name| format!("x\n{name}").into_bytes()),
        ),
        Attack::new(
            "a name with an escape sequence",
            (4, "the path"),
            &renamed(good, |name| format!("\u{1b}[2J{name}").into_bytes()),
        ),
        Attack::new("a pax name with a NUL", (4, "the path"), &overridden),
    ]
}

fn kinds(good: &[RawMember]) -> Vec<Attack> {
    let instead = |kind: u8, link: &str| [RawMember::new(kind, SOLO, link), good[1].clone()];
    let with_header = |kind: u8| {
        let header = RawMember {
            kind,
            ..RawMember::pax(&[("path", SOLO)])
        };
        [vec![header], good.to_vec()].concat()
    };
    let two_names = [
        RawMember {
            kind: b'L',
            ..RawMember::file("././@LongLink", b"innocent\0")
        },
        RawMember::pax(&[("path", SOLO)]),
        good[0].clone(),
        good[1].clone(),
    ];
    vec![
        Attack::new("a symbolic link", NOT_A_FILE, &instead(b'2', "/etc/shadow")),
        Attack::new("a hard link", NOT_A_FILE, &instead(b'1', "../build-list")),
        Attack::new("a device", NOT_A_FILE, &instead(b'3', "")),
        Attack::new("a pipe", NOT_A_FILE, &instead(b'6', "")),
        Attack::new("a directory", NOT_A_FILE, &instead(b'5', "")),
        Attack::new("a sparse member", (4, "a sparse member"), &instead(b'S', "")),
        Attack::new(
            "a header for all",
            (4, "for all members that follow"),
            &with_header(b'g'),
        ),
        Attack::new("two names for one", (4, "a member with two names"), &two_names),
        Attack::new(
            "a header without a member",
            (4, "without a member"),
            &[good.to_vec(), vec![RawMember::pax(&[("mtime", "1")])]].concat(),
        ),
    ]
}

fn sizes(good: &[RawMember]) -> Vec<Attack> {
    let crowd: Vec<RawMember> = (0..10_001)
        .map(|number| RawMember::file(format!("{number}"), ""))
        .collect();
    let mut crowded = Attack::new("10,001 members", (4, "10000 members"), &crowd);
    crowded.settings.push(("PORTSMITH_UPLOAD_LIMIT_MIB", "100".to_owned()));
    let endless = RawMember {
        size: Some(6 << 30),
        ..good[0].clone()
    };
    let huge_name = RawMember {
        kind: b'L',
        ..RawMember::file("././@LongLink", vec![b'x'; 100_000])
    };
    let mut broken = raw_tar(good);
    broken[0] ^= 1;
    let mut behind = raw_tar(good);
    behind.extend_from_slice(b"more");
    behind.resize(behind.len() + 508, 0);
    vec![
        Attack::new(
            "larger than the limit",
            (4, "exceeds a limit"),
            &[RawMember::file(SOLO, vec![7; 2 << 20])],
        ),
        crowded,
        Attack::new("a member that claims 6 GiB", (1, "cut off"), &[endless]),
        Attack::new(
            "a name of 100,000 bytes",
            (4, "an extension header of 100000 bytes"),
            &[huge_name],
        ),
        Attack::of_bytes("a wrong checksum", (1, "cannot be read"), broken),
        Attack::of_bytes("more behind the end", (4, "behind its end"), behind),
    ]
}

fn sets(forge: &Forge<'_>, good: &[RawMember]) -> Vec<Attack> {
    let packed = |spec: PackageSpec| forge.signed(&spec.file_name(), &zstd(&raw_tar(&spec.members())));
    let with = |spec: PackageSpec| [good.to_vec(), packed(spec)].concat();
    let uncompressed = forge.signed("solo-1-1.0-x86_64.pkg.tar", &raw_tar(&forge.solo(|_| {})));
    vec![
        Attack::new("nothing at all", MISSING, &[]),
        Attack::new("only a signature", MISSING, &good[1..]),
        Attack::new(
            "twice the same",
            (4, "is in it twice"),
            &[good[0].clone(), good[0].clone()],
        ),
        Attack::new(
            "twice in different compressions",
            (4, "a package is there twice"),
            &[good.to_vec(), uncompressed].concat(),
        ),
        Attack::new(
            "one more",
            (4, "unexpected: evil-1-1.0"),
            &with(PackageSpec::new("evil", "1-1.0")),
        ),
        Attack::new(
            "another case",
            (4, "unexpected: Solo-1-1.0"),
            &with(PackageSpec::new("Solo", "1-1.0")),
        ),
        Attack::new(
            "another sub-release",
            (4, "missing: solo-1-1.0; unexpected: solo-1-1.1"),
            &packed(PackageSpec::new("solo", "1-1.1")),
        ),
        Attack::new(
            "another version",
            (4, "unexpected: solo-999-1.0"),
            &packed(PackageSpec::new("solo", "999-1.0")),
        ),
        Attack::new(
            "another epoch",
            (4, "unexpected: solo-1:1-1.0"),
            &packed(PackageSpec::new("solo", "1:1-1.0")),
        ),
        Attack::new(
            "another architecture",
            (4, "unexpected: solo-1-1.0-aarch64"),
            &packed(PackageSpec::new("solo", "1-1.0").arch("aarch64")),
        ),
    ]
}
