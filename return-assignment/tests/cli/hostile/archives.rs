//! The package file: compression, limits, and members that no package has.

use std::io::Write as _;

use testkit::raw_tar::{RawMember, raw_tar};

use super::{Attack, Forge, SOLO, zstd};

pub(super) fn attacks(forge: &Forge<'_>) -> Vec<Attack> {
    let mut attacks = compression(forge);
    attacks.extend(paths(forge));
    attacks.extend(links(forge));
    attacks.extend(headers(forge));
    attacks
}

/// A tar whose last file has so many zeros, compressed by what `encode` makes.
fn bomb<W: std::io::Write>(zeros: u64, mut encoder: W) -> W {
    let file = RawMember {
        size: Some(zeros),
        ..RawMember::file("usr/zeros", "")
    };
    let tar = raw_tar(&[file]);
    encoder.write_all(&tar[..tar.len() - 1024]).unwrap();
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), zeros + 1024), &mut encoder).unwrap();
    encoder
}

fn compression(forge: &Forge<'_>) -> Vec<Attack> {
    let plain = raw_tar(&forge.solo(|_| {}));
    let good = zstd(&plain);
    let mut wide = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    wide.window_log(30).unwrap();
    wide.write_all(&plain).unwrap();
    let zstd_bomb = bomb(150 << 20, zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap());
    let gzip_bomb = bomb(
        80 << 20,
        flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()),
    );
    let attack = |name, expected, content: &[u8]| Attack::new(name, expected, &forge.signed(SOLO, content));
    let as_gzip = |name, expected, content: &[u8]| {
        Attack::new(name, expected, &forge.signed("solo-1-1.0-x86_64.pkg.tar.gz", content))
    };
    vec![
        attack("a zstd bomb", (4, "bytes expanded"), &zstd_bomb.finish().unwrap()),
        as_gzip("a gzip bomb", (4, "bytes expanded"), &gzip_bomb.finish().unwrap()),
        attack("a window of 1 GiB", (4, "cannot be read"), &wide.finish().unwrap()),
        attack("no bytes", (4, "archive"), b""),
        attack("no archive", (4, "archive"), b"hello"),
        attack("no compression", (4, "archive"), &plain),
        attack("cut off", (4, "archive"), &good[..good.len() - 9]),
        attack("garbage behind", (4, "archive"), &[&good[..], b"garbage"].concat()),
        attack("a damaged byte", (4, SOLO), &{
            let mut damaged = good.clone();
            let middle = damaged.len() / 2;
            damaged[middle] ^= 0x55;
            damaged
        }),
        attack("no end mark", (4, "cut off"), &zstd(&plain[..plain.len() - 1024])),
        attack(
            "another archive behind",
            (4, "behind its end"),
            &zstd(&[&plain[..], &plain[..]].concat()),
        ),
        as_gzip("zstd called gzip", (4, "archive"), &good),
        Attack::new(
            "an xz dictionary of 4 GiB",
            (4, "memory"),
            &forge.signed("solo-1-1.0-x86_64.pkg.tar.xz", &with_large_dictionary(&plain)),
        ),
        Attack {
            settings: vec![("PORTSMITH_UPLOAD_LIMIT_MIB", "100".to_owned())],
            ..attack("more than a million members", (4, "1000000 members"), &crowded())
        },
    ]
}

/// An xz stream that asks its reader for as much memory as the format knows.
fn with_large_dictionary(bytes: &[u8]) -> Vec<u8> {
    const STREAM_HEADER: usize = 12;
    const LZMA2: [u8; 2] = [0x21, 1];
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
    encoder.write_all(bytes).unwrap();
    let mut stream = encoder.finish().unwrap();
    // The block's header: its length in fours less one, flags, the filter with the size of its dictionary, a checksum.
    let length = (usize::from(stream[STREAM_HEADER]) + 1) * 4;
    let (header, checksum) = stream[STREAM_HEADER..STREAM_HEADER + length].split_at_mut(length - 4);
    let filter = header.windows(2).position(|bytes| bytes == LZMA2).unwrap();
    header[filter + LZMA2.len()] = 40;
    let mut crc = flate2::Crc::new();
    crc.update(header);
    checksum.copy_from_slice(&crc.sum().to_le_bytes());
    stream
}

/// A package of 1,000,001 empty files.
fn crowded() -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    for number in 0..=1_000_000 {
        let archive = raw_tar(&[RawMember::file(format!("f{number}"), "")]);
        encoder.write_all(&archive[..512]).unwrap();
    }
    encoder.write_all(&[0; 1024]).unwrap();
    encoder.finish().unwrap()
}

fn paths(forge: &Forge<'_>) -> Vec<Attack> {
    let attack = |name, said, path: &str| {
        let members = forge.solo(|members| members.push(RawMember::file(path, "root::0:0::/:\n")));
        Attack::new(name, (4, said), &forge.packed(&members))
    };
    let plain = "not a plain relative path";
    vec![
        attack("traversal", plain, "../../etc/passwd"),
        attack("traversal in the middle", plain, "usr/../etc/passwd"),
        attack("an absolute path", plain, "/etc/passwd"),
        attack("a dot", plain, "./etc/passwd"),
        attack("a doubled slash", plain, "etc//passwd"),
        attack("a newline", "the path", "etc/pass\nwd"),
        attack("an escape sequence", "the path", "etc/\u{1b}]0;x"),
        attack(
            "a path of 5,000 bytes",
            "a path of 5000 bytes",
            &"x/".repeat(2500)[..5000].replace("x/", "xx"),
        ),
        attack(
            "a file that ends as a directory",
            "none of a directory's",
            "etc/passwd/",
        ),
        attack("hidden at the top", "hidden at the top", ".profile"),
        attack("hidden below the top", "hidden at the top", ".ssh/authorized_keys"),
        attack("the same file twice", "is in it twice", "usr/share/solo/README"),
        attack("a file and a directory", "is in it twice", "usr/share/solo"),
    ]
}

fn links(forge: &Forge<'_>) -> Vec<Attack> {
    let attack = |name, said, more: &[RawMember]| {
        let members = forge.solo(|members| members.extend_from_slice(more));
        Attack::new(name, (4, said), &forge.packed(&members))
    };
    let other = |kind: u8, path: &str, link: &str| RawMember::new(kind, path, link);
    vec![
        attack("a device", "is a device", &[other(b'3', "usr/null", "")]),
        attack("a block device", "is a device", &[other(b'4', "usr/sda", "")]),
        attack("a pipe", "is a device", &[other(b'6', "usr/pipe", "")]),
        attack("an unknown type", "is a device", &[other(b'Z', "usr/x", "")]),
        attack(
            "a hard link to the host",
            "did not come before",
            &[other(b'1', "usr/shadow", "/etc/shadow")],
        ),
        attack(
            "a hard link forward",
            "did not come before",
            &[other(b'1', "usr/one", "usr/two"), RawMember::file("usr/two", "")],
        ),
        attack(
            "a hard link to a directory",
            "did not come before",
            &[other(b'1', "usr/one", "usr/share")],
        ),
        attack(
            "through a symbolic link",
            "leads through what is no directory",
            &[other(b'2', "usr/lib", "/etc"), RawMember::file("usr/lib/passwd", "")],
        ),
        attack(
            "through a symbolic link that comes later",
            "leads through what is no directory",
            &[RawMember::file("usr/lib/passwd", ""), other(b'2', "usr/lib", "/etc")],
        ),
        attack("a link to nothing", "the path", &[other(b'2', "usr/lib", "")]),
        attack(
            "a link with content",
            "is no file and has",
            &[RawMember {
                kind: b'2',
                link: b"x".to_vec(),
                ..RawMember::file("usr/lib", "content")
            }],
        ),
    ]
}

fn headers(forge: &Forge<'_>) -> Vec<Attack> {
    let attack = |name, said, more: &[RawMember]| {
        let mut members = forge.solo(|_| {});
        members.extend_from_slice(more);
        Attack::new(name, (4, said), &forge.packed(&members))
    };
    let named = |member: RawMember| [member, RawMember::file("usr/x", "")];
    let long = |length: usize| RawMember {
        kind: b'L',
        ..RawMember::file("././@LongLink", vec![b'x'; length])
    };
    vec![
        attack(
            "a sparse file",
            "a sparse member",
            &named(RawMember::new(b'S', "usr/s", "")),
        ),
        attack(
            "a sparse file by pax",
            "a sparse member",
            &named(RawMember::pax(&[("GNU.sparse.major", "1")])),
        ),
        attack(
            "a size by pax",
            "8 GiB or more",
            &named(RawMember::pax(&[("size", "1099511627776")])),
        ),
        attack(
            "a size that is not there",
            "cut off",
            &[RawMember {
                size: Some(7 << 30),
                ..RawMember::file("usr/x", "")
            }],
        ),
        attack("a name of 100,000 bytes", "an extension header", &named(long(100_000))),
        attack(
            "two names for one",
            "two names",
            &[long(20), RawMember::pax(&[("path", "y")]), RawMember::file("z", "")],
        ),
        attack(
            "a pax name out of the root",
            "not a plain relative path",
            &named(RawMember::pax(&[("path", "../x")])),
        ),
        attack(
            "a pax header that is none",
            "a pax header that cannot be read",
            &named(RawMember {
                kind: b'x',
                ..RawMember::file("PaxHeaders/x", "nonsense")
            }),
        ),
        attack(
            "a header for all members",
            "for all members that follow",
            &named(RawMember {
                kind: b'g',
                ..RawMember::pax(&[("path", "y")])
            }),
        ),
    ]
}
