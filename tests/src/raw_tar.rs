//! Tar archives of members that no library would write: any name, any type, any link, in any order and number.

/// One member, with its header as it is said and its content.
#[derive(Debug, Clone)]
pub struct RawMember {
    /// Its path, whatever the bytes.
    pub path: Vec<u8>,
    /// The type's byte: `0` a file, `1` a hard link, `2` a symbolic link, `3` a device, `5` a directory, `6` a pipe …
    pub kind: u8,
    /// Where a link leads.
    pub link: Vec<u8>,
    /// Its content.
    pub content: Vec<u8>,
    /// The size that the header says, when it lies.
    pub size: Option<u64>,
}

impl RawMember {
    /// A file.
    #[must_use]
    pub fn file(path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        Self {
            content: content.as_ref().to_owned(),
            ..Self::new(b'0', path, "")
        }
    }

    /// A member of any type, without content.
    #[must_use]
    pub fn new(kind: u8, path: impl AsRef<[u8]>, link: impl AsRef<[u8]>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            kind,
            link: link.as_ref().to_owned(),
            content: Vec::new(),
            size: None,
        }
    }

    /// A pax header for the next member.
    #[must_use]
    pub fn pax(records: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (key, value) in records {
            // The length counts its own digits.
            let rest = key.len() + value.len() + 3;
            let digits = (1..).find(|digits| (rest + digits).to_string().len() == *digits);
            text.push_str(&format!("{} {key}={value}\n", rest + digits.unwrap_or(0)));
        }
        Self {
            kind: b'x',
            ..Self::file("PaxHeaders/x", text)
        }
    }

    /// Appends header, content and padding.
    fn append(&self, archive: &mut Vec<u8>) {
        let mut header = tar::Header::new_ustar();
        let old = header.as_old_mut();
        old.name[..self.path.len().min(100)].copy_from_slice(&self.path[..self.path.len().min(100)]);
        old.linkname[..self.link.len().min(100)].copy_from_slice(&self.link[..self.link.len().min(100)]);
        old.linkflag = [self.kind];
        header.set_size(self.size.unwrap_or(self.content.len() as u64));
        header.set_mode(if self.kind == b'5' { 0o755 } else { 0o644 });
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(&self.content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
}

/// The archive, with its end mark. A name of more than 100 bytes gets a header of GNU's.
#[must_use]
pub fn raw_tar(members: &[RawMember]) -> Vec<u8> {
    let mut archive = Vec::new();
    for member in members {
        if member.path.len() > 100 {
            let long = RawMember {
                kind: b'L',
                ..RawMember::file("././@LongLink", [&member.path[..], &[0]].concat())
            };
            long.append(&mut archive);
        }
        member.append(&mut archive);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}
