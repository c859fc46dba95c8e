//! `Writer` and `Reader`: numbers and texts as bytes.

use std::io::{self, BufRead, Write};

/// The longest text: the longest path.
const TEXT: u64 = 64 * 1024;

/// Writes numbers and texts.
pub(crate) struct Writer<W>(W);

/// Reads numbers and texts.
pub(crate) struct Reader<R>(R);

impl<W: Write> Writer<W> {
    pub(crate) fn new(to: W) -> Self {
        Self(to)
    }

    pub(crate) fn into_inner(self) -> W {
        self.0
    }

    /// A number, seven bits in each byte, the lowest first.
    pub(crate) fn number(&mut self, mut number: u64) -> io::Result<()> {
        let mut bytes = [0; 10];
        let mut length = 0;
        for byte in &mut bytes {
            length += 1;
            let low = number.to_le_bytes()[0] & 0x7f;
            number >>= 7;
            *byte = if number == 0 { low } else { low | 0x80 };
            if number == 0 {
                break;
            }
        }
        self.0.write_all(bytes.get(..length).unwrap_or_default())
    }

    /// How many there are of something.
    pub(crate) fn count(&mut self, count: usize) -> io::Result<()> {
        self.number(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// A text behind its length.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.count(text.len())?;
        self.0.write_all(text.as_bytes())
    }
}

impl<R: BufRead> Reader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self(from)
    }

    pub(crate) fn number(&mut self) -> io::Result<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.0.fill_buf()?.first().copied().ok_or(io::ErrorKind::UnexpectedEof)?;
            self.0.consume(1);
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(damaged("a number that is too large"))
    }

    pub(crate) fn count(&mut self) -> io::Result<usize> {
        usize::try_from(self.number()?).map_err(|_too_large| damaged("a number that is too large"))
    }

    pub(crate) fn text(&mut self) -> io::Result<String> {
        let mut text = String::new();
        self.text_into(&mut text)?;
        Ok(text)
    }

    /// Puts a text behind another one.
    pub(crate) fn text_into(&mut self, text: &mut String) -> io::Result<()> {
        let length = self.number()?;
        if TEXT < length {
            return Err(damaged("a text that is too long"));
        }
        let mut bytes = std::mem::take(text).into_bytes();
        let start = bytes.len();
        bytes.resize(start.saturating_add(usize::try_from(length).unwrap_or(0)), 0);
        self.0.read_exact(bytes.get_mut(start..).unwrap_or_default())?;
        *text = String::from_utf8(bytes).map_err(|_not_text| damaged("a text that is none"))?;
        Ok(())
    }

    /// Whether nothing is left.
    pub(crate) fn end(mut self) -> io::Result<()> {
        if self.0.fill_buf()?.is_empty() { Ok(()) } else { Err(damaged("something behind its end")) }
    }
}

/// It is not what was written.
pub(crate) fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it holds {what}"))
}
