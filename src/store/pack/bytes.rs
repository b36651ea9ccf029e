//! Bytes, written and read one thing after another.

use super::error::{Fault, PackError};

/// What a varint holds in one byte; the bit above says that another byte follows.
const VARINT_BITS: u32 = 7;
const VARINT_MORE: u8 = 1 << VARINT_BITS;

/// Collects bytes.
#[derive(Debug)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// Begins with the version of what follows.
    pub(super) fn new(version: u8, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(version);
        Self(bytes)
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A varint: seven bits a byte, the lowest first.
    #[inline]
    pub(super) fn unsigned(&mut self, mut integer: u64) {
        while integer >= u64::from(VARINT_MORE) {
            self.0.push(integer.to_le_bytes()[0] | VARINT_MORE);
            integer >>= VARINT_BITS;
        }
        self.0.push(integer.to_le_bytes()[0]);
    }

    #[inline]
    pub(super) fn signed(&mut self, integer: i64) {
        self.unsigned(zigzag(integer));
    }

    pub(super) fn count(&mut self, count: usize) {
        self.unsigned(count as u64);
    }

    /// All 64 bits of a number, which is finite.
    pub(super) fn raw(&mut self, number: f64) {
        debug_assert!(number.is_finite(), "{number} could not be read again");
        self.bytes(&number.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }
}

/// Takes bytes apart. Whatever they are, it neither panics nor trusts a length.
#[derive(Debug)]
pub(super) struct Reader<'bytes> {
    bytes: &'bytes [u8],
    offset: usize,
}

impl<'bytes> Reader<'bytes> {
    /// Fails when the bytes do not begin with `version`.
    pub(super) fn new(bytes: &'bytes [u8], version: u8) -> Result<Self, PackError> {
        let mut reader = Self { bytes, offset: 0 };
        match reader.byte()? {
            known if known == version => Ok(reader),
            other => Err(reader.error(Fault::Version(other))),
        }
    }

    /// An error at this place.
    #[cold]
    pub(super) fn error(&self, fault: Fault) -> PackError {
        PackError {
            fault,
            offset: self.offset,
        }
    }

    /// Fails when there is more.
    pub(super) fn finish(self) -> Result<(), PackError> {
        if self.offset < self.bytes.len() {
            return Err(self.error(Fault::Trailing));
        }
        Ok(())
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, PackError> {
        let Some(byte) = self.bytes.get(self.offset) else {
            return Err(self.error(Fault::End));
        };
        self.offset += 1;
        Ok(*byte)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'bytes [u8], PackError> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let Some(bytes) = rest.get(..length) else {
            return Err(self.error(Fault::End));
        };
        self.offset += length;
        Ok(bytes)
    }

    #[inline]
    pub(super) fn unsigned(&mut self) -> Result<u64, PackError> {
        let byte = self.byte()?;
        if byte < VARINT_MORE {
            return Ok(u64::from(byte));
        }
        self.unsigned_rest(byte)
    }

    /// The rest of a varint of several bytes.
    fn unsigned_rest(&mut self, first: u8) -> Result<u64, PackError> {
        let mut integer = u64::from(first & !VARINT_MORE);
        let mut shift = VARINT_BITS;
        loop {
            let byte = self.byte()?;
            let bits = u64::from(byte & !VARINT_MORE);
            // Bits that would be shifted out are none of a 64-bit integer.
            if shift >= u64::BITS || bits << shift >> shift != bits {
                return Err(self.error(Fault::Integer));
            }
            integer |= bits << shift;
            if byte < VARINT_MORE {
                return Ok(integer);
            }
            shift += VARINT_BITS;
        }
    }

    #[inline]
    pub(super) fn signed(&mut self) -> Result<i64, PackError> {
        Ok(unzigzag(self.unsigned()?))
    }

    /// A number of things that take at least `bytes_min` each. What is reserved for them is never
    /// more than a fixed multiple of what there is to read.
    pub(super) fn count(&mut self, bytes_min: usize) -> Result<usize, PackError> {
        let count = self.unsigned()?;
        let room = (self.bytes.len() - self.offset) / bytes_min;
        match usize::try_from(count) {
            Ok(count) if count <= room => Ok(count),
            _ => Err(self.error(Fault::Count)),
        }
    }

    /// A set of positions below `size`, one bit each.
    pub(super) fn mask(&mut self, size: usize) -> Result<u64, PackError> {
        let mask = self.unsigned()?;
        if mask >> size != 0 {
            return Err(self.error(Fault::Marker));
        }
        Ok(mask)
    }

    /// All 64 bits of a number, which is finite.
    pub(super) fn raw(&mut self) -> Result<f64, PackError> {
        let Some(bytes) = self.bytes(size_of::<f64>())?.first_chunk() else {
            return Err(self.error(Fault::End));
        };
        let number = f64::from_le_bytes(*bytes);
        if !number.is_finite() {
            return Err(self.error(Fault::Number));
        }
        Ok(number)
    }

    pub(super) fn text(&mut self) -> Result<&'bytes str, PackError> {
        let length = self.count(1)?;
        let Ok(text) = str::from_utf8(self.bytes(length)?) else {
            return Err(self.error(Fault::Key));
        };
        Ok(text)
    }
}

/// An integer that is written as its difference to the one before; the first as it is.
///
/// The differences wrap, so that any two integers have one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Running(pub(super) i64);

impl Running {
    #[inline]
    pub(super) fn write(&mut self, out: &mut Writer, integer: i64) {
        out.signed(integer.wrapping_sub(self.0));
        self.0 = integer;
    }

    #[inline]
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Result<i64, PackError> {
        self.0 = self.0.wrapping_add(reader.signed()?);
        Ok(self.0)
    }
}

/// Makes small integers of either sign small ones without: 0, -1, 1, -2 become 0, 1, 2, 3.
#[inline]
pub(super) const fn zigzag(integer: i64) -> u64 {
    (integer << 1 ^ integer >> 63).cast_unsigned()
}

#[inline]
pub(super) const fn unzigzag(integer: u64) -> i64 {
    (integer >> 1).cast_signed() ^ -(integer & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_unsigned(bytes: &[u8]) -> Result<u64, Fault> {
        let mut reader = Reader { bytes, offset: 0 };
        let integer = reader.unsigned().map_err(|error| error.fault)?;
        assert_eq!(reader.finish(), Ok(()), "a varint is read to its end");
        Ok(integer)
    }

    proptest! {
        #[test]
        fn integers_come_back(integer: i64, bits in 0..64_u32) {
            let integer = integer >> bits;
            let mut out = Writer::new(1, 0);
            out.signed(integer);
            let bytes = out.finish();
            let mut reader = Reader::new(&bytes, 1).unwrap();
            prop_assert_eq!(reader.signed(), Ok(integer));
            prop_assert_eq!(reader.finish(), Ok(()));
            prop_assert_eq!(unzigzag(zigzag(integer)), integer);
        }
    }

    #[test]
    fn an_integer_takes_a_byte_for_each_seven_bits() {
        for (integer, length) in [(0, 1), (127, 1), (128, 2), (16_383, 2), (u64::MAX, 10)] {
            let mut out = Writer::new(1, 0);
            out.unsigned(integer);
            let bytes = out.finish();
            assert_eq!(bytes.len(), 1 + length);
            assert_eq!(read_unsigned(&bytes[1..]), Ok(integer));
        }
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 2;
        assert_eq!(read_unsigned(&bytes), Err(Fault::Integer));
        let mut bytes = [0x80; 11];
        bytes[10] = 0;
        assert_eq!(read_unsigned(&bytes), Err(Fault::Integer));
        assert_eq!(read_unsigned(&[0x80]), Err(Fault::End));
    }

    #[test]
    fn a_count_beyond_the_rest_is_refused() {
        let count = |bytes, bytes_min| Reader { bytes, offset: 0 }.count(bytes_min);
        assert_eq!(count(&[4, 0, 0, 0, 0], 1), Ok(4));
        assert_eq!(count(&[2, 0, 0, 0, 0], 2), Ok(2));
        for (bytes, bytes_min) in [(&[5, 0, 0, 0, 0], 1), (&[3, 0, 0, 0, 0], 2)] {
            let error = count(bytes, bytes_min).unwrap_err();
            assert_eq!((error.fault, error.offset), (Fault::Count, 1));
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_refused() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let bytes = number.to_le_bytes();
            let mut reader = Reader {
                bytes: &bytes,
                offset: 0,
            };
            assert_eq!(reader.raw().unwrap_err().fault, Fault::Number);
        }
    }
}
