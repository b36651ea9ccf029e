//! Whether a peer has begun another request behind those that were answered.
//!
//! The HTTP library keeps what it has read of a head to itself, so the bytes are looked at on their
//! way to it: where the first head ends, how much comes behind it, and how everything ends.

/// What was read since the connection was last idle.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// The last bytes, the oldest first.
    last: [u8; 3],
    has_head: bool,
    behind_head: u64,
    requests: u32,
    body_bytes: u64,
}

impl Received {
    pub(super) fn read(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !self.has_head
            && let Some((byte, behind)) = rest.split_first()
        {
            self.push(*byte);
            self.has_head = self.ends_with_empty_line();
            rest = behind;
        }
        self.behind_head += rest.len() as u64;
        for byte in rest.iter().skip(rest.len().saturating_sub(self.last.len())) {
            self.push(*byte);
        }
    }

    fn push(&mut self, byte: u8) {
        let [_, second, third] = self.last;
        self.last = [second, third, byte];
    }

    /// A head does, and so does a body in chunks.
    fn ends_with_empty_line(&self) -> bool {
        self.last == *b"\n\r\n" || self.last.ends_with(b"\n\n")
    }

    /// A request is served that says to have so long a body.
    pub(super) fn begun(&mut self, body_bytes: u64) {
        self.requests = self.requests.saturating_add(1);
        self.body_bytes = body_bytes;
    }

    /// Whether nothing is left behind the requests that were served. Of several with bodies at once,
    /// which clients do not send, this cannot be known.
    pub(super) fn is_whole(&self) -> bool {
        self.ends_with_empty_line() || self.requests == 1 && self.behind_head == self.body_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]";
    const CHUNKS: &str =
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n";

    #[rstest]
    #[case::head(&[GET], 1, 0, true)]
    #[case::two_heads(&[GET, GET], 2, 0, true)]
    #[case::plain_lines(&["GET / HTTP/1.1\nHost: a\n\n"], 1, 0, true)]
    #[case::body(&[POST], 1, 2, true)]
    #[case::chunks(&[CHUNKS], 1, 0, true)]
    #[case::another_begun(&[GET, "GET /"], 1, 0, false)]
    #[case::another_begun_behind_a_body(&[POST, "GET /"], 1, 2, false)]
    #[case::another_line(&[GET, "GET / HTTP/1.1\r\n"], 1, 0, false)]
    fn what_is_begun_is_told_from_what_is_whole(
        #[case] sent: &[&str],
        #[case] requests: u32,
        #[case] body_bytes: u64,
        #[case] is_whole: bool,
    ) {
        let sent = sent.concat();
        for size in 1..=sent.len() {
            let mut received = Received::default();
            for piece in sent.as_bytes().chunks(size) {
                received.read(piece);
            }
            for _ in 0..requests {
                received.begun(body_bytes);
            }
            assert_eq!(received.is_whole(), is_whole, "{size}");
        }
    }
}
