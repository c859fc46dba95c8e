//! The records that describe the next entry of a tar (POSIX.1-2017, pax, "pax Extended Header"): `<length> <key>=<value>\n`. The length
//! decides where one ends, as in Go's `archive/tar`, which unpacks images: a value may hold what looks like the next record.

/// The records, in their order; an error stands where they go on in no such form.
pub(super) fn records(bytes: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), NoRecord>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (found, after) =
            record(rest).map_or((Err(NoRecord), &[][..]), |(found, after)| (Ok(found), after));
        rest = after;
        Some(found)
    })
}

/// The bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry is described in a form that is not known")]
pub(super) struct NoRecord;

type Record<'bytes> = (&'bytes [u8], &'bytes [u8]);

fn record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(bytes.get(..space)?).ok()?.parse().ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some(((record.get(..equals)?, record.get(equals + 1..)?), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<Record<'_>>, NoRecord> {
        records(bytes).collect()
    }

    #[test]
    fn a_value_ends_where_its_length_says() {
        assert_eq!(read(b"").unwrap(), []);
        let two = b"8 a=b=c\n12 path=x/y\n";
        assert_eq!(read(two).unwrap(), [(&b"a"[..], &b"b=c"[..]), (b"path", b"x/y")]);
        // An attribute of a file may hold any bytes, a record that is none among them.
        let inside = b"26 xattr=\n\n13 path=fake\n\n\n9 path=x\n";
        assert_eq!(inside.len(), 26 + 9);
        assert_eq!(read(inside).unwrap(), [(&b"xattr"[..], &b"\n\n13 path=fake\n\n"[..]), (b"path", b"x")]);
    }

    #[test]
    fn what_is_no_record_is_an_error_and_not_skipped() {
        for bad in [
            "x",
            "9 path=x",
            "11 path=x\n",
            "5 path=x\n",
            "0 \n",
            "7 path\n",
            "-1 a=b\n",
            " a=b\n",
            "99999999999999999999999 a=b\n",
        ] {
            assert_eq!(read(bad.as_bytes()), Err(NoRecord), "{bad}");
        }
        assert_eq!(read(b"6 a=b\n\0\0"), Err(NoRecord));
    }
}
