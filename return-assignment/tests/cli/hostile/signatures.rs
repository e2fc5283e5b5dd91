//! Signatures: missing, malformed, of other files, by other keys, several, expired, revoked.

use std::fs;
use std::path::Path;

use common::process::Command;
use testkit::gpg::GpgHome;
use testkit::raw_tar::{RawMember, raw_tar};

use super::{Attack, Forge, SOLO, zstd};
use crate::master::put;

/// A time at which signatures of the past are made.
const PAST: &str = "20200101T000000";

pub(super) fn attacks(forge: &Forge<'_>) -> Vec<Attack> {
    let content = zstd(&raw_tar(&forge.solo(|_| {})));
    let good = forge.signed(SOLO, &content)[1].content.clone();
    let mut attacks = malformed(&content, &good);
    attacks.extend(misused(forge, &content, &good));
    attacks.extend(foreign(forge, &content));
    attacks
}

fn attack(name: &'static str, said: &'static str, (content, signature): (&[u8], &[u8])) -> Attack {
    let members = [
        RawMember::file(SOLO, content),
        RawMember::file(format!("{SOLO}.sig"), signature),
    ];
    Attack::new(name, (3, said), &members)
}

fn malformed(content: &[u8], good: &[u8]) -> Vec<Attack> {
    let of = |name, said, signature: &[u8]| attack(name, said, (content, signature));
    let unusual = "not one binary signature of usual size";
    let mut damaged = good.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    vec![
        Attack::new(
            "no signature",
            (3, "has no signature"),
            &[RawMember::file(SOLO, content)],
        ),
        of("an empty signature", unusual, b""),
        of("a signature of 20,000 bytes", unusual, &[7; 20_000]),
        of("an armored signature", unusual, b"-----BEGIN PGP SIGNATURE-----\n"),
        of("text for a signature", unusual, b"signed, the builder"),
        of("half a signature", unusual, &good[..good.len() / 2]),
        of("a damaged signature", "does not belong to this file", &damaged),
        of("garbage behind a signature", unusual, &[good, b"garbage"].concat()),
        of("the same signature twice", unusual, &[good, good].concat()),
        of(
            "the package as its own signature",
            unusual,
            &content[..content.len().min(16_000)],
        ),
    ]
}

/// What gpg makes of the package with these arguments.
fn made_by(home: &GpgHome, arguments: &[&str], file: &Path) -> Vec<u8> {
    let output = file.with_extension("made");
    home.gpg()
        .args(["--yes", "--no-armor", "--output"])
        .arg(&output)
        .args(arguments)
        .arg(file)
        .run()
        .unwrap();
    fs::read(output).unwrap()
}

/// What a key of the past, which the keyring trusts ultimately, signed for a day when it was new.
fn made_long_ago(keyring: &GpgHome, [name, lifetime]: [&str; 2], file: &Path) -> Vec<u8> {
    let past = ["--faked-system-time", PAST];
    let generate = [
        "--passphrase",
        "",
        "--pinentry-mode",
        "loopback",
        "--quick-generate-key",
        name,
    ];
    let command = keyring
        .gpg()
        .args(past)
        .args(generate)
        .args(["ed25519", "sign,cert", lifetime]);
    command.run().unwrap();
    let signing = ["--local-user", name, "--detach-sign"];
    // The key that expires is the only thing that is wrong with its signature.
    let expiry: &[&str] = if lifetime == "never" {
        &["--default-sig-expire", "1d"]
    } else {
        &[]
    };
    made_by(keyring, &[&past[..], expiry, &signing].concat(), file)
}

fn misused(forge: &Forge<'_>, content: &[u8], good: &[u8]) -> Vec<Attack> {
    let keyring = &forge.master.keyring;
    let path = forge.file(SOLO, content);
    let with = |arguments: &[&str]| made_by(keyring, arguments, &path);
    let of_another = forge.signed("other", b"another file")[1].content.clone();
    let of_text = with(&["--textmode", "--detach-sign"]);
    let early = with(&["--faked-system-time", PAST, "--ignore-time-conflict", "--detach-sign"]);
    let expired = made_long_ago(keyring, ["old", "never"], &path);
    let by_expired_key = made_long_ago(keyring, ["expired", "2d"], &path);
    let key = keyring.gpg().arg("--export").run().unwrap().stdout;
    let mut tampered = content.to_vec();
    tampered.extend_from_slice(&zstd(b""));
    let mut bound = attack("a key of another builder", "is none of the keys of b1", (content, good));
    let keys = forge.file("builder-keys", format!("b1 {}\n", "F".repeat(40)).as_bytes());
    bound
        .settings
        .push(("PORTSMITH_BUILDER_KEYS", keys.display().to_string()));
    vec![
        attack(
            "a signature of another file",
            "does not belong to this file",
            (content, &of_another),
        ),
        attack(
            "a file changed after it was signed",
            "does not belong to this file",
            (&tampered, good),
        ),
        attack(
            "a signed message",
            "not one binary signature",
            (content, &with(&["--sign"])),
        ),
        attack("a signature of a text", "is not one of a file", (content, &of_text)),
        attack("an expired signature", "it has expired", (content, &expired)),
        attack("an expired key", "its key has expired", (content, &by_expired_key)),
        attack("a signature older than its key", "is not accepted", (content, &early)),
        attack("a key for a signature", "not one binary signature", (content, &key)),
        bound,
    ]
}

fn foreign(forge: &Forge<'_>, content: &[u8]) -> Vec<Attack> {
    let path = forge.file(SOLO, content);
    let keyring = &forge.master.keyring;
    let home = |name: &str| GpgHome::new(name).unwrap();
    let by = |other: &GpgHome| made_by(other, &["--detach-sign"], &path);
    let run = |command: Command| drop(command.run().unwrap());

    let unknown = home("unknown");
    let untrusted = home("untrusted");
    keyring.import(&untrusted).unwrap();
    let revoked = home("revoked");
    let signature_of_revoked = by(&revoked);
    let certificate = revoked
        .path()
        .join(format!("openpgp-revocs.d/{}.rev", revoked.fingerprint()));
    // gpg protects the certificate from being imported by mistake with a colon before its first line.
    let text = fs::read_to_string(&certificate)
        .unwrap()
        .replace(":-----BEGIN", "-----BEGIN");
    put(&certificate, text.as_bytes());
    run(revoked.gpg().arg("--import").arg(&certificate));
    keyring.import(&revoked).unwrap();
    let both = [made_by(keyring, &["--detach-sign"], &path), by(&unknown)].concat();
    vec![
        attack(
            "an unknown key",
            "its key is not in the keyring",
            (content, &by(&unknown)),
        ),
        attack(
            "a key that nobody trusts",
            "its key is not trusted",
            (content, &by(&untrusted)),
        ),
        attack(
            "a revoked key",
            "its key has been revoked",
            (content, &signature_of_revoked),
        ),
        attack(
            "a good signature and a foreign one",
            "not one binary signature",
            (content, &both),
        ),
    ]
}
