//! Whether bytes are a GLB: glTF 2 in its binary form, complete in itself.
//!
//! Only what can hurt whoever reads it is looked at: sizes, the JSON's form and depth, and addresses
//! that would have a browser ask somewhere else. Whether it shows a room is not.

mod fault;
mod json;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

pub use fault::{At, GlbFault};

use std::io::{self, Read, Seek, SeekFrom};

/// Largest JSON chunk in bytes: it is read into memory.
pub const JSON_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// Header of the file and of its first chunk.
pub const HEAD_BYTES: usize = 20;
const CHUNK_HEAD_BYTES: usize = 8;
const MAGIC: [u8; 4] = *b"glTF";
const VERSION: u32 = 2;
const JSON: [u8; 4] = *b"JSON";
const BIN: [u8; 4] = *b"BIN\0";

/// The first bytes of a file that may be a GLB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Length of the whole file in bytes, as declared.
    pub length: u32,
    json_length: u32,
}

/// Why a file was not found to be a GLB.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Fault(#[from] GlbFault),
    #[error("the file could not be read")]
    File(#[from] io::Error),
}

impl Head {
    /// Reads the head, which tells most files that are something else.
    pub fn read(bytes: &[u8; HEAD_BYTES]) -> Result<Self, GlbFault> {
        let [
            m0,
            m1,
            m2,
            m3,
            v0,
            v1,
            v2,
            v3,
            l0,
            l1,
            l2,
            l3,
            j0,
            j1,
            j2,
            j3,
            t0,
            t1,
            t2,
            t3,
        ] = *bytes;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(GlbFault::at_byte(0, "not_glb", "must begin with glTF"));
        }
        if u32::from_le_bytes([v0, v1, v2, v3]) != VERSION {
            return Err(GlbFault::at_byte(4, "bad_version", "must be glTF 2"));
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let json_length = u32::from_le_bytes([j0, j1, j2, j3]);
        if [t0, t1, t2, t3] != JSON {
            let detail = "the first chunk must be JSON";
            return Err(GlbFault::at_byte(16, "bad_chunk", detail));
        }
        if json_length > JSON_BYTES_MAX {
            let detail = format!("the JSON may have {JSON_BYTES_MAX} bytes");
            return Err(GlbFault::at_byte(12, "json_too_large", detail));
        }
        let head = Self {
            length,
            json_length,
        };
        if !json_length.is_multiple_of(4) || head.json_end() > u64::from(length) {
            return Err(bad_length(12));
        }
        Ok(head)
    }

    fn json_end(self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.json_length)
    }
}

fn bad_length(offset: u64) -> GlbFault {
    let detail = "the length of a chunk must be a multiple of 4 and within the file";
    GlbFault::at_byte(offset, "bad_chunk", detail)
}

/// Checks a file of `size` bytes. It takes memory for its JSON chunk and nothing else.
pub fn check(file: &mut (impl Read + Seek), size: u64) -> Result<(), CheckError> {
    if size < HEAD_BYTES as u64 {
        return Err(GlbFault::at_byte(size, "truncated", "ends within its header").into());
    }
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = [0; HEAD_BYTES];
    file.read_exact(&mut bytes)?;
    let head = Head::read(&bytes)?;
    if u64::from(head.length) != size {
        let detail = format!("{} bytes are declared, there are {size}", head.length);
        return Err(GlbFault::at_byte(8, "wrong_length", detail).into());
    }
    let mut text = Vec::new();
    let json_length = u64::from(head.json_length);
    file.by_ref().take(json_length).read_to_end(&mut text)?;
    if text.len() as u64 != json_length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    json::check(&text)?;
    if head.json_end() < size {
        check_binary(file, head.json_end(), size)?;
    }
    Ok(())
}

/// The second chunk, which must be the last.
fn check_binary(file: &mut impl Read, begin: u64, size: u64) -> Result<(), CheckError> {
    let content = begin + CHUNK_HEAD_BYTES as u64;
    if content > size {
        let detail = "ends within the header of a chunk";
        return Err(GlbFault::at_byte(begin, "truncated", detail).into());
    }
    let mut bytes = [0; CHUNK_HEAD_BYTES];
    file.read_exact(&mut bytes)?;
    let [l0, l1, l2, l3, t0, t1, t2, t3] = bytes;
    if [t0, t1, t2, t3] != BIN {
        let detail = "the second chunk must be BIN";
        return Err(GlbFault::at_byte(begin + 4, "bad_chunk", detail).into());
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    if !length.is_multiple_of(4) || content + u64::from(length) != size {
        return Err(bad_length(begin).into());
    }
    Ok(())
}
