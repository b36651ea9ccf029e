//! A client's bytes, cut anywhere, into frames and whole messages.

use super::{
    BINARY, CLOSE, COMPRESSED, CONTINUATION, CONTROL_BYTES_MAX, FIN, Frame, FrameError, Inflater,
    MASKED, PING, PONG, RESERVED, TEXT,
};
use bytes::{Bytes, BytesMut};

/// Reads frames. Between messages it holds no buffer.
#[derive(Debug)]
pub struct Decoder {
    message_bytes_max: usize,
    /// Compressed messages were agreed on.
    deflate: bool,
    /// The beginning of a header.
    head: Head,
    /// The frame whose payload is being received.
    frame: Option<Payload>,
    /// The text or binary message that has begun.
    message: Option<Message>,
    /// What has arrived of a control frame, which may come in the middle of a message.
    control: BytesMut,
}

/// Longest header: two bytes, eight of length, four of mask.
const HEAD_BYTES_MAX: usize = 14;

#[derive(Debug, Default)]
struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    length: usize,
}

#[derive(Debug, Clone, Copy)]
struct Payload {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Bytes of it that have not arrived.
    missing: usize,
}

#[derive(Debug)]
struct Message {
    is_text: bool,
    compressed: bool,
    payload: BytesMut,
    /// Bytes at the front that are known to be UTF-8.
    checked: usize,
}

impl Decoder {
    /// A decoder for messages of at most `message_bytes_max` bytes, compressed or not. `deflate` says
    /// whether compression was negotiated.
    pub fn new(message_bytes_max: usize, deflate: bool) -> Self {
        Self {
            message_bytes_max,
            deflate,
            head: Head::default(),
            frame: None,
            message: None,
            control: BytesMut::new(),
        }
    }

    /// Takes bytes off the front of `input` up to the end of the next frame; `None` when all are taken
    /// and more are needed. After an error nothing more may be read.
    pub fn decode(
        &mut self,
        input: &mut &[u8],
        inflater: &mut Inflater,
    ) -> Result<Option<Frame>, FrameError> {
        let frame = match self.frame {
            Some(frame) => frame,
            None => match self.take_head(input)? {
                Some(frame) => frame,
                None => return Ok(None),
            },
        };
        let missing = self.take_payload(frame, input)?;
        self.frame = (missing > 0).then_some(Payload { missing, ..frame });
        if self.frame.is_some() {
            // A mask is four bytes, and the rest of the payload goes on somewhere within it.
            let taken = (frame.missing - missing) % 4;
            if let Some(rest) = &mut self.frame {
                rest.mask.rotate_left(taken);
            }
            return Ok(None);
        }
        self.finish(frame, inflater).map(Some)
    }

    /// Takes the bytes of a header and judges it as early as can be.
    fn take_head(&mut self, input: &mut &[u8]) -> Result<Option<Payload>, FrameError> {
        loop {
            let wanted = self.head_length()?;
            if self.head.length == wanted {
                let frame = self.read_head(wanted)?;
                self.head.length = 0;
                return Ok(Some(frame));
            }
            let Some((first, rest)) = input.split_first() else {
                return Ok(None);
            };
            self.head.bytes[self.head.length] = *first;
            self.head.length += 1;
            *input = rest;
        }
    }

    /// Length of the header as far as it is known.
    fn head_length(&self) -> Result<usize, FrameError> {
        let [first, second, ..] = self.head.bytes;
        match self.head.length {
            0 | 1 => Ok(2),
            2 => {
                self.judge(first, second)?;
                Ok(2 + length_bytes(second) + 4)
            }
            length => {
                let known = 2 + length_bytes(second);
                if length == known {
                    self.payload_length()?;
                }
                Ok(known + 4)
            }
        }
    }

    fn judge(&self, first: u8, second: u8) -> Result<(), FrameError> {
        let opcode = first & 0x0f;
        if first & RESERVED != 0 {
            return Err(FrameError::Protocol("a reserved bit is set"));
        }
        if first & COMPRESSED != 0 && !(self.deflate && matches!(opcode, TEXT | BINARY)) {
            return Err(FrameError::Protocol("compression does not belong here"));
        }
        if second & MASKED == 0 {
            return Err(FrameError::Protocol("a client must mask its frames"));
        }
        match opcode {
            CONTINUATION if self.message.is_none() => {
                Err(FrameError::Protocol("there is no message to continue"))
            }
            TEXT | BINARY if self.message.is_some() => {
                Err(FrameError::Protocol("a message began within another"))
            }
            CLOSE | PING | PONG if first & FIN == 0 => Err(FrameError::Protocol(
                "a control frame must not be fragmented",
            )),
            CLOSE | PING | PONG if usize::from(second & !MASKED) > CONTROL_BYTES_MAX => {
                Err(FrameError::Protocol("a control frame may have 125 bytes"))
            }
            CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG => Ok(()),
            _ => Err(FrameError::Protocol("unknown opcode")),
        }
    }

    /// The declared length, before anything of the payload is waited for.
    fn payload_length(&self) -> Result<usize, FrameError> {
        let [first, second, extended @ ..] = self.head.bytes;
        let length = match length_bytes(second) {
            0 => u64::from(second & !MASKED),
            // Big-endian, so the shorter form is the front of the longer one.
            bytes => extended
                .iter()
                .take(bytes)
                .fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        if first & 0x0f > BINARY {
            // Judged already; and it may be longer than what is left for the message around it.
            return Ok(usize::from(second & !MASKED));
        }
        let message_bytes_max = self.message_bytes_max;
        let assembled = self.message.as_ref().map_or(0, |it| it.payload.len());
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= message_bytes_max.saturating_sub(assembled))
            .ok_or(FrameError::TooBig { message_bytes_max })
    }

    /// Reads a whole header and begins what it announces.
    fn read_head(&mut self, length: usize) -> Result<Payload, FrameError> {
        let missing = self.payload_length()?;
        let [first, ..] = self.head.bytes;
        let mut mask = [0; 4];
        mask.copy_from_slice(&self.head.bytes[length - 4..length]);
        let opcode = first & 0x0f;
        if matches!(opcode, TEXT | BINARY) {
            self.message = Some(Message {
                is_text: opcode == TEXT,
                compressed: first & COMPRESSED != 0,
                payload: BytesMut::new(),
                checked: 0,
            });
        }
        Ok(Payload {
            fin: first & FIN != 0,
            opcode,
            mask,
            missing,
        })
    }

    /// Unmasks what `input` has of the payload; says how many bytes are still missing.
    fn take_payload(&mut self, frame: Payload, input: &mut &[u8]) -> Result<usize, FrameError> {
        let (now, later) = input.split_at(frame.missing.min(input.len()));
        *input = later;
        let payload = match &mut self.message {
            Some(message) if frame.opcode <= BINARY => &mut message.payload,
            _ => &mut self.control,
        };
        let before = payload.len();
        payload.extend_from_slice(now);
        unmask(&mut payload[before..], frame.mask);
        if let Some(message) = self.message.as_mut().filter(|_| frame.opcode <= BINARY) {
            message.check_text()?;
        }
        Ok(frame.missing - now.len())
    }

    /// What a frame whose payload is complete means.
    fn finish(&mut self, frame: Payload, inflater: &mut Inflater) -> Result<Frame, FrameError> {
        Ok(match frame.opcode {
            PING => Frame::Ping(std::mem::take(&mut self.control).freeze()),
            PONG => {
                self.control = BytesMut::new();
                Frame::Pong
            }
            CLOSE => Frame::Close(close_code(&std::mem::take(&mut self.control))?),
            _ if !frame.fin => Frame::Fragment,
            // A continuation without a message was refused by its header.
            _ => match self.message.take() {
                Some(message) => message.finish(self.message_bytes_max, inflater)?,
                None => return Err(FrameError::Protocol("there is no message to continue")),
            },
        })
    }
}

impl Message {
    /// Refuses text that cannot become UTF-8 any more, without waiting for its end.
    fn check_text(&mut self) -> Result<(), FrameError> {
        if !self.is_text || self.compressed {
            return Ok(());
        }
        match std::str::from_utf8(&self.payload[self.checked..]) {
            Ok(_) => self.checked = self.payload.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(FrameError::NotUtf8),
        }
        Ok(())
    }

    fn finish(
        self,
        message_bytes_max: usize,
        inflater: &mut Inflater,
    ) -> Result<Frame, FrameError> {
        let payload: Bytes = if self.compressed {
            inflater.inflate(&self.payload, message_bytes_max)?.into()
        } else {
            self.payload.freeze()
        };
        if !self.is_text {
            return Ok(Frame::Binary(payload));
        }
        String::from_utf8(payload.into())
            .map(Frame::Text)
            .map_err(|_invalid| FrameError::NotUtf8)
    }
}

fn length_bytes(second: u8) -> usize {
    match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let (words, rest) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// The code of a close frame that is as it must be.
fn close_code(payload: &[u8]) -> Result<Option<u16>, FrameError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(None),
            _ => Err(FrameError::Protocol("a close code has two bytes")),
        };
    };
    if std::str::from_utf8(reason).is_err() {
        return Err(FrameError::NotUtf8);
    }
    match u16::from_be_bytes(*code) {
        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Some(code)),
        _ => Err(FrameError::Protocol("this close code must not be sent")),
    }
}
