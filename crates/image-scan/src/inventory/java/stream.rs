//! An archive of Java read once, from beginning to end, so that a large one is never in memory.
//!
//! What is in it stands behind a header each, and at the end a list says which of them count (APPNOTE.TXT 4.3). So whatever may be wanted is
//! read when it comes, and the list is held against that: where it names something at a place that was not read, nothing is known of it.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::DeflateDecoder;

use super::{DEPTH, Search, TEXT, WHOLE, artifact, is_archive, is_properties};
use crate::inventory::has_extension;

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const LISTED: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
/// A size or place that stands elsewhere (APPNOTE.TXT 4.5.3).
const LARGE: u64 = 0xffff_ffff;

/// Why an archive was not read to its end.
pub(super) enum Stop {
    /// The layer cannot be read.
    Layer(io::Error),
    /// The archive cannot be.
    Archive(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        let is_of_archive = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
        );
        // Where the layer itself is damaged so, its digest tells.
        if is_of_archive { Self::Archive(error.to_string()) } else { Self::Layer(error) }
    }
}

impl From<&str> for Stop {
    fn from(why: &str) -> Self {
        Self::Archive(why.to_owned())
    }
}

/// Reads an archive to its end.
pub(super) fn read(search: &mut Search, archive: &mut dyn Read, depth: usize) -> Result<(), Stop> {
    let from = Counted { inner: BufReader::with_capacity(32 * 1024, archive), at: 0 };
    let mut stream =
        Stream { from, first: None, read: HashSet::new(), listed: 0, has_inner: false, has_classes: false };
    let before = search.found.packages.len();
    loop {
        match stream.next()? {
            Some(LOCAL) => stream.file(search, depth)?,
            Some(LISTED) => stream.listed()?,
            Some(_) => break,
            None => return Err("it has no end".into()),
        }
    }
    stream.end()?;
    let is_named = before < search.found.packages.len() || stream.has_inner;
    search.found.unnamed += usize::from(!is_named && stream.has_classes);
    Ok(())
}

struct Stream<'a> {
    from: Counted<BufReader<&'a mut dyn Read>>,
    /// Where the first file is: places in the list may be counted from there, when something stands before it.
    first: Option<u64>,
    /// Where those are that were wanted and read.
    read: HashSet<u64>,
    listed: u64,
    has_inner: bool,
    has_classes: bool,
}

impl Stream<'_> {
    /// Goes on to the next of what may come. Before it there may be anything, such as a script, or how long the file before was.
    fn next(&mut self) -> io::Result<Option<[u8; 4]>> {
        let mut last = [0; 4];
        loop {
            let mut byte = [0];
            if self.from.read(&mut byte)? == 0 {
                return Ok(None);
            }
            let ([_, second, third, fourth], [byte]) = (last, byte);
            last = [second, third, fourth, byte];
            if [LOCAL, LISTED, END].contains(&last) {
                return Ok(Some(last));
            }
        }
    }

    fn file(&mut self, search: &mut Search, depth: usize) -> Result<(), Stop> {
        let place = self.from.at.saturating_sub(4);
        self.first.get_or_insert(place);
        search.entries = search.entries.checked_sub(1).ok_or("it holds too many files")?;
        let header = self.bytes(26)?;
        let (flags, method) = (number(&header, 2, 2), number(&header, 4, 2));
        let name = self.bytes(number(&header, 22, 2))?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let extra = self.bytes(number(&header, 24, 2))?;
        let (packed, unpacked) = (number(&header, 14, 4), number(&header, 18, 4));
        let packed = if packed == LARGE { large(&extra, u64::from(unpacked == LARGE)) } else { Some(packed) };
        let packed = packed.ok_or("a file in it does not say how long it is")?;
        self.has_classes |= has_extension(&name, "class");
        self.has_inner |= is_archive(&name);
        let is_wanted = is_properties(&name) || is_archive(&name);
        // Then how long it is stands behind it, and only what is packed tells its end.
        if flags & 8 != 0 && packed == 0 && !name.ends_with('/') {
            if method != 8 {
                return Err("a file in it does not say how long it is".into());
            }
            let mut unpacked = DeflateDecoder::new(&mut self.from);
            if is_wanted {
                contents(search, &name, &mut unpacked, depth)?;
            }
            search.skip(&mut unpacked)?;
        } else {
            let mut packed = (&mut self.from).take(packed);
            match (is_wanted, method) {
                (false, _) => {}
                (true, 0) => contents(search, &name, &mut packed, depth)?,
                (true, 8) => contents(search, &name, &mut DeflateDecoder::new(&mut packed), depth)?,
                (true, _) => return Err("a file in it is packed in a way that is not known here".into()),
            }
            io::copy(&mut packed, &mut io::sink())?;
            if packed.limit() != 0 {
                return Err("it is cut off".into());
            }
        }
        if is_wanted {
            self.read.insert(place);
        }
        Ok(())
    }

    /// A file in the list at the end.
    fn listed(&mut self) -> Result<(), Stop> {
        let header = self.bytes(42)?;
        let name = self.bytes(number(&header, 24, 2))?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let extra = self.bytes(number(&header, 26, 2))?;
        self.bytes(number(&header, 28, 2))?;
        self.listed += 1;
        let place = match number(&header, 38, 4) {
            LARGE => {
                let before = [number(&header, 16, 4), number(&header, 20, 4)];
                let before = before.into_iter().map(|size| u64::from(size == LARGE)).sum();
                large(&extra, before).ok_or("its list does not say where a file is")?
            }
            place => place,
        };
        let from_first = self.first.and_then(|first| first.checked_add(place));
        let is_read =
            self.read.contains(&place) || from_first.is_some_and(|place| self.read.contains(&place));
        if (is_properties(&name) || is_archive(&name)) && !is_read {
            return Err(Stop::Archive(format!("`{name:.200}` in it is not where its list says")));
        }
        Ok(())
    }

    /// What stands at the end, of which there is only one: else another list would count.
    fn end(&mut self) -> Result<(), Stop> {
        let end = self.bytes(18)?;
        let count = number(&end, 6, 2);
        if count != 0xffff && count != self.listed & 0xffff {
            return Err("its list is not whole".into());
        }
        self.bytes(number(&end, 16, 2))?;
        match self.next()? {
            None => Ok(()),
            Some(_) => Err("another archive stands behind its end".into()),
        }
    }

    fn bytes(&mut self, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let found = (&mut self.from).take(count).read_to_end(&mut bytes)?;
        let is_whole = u64::try_from(found).is_ok_and(|found| found == count);
        if is_whole { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// What a file in an archive says that is wanted.
fn contents(search: &mut Search, name: &str, file: &mut dyn Read, depth: usize) -> Result<(), Stop> {
    if is_properties(name) {
        let text = search.bytes_of(file, TEXT)?;
        search.found.packages.extend(artifact(&String::from_utf8_lossy(&text)));
        return Ok(());
    }
    match inner(search, file, depth) {
        Err(Stop::Archive(why)) => {
            search.found.unread.get_or_insert(format!("`{name:.200}` in it: {why}"));
            Ok(())
        }
        other => other,
    }
}

/// Reads an archive that is in another one: what is small, whole.
pub(super) fn inner(search: &mut Search, file: &mut dyn Read, depth: usize) -> Result<(), Stop> {
    if depth == DEPTH {
        return Err("it is too deep in others".into());
    }
    let head = search.bytes_of(file, WHOLE + 1)?;
    if u64::try_from(head.len()).is_ok_and(|size| size <= WHOLE) {
        return search.archive(&head, depth + 1).map_err(Stop::Archive);
    }
    let limit = search.bytes;
    let mut rest = file.take(limit);
    let read = read(search, &mut Cursor::new(head).chain(&mut rest), depth + 1);
    let left = rest.limit();
    search.bytes = search.bytes.saturating_sub(limit.saturating_sub(left));
    if left == 0 { Err("it unpacks to too much".into()) } else { read }
}

/// A number of so many bytes, the lowest first.
fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    let bytes = bytes.get(at..at.saturating_add(size)).unwrap_or_default();
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// One of the large numbers behind a header, after so many others.
fn large(mut extra: &[u8], others: u64) -> Option<u64> {
    while let Some((head, rest)) = extra.split_at_checked(4) {
        let (block, rest) = rest.split_at_checked(usize::try_from(number(head, 2, 2)).ok()?)?;
        if number(head, 0, 2) == 1 {
            let at = usize::try_from(others).ok()?.checked_mul(8)?;
            return block.get(at..at.checked_add(8)?).map(|bytes| number(bytes, 0, 8));
        }
        extra = rest;
    }
    None
}

/// Counts what is taken.
struct Counted<B> {
    inner: B,
    at: u64,
}

impl<B: BufRead> Read for Counted<B> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

impl<B: BufRead> BufRead for Counted<B> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}
