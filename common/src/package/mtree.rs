//! `.MTREE`: the files of a package with sizes and checksums, as makepkg has bsdtar write them and `pacman -Qkk` reads them.
//!
//! Format (mtree(5)): `#` comments, `/set key=value…` for what follows, then `./path key=value…`; blanks and other special
//! bytes of a path are `\` and three octal digits. Usually compressed with gzip.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;

use crate::archive::{Kind, Member};

/// Longest list in bytes, without its compression: a line of makepkg's has about 200.
const MAX_SIZE: u64 = 256 << 20;
/// Longest line in bytes.
const MAX_LINE: u64 = 64 << 10;

/// Whether the list and the files of a package agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// There is no list.
    Missing,
    /// They agree.
    Agrees,
    /// They do not, or the list cannot be read; what is wrong.
    Differs(String),
}

/// What a line says of the type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Type {
    #[default]
    File,
    Directory,
    Link,
    Other,
}

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Attributes {
    kind: Type,
    size: Option<u64>,
    sha256: Option<String>,
    link: Option<String>,
}

impl Attributes {
    fn with<'a>(mut self, words: impl Iterator<Item = &'a [u8]>) -> Self {
        for (key, value) in words.filter_map(split) {
            match key {
                b"type" => {
                    self.kind = match value {
                        b"file" => Type::File,
                        b"dir" => Type::Directory,
                        b"link" => Type::Link,
                        _ => Type::Other,
                    }
                }
                b"size" => self.size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
                b"sha256digest" | b"sha256" => self.sha256 = Some(unescape(value)),
                b"link" => self.link = Some(unescape(value)),
                _ => {}
            }
        }
        self
    }
}

thread_local! {
    // A decoder's memory is larger than most lists, and new memory takes longer than to read them.
    static DECODER: RefCell<GzDecoder<Cursor<Vec<u8>>>> = RefCell::new(GzDecoder::new(Cursor::default()));
}

/// The list, out of which members are crossed off as they come.
#[derive(Debug, Default)]
pub(super) struct Mtree {
    expected: BTreeMap<String, Attributes>,
    complaint: Option<String>,
}

impl Mtree {
    /// Reads the list. One that cannot be read has something to complain of.
    pub(super) fn read(content: Vec<u8>) -> Self {
        let parsed = if content.starts_with(&[0x1f, 0x8b]) {
            DECODER.with_borrow_mut(|decoder| {
                drop(decoder.reset(Cursor::new(content)));
                let expected = parse(&mut *decoder)?;
                let rest = decoder.get_ref();
                if rest.position() < rest.get_ref().len() as u64 {
                    return Err("there is something behind it".to_owned());
                }
                Ok(expected)
            })
        } else {
            parse(&content[..])
        };
        match parsed {
            Ok(expected) => Self {
                expected,
                complaint: None,
            },
            Err(complaint) => Self {
                expected: BTreeMap::new(),
                complaint: Some(complaint),
            },
        }
    }

    /// Compares a member with its line; `sha256` is that of a file's content.
    pub(super) fn cross_off(&mut self, member: &Member, sha256: &str) {
        if self.complaint.is_some() {
            return;
        }
        let path = member.path.trim_end_matches('/');
        self.complaint = match self.expected.remove(path) {
            None => Some(format!("it does not name {path}")),
            Some(expected) => differs(&expected, member, sha256).map(|what| format!("{path} has another {what}")),
        };
    }

    /// What came out of it.
    pub(super) fn verdict(self) -> Manifest {
        let absent = || {
            let path = self.expected.into_keys().next()?;
            Some(format!("it names {path}, which is not there"))
        };
        self.complaint
            .or_else(absent)
            .map_or(Manifest::Agrees, Manifest::Differs)
    }
}

fn differs(expected: &Attributes, member: &Member, sha256: &str) -> Option<&'static str> {
    let kind = match member.kind {
        // One more name of a file is a file on the disk.
        Kind::File | Kind::HardLink => Type::File,
        Kind::Directory => Type::Directory,
        Kind::SymbolicLink => Type::Link,
        Kind::Other => Type::Other,
    };
    if expected.kind != kind {
        return Some("type");
    }
    match member.kind {
        Kind::File if expected.size != Some(member.size) => Some("size"),
        Kind::File if expected.sha256.as_deref() != Some(sha256) => Some("checksum"),
        Kind::SymbolicLink if expected.link.is_some() && expected.link != member.target => Some("target"),
        _ => None,
    }
}

fn parse(stream: impl Read) -> Result<BTreeMap<String, Attributes>, String> {
    let mut reader = BufReader::new(stream.take(MAX_SIZE));
    let mut defaults = Attributes::default();
    let mut expected = BTreeMap::new();
    let mut is_begun = false;
    let mut line = Vec::new();
    loop {
        line.clear();
        let got = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        if got.map_err(|error| format!("it cannot be read: {error}"))? == 0 {
            break;
        }
        if line.pop() != Some(b'\n') {
            return Err("it is cut off or has a line that is too long".to_owned());
        }
        let mut words = line.split(|c| *c == b' ').filter(|word| !word.is_empty());
        match words.next() {
            None => {}
            Some(word) if word.starts_with(b"#") => is_begun = true,
            Some(b"/set") => defaults = defaults.with(words),
            Some(path) if path.starts_with(b"./") => {
                let attributes = defaults.clone().with(words);
                match expected.entry(unescape(&path[2..])) {
                    Entry::Vacant(entry) => {
                        entry.insert(attributes);
                    }
                    Entry::Occupied(entry) => return Err(format!("it names {} twice", entry.key())),
                }
            }
            Some(_) => return Err("it has a line that is not understood".to_owned()),
        }
    }
    if is_begun {
        Ok(expected)
    } else {
        Err("it is none".to_owned())
    }
}

fn split(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = word.iter().position(|c| *c == b'=')?;
    Some((&word[..at], &word[at + 1..]))
}

/// Takes octal escapes off; what is not UTF-8 is replaced as in the names of members.
fn unescape(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let digits = after
            .first_chunk::<3>()
            .filter(|digits| digits.iter().all(|c| matches!(c, b'0'..=b'7')));
        match (first, digits) {
            (b'\\', Some([a, b, c])) => {
                bytes.push(((a & 3) << 6) | ((b & 7) << 3) | (c & 7));
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "#mtree\n/set type=file uid=0 gid=0 mode=644\n./.PKGINFO time=1.0 size=3 sha256digest=aa\n\
        ./usr time=1.0 mode=755 type=dir\n./usr/a\\040b size=1 sha256digest=bb\n./usr/l type=link link=a\\040b\n";

    fn member(path: &str, kind: Kind, size: u64) -> Member {
        let target = (kind == Kind::SymbolicLink).then(|| "a b".to_owned());
        Member {
            path: path.to_owned(),
            kind,
            size,
            target,
        }
    }

    fn verdict(list: &str, change: impl Fn(&mut Vec<(Member, &str)>)) -> Manifest {
        let mut mtree = Mtree::read(list.into());
        let mut members = vec![
            (member(".PKGINFO", Kind::File, 3), "aa"),
            (member("usr/", Kind::Directory, 0), ""),
            (member("usr/a b", Kind::File, 1), "bb"),
            (member("usr/l", Kind::SymbolicLink, 0), ""),
        ];
        change(&mut members);
        for (member, sha256) in &members {
            mtree.cross_off(member, sha256);
        }
        mtree.verdict()
    }

    #[test]
    fn a_list_agrees_with_the_files_that_it_names() {
        assert_eq!(verdict(LIST, |_| {}), Manifest::Agrees);
    }

    #[test]
    fn what_is_missing_added_or_changed_is_said() {
        type Change = fn(&mut Vec<(Member, &str)>);
        let changes: [(&str, Change); 6] = [
            ("names usr/l, which is not there", |members| drop(members.pop())),
            ("does not name usr/x", |members| {
                members.push((member("usr/x", Kind::File, 0), ""))
            }),
            ("usr/a b has another checksum", |members| members[2].1 = "cc"),
            ("usr/a b has another size", |members| members[2].0.size = 2),
            ("usr/l has another target", |members| {
                members[3].0.target = Some("/etc".to_owned())
            }),
            ("usr has another type", |members| members[1].0.kind = Kind::File),
        ];
        for (said, change) in changes {
            let Manifest::Differs(complaint) = verdict(LIST, change) else {
                panic!("{said}");
            };
            assert!(complaint.contains(said), "{complaint}");
        }
    }

    #[test]
    fn compressed_lists_are_read_one_after_the_other_and_nothing_may_stand_behind_them() {
        use std::io::Write as _;
        let compressed = || {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(LIST.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let is_understood = |list: Vec<u8>| Mtree::read(list).complaint.is_none();
        let cut_off = || compressed()[..20].to_vec();
        let lists = [
            compressed(),
            cut_off(),
            compressed(),
            [compressed(), compressed()].concat(),
            compressed(),
        ];
        assert_eq!(lists.map(is_understood), [true, false, true, false, true]);
    }

    #[test]
    fn a_list_that_cannot_be_read_is_no_agreement() {
        for list in [
            "",
            "./a size=1\n",
            "#mtree\nnonsense\n",
            "#mtree\n./a\n./a\n",
            "#mtree\n./a size=1",
        ] {
            assert!(
                matches!(Mtree::read(list.into()).verdict(), Manifest::Differs(_)),
                "{list:?}"
            );
        }
    }
}
