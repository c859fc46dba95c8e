//! `Cursor`: reads numbers and texts, and believes no length. What it reads is written by the functions beside it.

/// What is wrong with a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged(pub(super) &'static str);

impl Damaged {
    pub(super) const SHORT: Self = Self("it ends too early");
    pub(super) const PACKED: Self = Self("it cannot be unpacked");
    pub(super) const NO_RECORD: Self = Self("it names a record that it has not");
    pub(super) const LARGE: Self = Self("it has more than any ecosystem has");
}

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'bytes>(&'bytes [u8]);

impl<'bytes> Cursor<'bytes> {
    pub(super) fn new(bytes: &'bytes [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn rest(&self) -> &'bytes [u8] {
        self.0
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'bytes [u8], Damaged> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Damaged::SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    pub(super) fn number(&mut self) -> Result<usize, Damaged> {
        let mut number = 0;
        for shift in [0, 7, 14, 21] {
            let (byte, rest) = self.0.split_first().ok_or(Damaged::SHORT)?;
            self.0 = rest;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Damaged("a number in it is too large"))
    }

    pub(super) fn text(&mut self) -> Result<&'bytes str, Damaged> {
        let count = self.number()?;
        std::str::from_utf8(self.bytes(count)?).map_err(|_no_text| Damaged("a text in it is none"))
    }

    pub(super) fn optional(&mut self) -> Result<Option<&'bytes str>, Damaged> {
        self.text().map(|text| Some(text).filter(|text| !text.is_empty()))
    }

    /// Each takes a byte at least, so that a number alone is not enough to fill the memory. In memory each takes a hundred times that, so that
    /// there is a limit as well.
    pub(super) fn many<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Damaged>,
    ) -> Result<Vec<T>, Damaged> {
        let count = self.number()?;
        if self.0.len() < count {
            return Err(Damaged::SHORT);
        }
        if MANY < count {
            return Err(Damaged::LARGE);
        }
        (0..count).map(|_| read(self)).collect()
    }
}

/// The most of anything: more than an ecosystem has records.
const MANY: usize = 2_000_000;

/// The largest number that is written, and so the longest text.
pub(super) const LARGEST: usize = (1 << 28) - 1;

/// A number above the largest is written as that, and no text of such a length is.
pub(super) fn write_number(bytes: &mut Vec<u8>, number: usize) {
    let mut left = number.min(LARGEST);
    loop {
        let byte = u8::try_from(left & 0x7f).unwrap_or(0);
        left >>= 7;
        if left == 0 {
            bytes.push(byte);
            return;
        }
        bytes.push(byte | 0x80);
    }
}

pub(super) fn write_text(bytes: &mut Vec<u8>, text: &str) {
    write_number(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

pub(super) fn write_optional(bytes: &mut Vec<u8>, text: Option<&str>) {
    write_text(bytes, text.unwrap_or_default());
}

pub(super) fn write_many<T>(bytes: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    write_number(bytes, items.len());
    for item in items {
        write(bytes, item);
    }
}
