//! A body that is compressed as it is sent.

use super::choice::{Coding, Encoder};
use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::SemaphorePermit;

/// Bytes compressed in one turn of the thread: less than half a millisecond.
const TURN_BYTES: usize = 32 * 1024;

pub(super) struct CompressedBody {
    body: BoxBody,
    /// Not compressed yet.
    rest: Bytes,
    /// Gone when everything is.
    encoder: Option<Encoder>,
    /// Something was written that is not sent.
    holds_back: bool,
    /// The others have their turn first.
    yields: bool,
    _turn: SemaphorePermit<'static>,
}

impl CompressedBody {
    pub(super) fn new(body: BoxBody, coding: Coding, turn: SemaphorePermit<'static>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            encoder: Some(coding.encoder()),
            holds_back: false,
            yields: false,
            _turn: turn,
        }
    }
}

impl MessageBody for CompressedBody {
    type Error = Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let this = &mut *self;
        loop {
            let Some(encoder) = &mut this.encoder else {
                return Poll::Ready(None);
            };
            if std::mem::take(&mut this.yields) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !this.rest.is_empty() {
                let length = this.rest.len().min(TURN_BYTES);
                encoder.write(&this.rest.split_to(length));
                this.holds_back = true;
                this.yields = true;
                let made = encoder.take();
                if !made.is_empty() {
                    return Poll::Ready(Some(Ok(made)));
                }
                continue;
            }
            match Pin::new(&mut this.body).poll_next(context) {
                Poll::Ready(Some(Ok(piece))) => this.rest = piece,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => {
                    let last = this.encoder.take().map(Encoder::finish);
                    return Poll::Ready(last.filter(|last| !last.is_empty()).map(Ok));
                }
                // What has come is not held back until more does.
                Poll::Pending if std::mem::take(&mut this.holds_back) => {
                    encoder.flush();
                    let made = encoder.take();
                    if !made.is_empty() {
                        return Poll::Ready(Some(Ok(made)));
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::{BodyStream, to_bytes};
    use futures_util::stream;
    use proptest::prelude::*;
    use std::convert::Infallible;
    use std::io::Read;
    use std::task::Waker;
    use tokio::sync::Semaphore;

    static TURNS: Semaphore = Semaphore::const_new(1000);

    fn compressed(body: impl MessageBody + 'static, coding: Coding) -> CompressedBody {
        CompressedBody::new(BoxBody::new(body), coding, TURNS.try_acquire().unwrap())
    }

    fn expanded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut expanded = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut expanded),
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut expanded),
        }
        .unwrap();
        expanded
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..20),
            repeated in 1_usize..40,
        ) {
            let pieces: Vec<Vec<u8>> = pieces.into_iter().map(|piece| piece.repeat(repeated)).collect();
            for coding in [Coding::Gzip, Coding::Brotli] {
                let sent = pieces.clone().into_iter().map(|piece| Ok::<_, Infallible>(piece.into()));
                let body = compressed(BodyStream::new(stream::iter(sent)), coding);
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let bytes = runtime.block_on(to_bytes(body)).unwrap();
                prop_assert_eq!(expanded(coding, &bytes), pieces.concat());
            }
        }
    }

    #[tokio::test]
    async fn what_has_come_is_sent_before_the_rest_comes_and_others_have_turns_between() {
        for coding in [Coding::Gzip, Coding::Brotli] {
            let first = Bytes::from(vec![b'x'; 3 * TURN_BYTES]);
            let first = stream::once(async { Ok::<_, Infallible>(first) });
            let endless = futures_util::StreamExt::chain(first, stream::pending());
            let mut body = compressed(BodyStream::new(Box::pin(endless)), coding);
            let mut context = Context::from_waker(Waker::noop());
            let (mut sent, mut turns) = (Vec::new(), 0);
            for _ in 0..20 {
                match Pin::new(&mut body).poll_next(&mut context) {
                    Poll::Ready(piece) => sent.extend_from_slice(&piece.unwrap().unwrap()),
                    Poll::Pending => turns += 1,
                }
            }
            assert!(turns >= 3, "{turns}");
            let mut begun = vec![0; 3 * TURN_BYTES];
            match coding {
                Coding::Gzip => flate2::read::GzDecoder::new(&sent[..]).read_exact(&mut begun),
                Coding::Brotli => brotli::Decompressor::new(&sent[..], 4096).read_exact(&mut begun),
            }
            .unwrap();
            assert!(begun.iter().all(|byte| *byte == b'x'));
        }
    }
}
