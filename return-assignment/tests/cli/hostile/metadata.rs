//! What a package says of itself: names, versions, origin, manifest.

use testkit::package::PackageSpec;
use testkit::raw_tar::RawMember;

use super::{Attack, Forge};

pub(super) fn attacks(forge: &Forge<'_>) -> Vec<Attack> {
    let mut attacks = info(forge);
    attacks.extend(build_info(forge));
    attacks.extend(manifest(forge));
    attacks.extend(files(forge));
    attacks
}

fn info(forge: &Forge<'_>) -> Vec<Attack> {
    let attack = |name, said, from: &str, to: &str| {
        let members = forge.solo_saying(".PKGINFO", |text| {
            assert!(text.contains(from), "{from:?}");
            text.replacen(from, to, 1)
        });
        Attack::new(name, (4, said), &forge.packed(&members))
    };
    vec![
        attack(
            "another name inside",
            "holds evil 1-1.0",
            "pkgname = solo",
            "pkgname = evil",
        ),
        attack(
            "another version inside",
            "holds solo 9-1.0",
            "pkgver = 1-1.0",
            "pkgver = 9-1.0",
        ),
        attack("another architecture inside", "for any", "arch = x86_64", "arch = any"),
        attack(
            "another base inside",
            "it was built from a, not from solo",
            "pkgbase = solo",
            "pkgbase = a",
        ),
        attack("no name", "does not say pkgname", "pkgname = solo\n", ""),
        attack(
            "a name with a slash",
            "is refused",
            "pkgname = solo",
            "pkgname = ../solo",
        ),
        attack(
            "a version with a slash",
            "no version",
            "pkgver = 1-1.0",
            "pkgver = 1/../../x-1.0",
        ),
        attack(
            "two names",
            "says pkgname twice",
            "pkgname = solo",
            "pkgname = evil\npkgname = solo",
        ),
        attack("two versions", "says pkgver twice", "pkgver", "pkgver = 9-1\npkgver"),
        attack("no size", "no number for size", "size = 4096", "size = large"),
        attack(
            "a negative date",
            "no number for builddate",
            "builddate = 17",
            "builddate = -17",
        ),
        attack(
            "control characters",
            "control characters in .PKGINFO",
            "pkgdesc = ",
            "pkgdesc = \u{1b}[2J",
        ),
        attack("a NUL", "control characters in .PKGINFO", "pkgdesc = ", "pkgdesc = \0"),
    ]
}

fn build_info(forge: &Forge<'_>) -> Vec<Attack> {
    let attack = |name, said, from: &str, to: &str| {
        let members = forge.solo_saying(".BUILDINFO", |text| {
            assert!(text.contains(from), "{from:?}");
            text.replacen(from, to, 1)
        });
        let said = if said == "differs" {
            "say different things of"
        } else {
            said
        };
        Attack::new(name, (4, said), &forge.packed(&members))
    };
    let of = |name, said, spec: PackageSpec| Attack::new(name, (4, said), &forge.packed(&spec.members()));
    let spec = || PackageSpec::new("solo", "1-1.0");
    vec![
        attack("built as another name", "differs", "pkgname = solo", "pkgname = evil"),
        attack("built as another base", "differs", "pkgbase = solo", "pkgbase = evil"),
        attack("built as another version", "differs", "pkgver = 1-1.0", "pkgver = 1-9"),
        attack(
            "built for another architecture",
            "differs",
            "pkgarch = x86_64",
            "pkgarch = any",
        ),
        attack(
            "built by another packager",
            "differs",
            "packager = Tester",
            "packager = Mallory",
        ),
        attack("built at another time", "differs", "builddate = 17", "builddate = 16"),
        attack(
            "built nowhere",
            "in no directory that it names",
            "builddir = /build\n",
            "",
        ),
        of(
            "built at home",
            "it was built in /home/b1, not in /build",
            spec().build_line("builddir", "/home/b1"),
        ),
        of(
            "built by nobody",
            "does not say who made it",
            spec().packager("Unknown Packager"),
        ),
        of(
            "another base in all",
            "it was built from evil, not from solo",
            spec().base("evil"),
        ),
    ]
}

fn manifest(forge: &Forge<'_>) -> Vec<Attack> {
    let attack = |name, said, change: &dyn Fn(&mut Vec<RawMember>)| {
        let mut members = forge.solo(|_| {});
        change(&mut members);
        Attack::new(name, (4, said), &forge.packed(&members))
    };
    let replaced = |content: &[u8]| {
        let content = content.to_vec();
        move |members: &mut Vec<RawMember>| members[0].content = content.clone()
    };
    vec![
        attack("no manifest", "there is no .MTREE", &|members| drop(members.remove(0))),
        attack(
            "a manifest that is none",
            "cannot be read",
            &replaced(b"\x1f\x8bnonsense"),
        ),
        attack("an empty manifest", "it is none", &replaced(b"")),
        attack(
            "a manifest of one line only",
            "does not name .BUILDINFO",
            &replaced(b"#mtree\n"),
        ),
        attack(
            "a file that it does not name",
            "does not name usr/bin/evil",
            &|members| {
                members.push(RawMember::file("usr/bin/evil", ""));
            },
        ),
        attack(
            "a file that is not there",
            "names usr/share/solo/README, which",
            &|members| {
                members.pop();
            },
        ),
        attack("another content", "README has another checksum", &|members| {
            members.last_mut().unwrap().content[0] ^= 1;
        }),
        attack("another size", "README has another size", &|members| {
            members.last_mut().unwrap().content.push(b'x');
        }),
        attack("another kind", "README has another type", &|members| {
            let last = members.last_mut().unwrap();
            *last = RawMember::new(b'2', &last.path, "/etc/shadow");
        }),
    ]
}

fn files(forge: &Forge<'_>) -> Vec<Attack> {
    let without = |path: &str| forge.solo(|members| members.retain(|member| member.path != path.as_bytes()));
    let with = |member: RawMember| forge.solo(|members| members.push(member));
    let linked = forge.solo(|members| {
        let info = members.iter_mut().find(|member| member.path == b".PKGINFO").unwrap();
        *info = RawMember::new(b'2', ".PKGINFO", "usr/share/solo/README");
    });
    let attack = |name, said, members: &[RawMember]| Attack::new(name, (4, said), &forge.packed(members));
    let invalid = forge.solo(|members| {
        let info = members.iter_mut().find(|member| member.path == b".PKGINFO").unwrap();
        info.content.extend_from_slice(b"license = \xff\xfe\n");
    });
    vec![
        attack("no .PKGINFO", "there is no .PKGINFO", &without(".PKGINFO")),
        attack("no .BUILDINFO", "there is no .BUILDINFO", &without(".BUILDINFO")),
        attack(
            "a second .PKGINFO",
            ".PKGINFO is in it twice",
            &with(RawMember::file(".PKGINFO", "pkgname = x\n")),
        ),
        attack("a .PKGINFO that is a link", ".PKGINFO is not a file", &linked),
        attack(
            "an .INSTALL that is a device",
            "is a device",
            &with(RawMember::new(b'3', ".INSTALL", "")),
        ),
        attack(
            "a .PKGINFO in a directory only",
            "hidden at the top",
            &with(RawMember::file(".PKGINFO/x", "")),
        ),
        attack("a .PKGINFO that is not UTF-8", ".PKGINFO is not UTF-8", &invalid),
        attack(
            "a .PKGINFO of 2 MiB",
            "bytes of .PKGINFO",
            &forge.solo_saying(".PKGINFO", |text| format!("{text}{}", "# a comment\n".repeat(200_000))),
        ),
    ]
}
