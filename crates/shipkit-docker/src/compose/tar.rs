//! The archives in which the engine hands over files of a container: plain files in one folder, and no more.

use jiff::Timestamp;

const BLOCK: usize = 512;

/// A plain file out of an archive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name without folders.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// When it was last written, in whole seconds.
    pub(crate) modified: Timestamp,
}

/// An archive with one file that everybody may read.
pub(crate) fn pack(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(BLOCK);
    let mut field = |bytes: &[u8], width: usize| {
        let end = header.len() + width;
        header.extend(bytes.iter().take(width));
        header.resize(end, 0);
    };
    field(name.as_bytes(), 100);
    field(b"0000644\0", 8);
    field(b"0000000\0", 8);
    field(b"0000000\0", 8);
    field(format!("{:011o}\0", bytes.len()).as_bytes(), 12);
    field(b"00000000000\0", 12);
    // The sum counts itself as spaces.
    field(b"        ", 8);
    field(b"0", 1);
    field(b"", 100);
    field(b"ustar\0\x30\x30", 8);
    field(b"", BLOCK - 265);
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    for (place, byte) in header.iter_mut().skip(148).zip(sum.bytes()) {
        *place = byte;
    }
    let mut archive = header;
    archive.extend_from_slice(bytes);
    archive.resize(archive.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    archive
}

/// The plain files of an archive; what is damaged ends it.
pub(crate) fn unpack(mut archive: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    while let Some((header, rest)) = archive.split_at_checked(BLOCK) {
        let Some(size) = octal(header, 124, 12).and_then(|size| usize::try_from(size).ok()) else { break };
        let Some((content, _)) = rest.split_at_checked(size) else { break };
        let path = text(header, 0, 100);
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_plain = matches!(header.get(156), Some(b'0' | 0));
        let modified = octal(header, 136, 12).and_then(|seconds| i64::try_from(seconds).ok());
        let modified = modified.and_then(|seconds| Timestamp::from_second(seconds).ok());
        if let (true, false, Some(modified)) = (is_plain, name.is_empty(), modified) {
            entries.push(Entry { name: name.to_owned(), bytes: content.to_vec(), modified });
        }
        let Some((_, next)) = rest.split_at_checked(size.next_multiple_of(BLOCK)) else { break };
        archive = next;
    }
    entries
}

fn text(header: &[u8], from: usize, width: usize) -> String {
    let field = header.iter().skip(from).take(width).take_while(|byte| **byte != 0);
    String::from_utf8_lossy(&field.copied().collect::<Vec<_>>()).into_owned()
}

fn octal(header: &[u8], from: usize, width: usize) -> Option<u64> {
    u64::from_str_radix(text(header, from, width).trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again() {
        for content in ["", "x", &"y".repeat(BLOCK)] {
            let entries = unpack(&pack("api.conf", content.as_bytes()));
            let expected = Entry {
                name: "api.conf".to_owned(),
                bytes: content.as_bytes().to_vec(),
                modified: Timestamp::UNIX_EPOCH,
            };
            assert_eq!(entries, [expected]);
        }
    }

    #[test]
    fn folders_are_left_out_and_names_are_without_them() {
        let mut folder = pack("shipkit/", b"");
        folder[156] = b'5';
        folder.truncate(BLOCK);
        folder.extend(pack("shipkit/api.conf", b"x"));
        let names: Vec<String> = unpack(&folder).into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["api.conf"]);
    }

    #[test]
    fn what_breaks_off_or_lies_about_its_size_does_no_harm() {
        let whole = pack("api.conf", &[b'x'; 600]);
        for length in [0, 100, 512, 600, 1100] {
            assert!(unpack(&whole[..length]).is_empty(), "{length}");
        }
        let mut liar = pack("api.conf", b"x");
        liar[124..135].copy_from_slice(b"77777777777");
        assert!(unpack(&liar).is_empty());
    }
}
