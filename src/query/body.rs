//! The body of a history, written as it is sent.

use super::rows::Rows;
use super::slices::Slices;
use super::write::RowWriter;
use crate::score::Profile;
use crate::store::StoreError;
use bytes::Bytes;
use futures_util::stream::{self, Stream};

/// A piece is sent when it has this many bytes. With the longest line, under 20 KiB, it stays below
/// 256 KiB.
const PIECE_BYTES_WANTED: usize = 236 * 1024;
/// Room made for a line at first.
const LINE_BYTES_USUAL: usize = 256;

/// Rows in memory, those behind them, and how they are written.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) rows: Rows,
    /// Where the rows behind come from.
    pub(super) further: Option<Slices>,
    pub(super) writer: Box<dyn RowWriter>,
    pub(super) profile: Profile,
    pub(super) lines_left: u64,
}

/// A body that is being sent.
struct Sending {
    body: Body,
    /// The row to be written next.
    position: usize,
    begun: bool,
}

impl Body {
    /// The bytes, in pieces that are written when they are asked for. After an error there are none.
    pub(super) fn stream(self) -> impl Stream<Item = Result<Bytes, StoreError>> {
        let sending = Box::new(Sending {
            body: self,
            position: 0,
            begun: false,
        });
        stream::unfold(Some(sending), |sending| async {
            let mut sending = sending?;
            match sending.next().await {
                Ok((piece, true)) => Some((Ok(piece), Some(sending))),
                Ok((piece, false)) => Some((Ok(piece), None)),
                Err(error) => {
                    // The status is sent; only breaking off tells the client that lines are missing.
                    tracing::error!(%error, "a history broke off");
                    Some((Err(error), None))
                }
            }
        })
    }
}

impl Sending {
    /// The next piece, and whether there is another.
    async fn next(&mut self) -> Result<(Bytes, bool), StoreError> {
        self.fetch().await?;
        let rows_left = self.body.rows.len() - self.position;
        let mut out = Vec::with_capacity((rows_left * LINE_BYTES_USUAL).min(PIECE_BYTES_WANTED));
        if !self.begun {
            self.begun = true;
            self.body.writer.begin(&mut out);
        }
        self.write(&mut out);
        let more = !self.is_done();
        if !more {
            self.body.writer.end(&mut out);
        }
        Ok((out.into(), more))
    }

    /// Sees to it that there are rows to write, if there are any.
    async fn fetch(&mut self) -> Result<(), StoreError> {
        if self.position < self.body.rows.len() {
            return Ok(());
        }
        if let Some(slices) = &mut self.body.further {
            // Not two pieces in memory at once.
            self.body.rows = Rows::none(None);
            self.position = 0;
            match slices.next().await? {
                Some(rows) => self.body.rows = rows,
                None => self.body.further = None,
            }
        }
        Ok(())
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        let body = &mut self.body;
        while body.lines_left > 0
            && out.len() < PIECE_BYTES_WANTED
            && let Some(line) = body.rows.line(self.position, body.profile)
        {
            self.position += 1;
            body.lines_left -= u64::from(body.writer.row(&line, out));
        }
    }

    fn is_done(&self) -> bool {
        let body = &self.body;
        let none_behind = body.further.as_ref().is_none_or(Slices::is_done);
        body.lines_left == 0 || (self.position >= body.rows.len() && none_behind)
    }
}
