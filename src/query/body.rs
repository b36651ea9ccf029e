//! The body of a history, written as it is sent.
//!
//! A piece of the history is read, written into bytes and forgotten; only when its bytes are sent the
//! next one is read. So however slowly it is read, and whatever was asked for, an answer keeps no more
//! than [`BODY_BYTES_MAX`], the names it writes and the points it chose.

use super::rows::{Order, Rows};
use super::slices::Slices;
use super::write::{Dialect, Format, Names, RowWriter};
use crate::database::StoreError;
use crate::read_budget::{Lease, Owner, ReadBudget, TooMuchRead, WORK_TURN_WAIT_MAX};
use crate::score::Profile;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes that one answer keeps while it is sent: [`TEXT_BYTES_MAX`], a line more, and what the
/// connection has taken over but not sent.
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes written before the first of them are sent.
pub(super) const TEXT_BYTES_MAX: usize = 640 * 1024;
/// A piece is sent when it has this many bytes. With the longest line, under 20 KiB, it stays below
/// 84 KiB.
const PIECE_BYTES_WANTED: usize = 64 * 1024;
const LINE_BYTES_MAX: usize = 20 * 1024;
/// Room made for a line at first.
const LINE_BYTES_USUAL: usize = 256;
/// Bytes of rows that are written where they are asked for, which takes less than a millisecond; more
/// of them are written on a thread for such work.
const WRITTEN_AT_ONCE_MAX: usize = 256 * 1024;

/// Rows, how they are written, and whose memory they take.
#[derive(Debug)]
pub(super) struct Body {
    /// Rows in memory, which come first.
    pub(super) rows: Option<LeasedRows>,
    /// Where the rows behind come from.
    pub(super) further: Option<Slices>,
    pub(super) writing: Writing,
    /// Bytes written before the first of them are sent.
    pub(super) text_bytes_max: usize,
    /// Whose memory is counted; nobody's when there is no other reader.
    pub(super) share: Option<(ReadBudget, Owner)>,
    /// What the answer keeps until it is sent.
    pub(super) kept: Option<Lease>,
}

/// Rows and the memory they take.
#[derive(Debug)]
pub(super) struct LeasedRows {
    pub(super) rows: Rows,
    pub(super) lease: Option<Lease>,
}

/// How rows are written.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) writer: Box<dyn RowWriter>,
    pub(super) profile: Profile,
    pub(super) lines_left: u64,
    /// The only rows that are written, in order; all when there are none.
    pub(super) chosen: Option<Vec<Order>>,
}

/// A body that is being sent.
#[derive(Debug)]
pub(super) struct Sending {
    body: Body,
    text: Text,
    /// Everything is written.
    is_whole: bool,
}

/// Bytes that are not sent yet.
#[derive(Debug, Default)]
struct Text {
    pieces: VecDeque<Bytes>,
    open: Vec<u8>,
    bytes: usize,
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    TooMuchRead(#[from] TooMuchRead),
}

impl Body {
    /// The bytes, in pieces that are written when they are asked for. After an error there are none.
    pub(super) fn stream(self) -> impl Stream<Item = Result<Bytes, BodyError>> {
        Sending::new(self).stream()
    }

    /// The same with the first bytes written.
    pub(super) async fn begun(self, turn_wait_max: Duration) -> Result<Sending, BodyError> {
        let mut sending = Sending::new(self);
        sending.fill(turn_wait_max).await?;
        Ok(sending)
    }
}

impl Sending {
    fn new(mut body: Body) -> Self {
        let mut text = Text::default();
        body.writing.writer.begin(&mut text.open);
        Self {
            body,
            text,
            is_whole: false,
        }
    }

    pub(super) fn stream(self) -> impl Stream<Item = Result<Bytes, BodyError>> {
        stream::unfold(Some(Box::new(self)), |sending| async {
            let mut sending = sending?;
            match sending.next().await {
                Ok(Some(piece)) => Some((Ok(piece), Some(sending))),
                Ok(None) => None,
                Err(error) => {
                    // The status is sent; only breaking off tells the client that lines are missing.
                    tracing::error!(%error, "a history broke off");
                    Some((Err(error), None))
                }
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.text.pieces.is_empty() && !self.is_whole {
            self.fill(WORK_TURN_WAIT_MAX).await?;
        }
        let piece = self.text.pop();
        self.give_back();
        Ok(piece)
    }

    /// Writes until there is something worth sending, or everything is written.
    async fn fill(&mut self, turn_wait_max: Duration) -> Result<(), BodyError> {
        while !self.is_whole && self.text.length() < PIECE_BYTES_WANTED {
            match self.body.next_rows(turn_wait_max).await? {
                Some((leased, in_memory)) => self.write(leased, in_memory).await?,
                None => self.is_whole = true,
            }
        }
        if self.is_whole {
            self.body.writing.writer.end(&mut self.text.open);
        }
        self.text.close();
        self.give_back();
        Ok(())
    }

    /// Writes rows as far as they fit. What follows is read again later.
    async fn write(&mut self, leased: LeasedRows, in_memory: bool) -> Result<(), BodyError> {
        let LeasedRows { rows, lease } = leased;
        let bytes_max = self.body.text_bytes_max;
        let used;
        if rows.bytes() <= WRITTEN_AT_ONCE_MAX {
            used = self.body.writing.write(&rows, &mut self.text, bytes_max);
            self.used(&rows, used, in_memory);
        } else {
            let nothing = Writing::nothing();
            let mut writing = std::mem::replace(&mut self.body.writing, nothing);
            let mut text = std::mem::take(&mut self.text);
            let written = tokio::task::spawn_blocking(move || {
                let used = writing.write(&rows, &mut text, bytes_max);
                (rows, writing, text, used)
            });
            let broken = |error| StoreError::Unusable(format!("writing broke off: {error}"));
            let rows;
            (rows, self.body.writing, self.text, used) = written.await.map_err(broken)?;
            self.used(&rows, used, in_memory);
        }
        drop(lease);
        Ok(())
    }

    /// Sees to it that what follows the first `used` of the rows is read again, if it is wanted.
    fn used(&mut self, rows: &Rows, used: usize, in_memory: bool) {
        let body = &mut self.body;
        let rest = rows.len() - used;
        if body.writing.lines_left == 0 {
            self.is_whole = true;
        } else if let Some(slices) = &mut body.further {
            match used.checked_sub(1).and_then(|last| rows.order(last)) {
                Some(last) if rest > 0 && in_memory => slices.go_on_behind(last),
                Some(last) if rest > 0 => slices.go_back(last, rows.bytes_of_first(used)),
                _ if in_memory => body.further = None,
                _ => {}
            }
        }
    }

    /// What the answer does not keep any more is for others.
    fn give_back(&mut self) {
        if self.is_whole
            && let Some(kept) = &mut self.body.kept
        {
            self.body.writing.chosen = None;
            self.body.further = None;
            kept.shrink_to(self.text.bytes + PIECE_BYTES_WANTED);
        }
    }
}

impl Body {
    /// The next rows, and whether they were in memory already.
    async fn next_rows(
        &mut self,
        turn_wait_max: Duration,
    ) -> Result<Option<(LeasedRows, bool)>, BodyError> {
        if let Some(rows) = self.rows.take() {
            return Ok(Some((rows, true)));
        }
        let Some(slices) = &mut self.further else {
            return Ok(None);
        };
        if slices.is_done() {
            return Ok(None);
        }
        let lease = match &self.share {
            Some((budget, owner)) => {
                let work = budget.work(*owner, slices.work_bytes(), turn_wait_max);
                Some(work.await?)
            }
            None => None,
        };
        let rows = slices.next().await?;
        Ok(rows.map(|rows| (LeasedRows { rows, lease }, false)))
    }
}

impl Writing {
    /// Writes rows until there are `bytes_max` bytes, at least one; says how many were used.
    fn write(&mut self, rows: &Rows, text: &mut Text, bytes_max: usize) -> usize {
        let mut position = 0;
        text.make_room(rows.len());
        while self.lines_left > 0
            && (position == 0 || text.length() < bytes_max)
            && let Some(order) = rows.order(position)
        {
            if self.is_chosen(order)
                && let Some(line) = rows.line(position, self.profile)
            {
                self.lines_left -= u64::from(self.writer.row(&line, &mut text.open));
                if text.open.len() >= PIECE_BYTES_WANTED {
                    text.close();
                    text.make_room(rows.len() - position);
                }
            }
            position += 1;
        }
        position
    }

    /// What stands for the other while that is on another thread.
    fn nothing() -> Self {
        Self {
            writer: Format::NdJson.writer(&Names::default(), false, Dialect::default()),
            profile: Profile::default(),
            lines_left: 0,
            chosen: None,
        }
    }

    fn is_chosen(&self, order: Order) -> bool {
        let chosen = self.chosen.as_ref();
        chosen.is_none_or(|chosen| chosen.binary_search(&order).is_ok())
    }
}

impl Text {
    fn length(&self) -> usize {
        self.bytes + self.open.len()
    }

    fn make_room(&mut self, rows: usize) {
        let usual = rows.saturating_mul(LINE_BYTES_USUAL);
        let bytes = usual.min(PIECE_BYTES_WANTED + LINE_BYTES_MAX);
        let more = bytes.saturating_sub(self.open.len());
        self.open.reserve_exact(more);
    }

    /// What is written so far can be sent.
    fn close(&mut self) {
        if !self.open.is_empty() {
            let mut piece = std::mem::take(&mut self.open);
            if piece.len() < piece.capacity() / 2 {
                piece.shrink_to_fit();
            }
            self.bytes += piece.len();
            self.pieces.push_back(piece.into());
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.bytes -= piece.len();
        Some(piece)
    }
}
