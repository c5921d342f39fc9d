//! The bodies of the demo site: short ones, a big one in pieces, and one that takes its time.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

const BIG: u64 = 10_000_000;
const PIECE: u64 = 64 << 10;

/// The slow stream: this many lines, each after this long.
const LINES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(500);

/// A body of the demo site.
pub(super) struct DemoBody(Kind);

enum Kind {
    /// Bytes from here to [`BIG`] are still to come.
    Big(u64),
    /// All of it, or nothing any more.
    Short(Bytes),
    /// Lines that are still to come.
    Slow(Slow),
}

struct Slow {
    number: u64,
    line: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

impl DemoBody {
    /// Nothing.
    pub(super) const fn empty() -> Self {
        Self(Kind::Short(Bytes::new()))
    }

    /// 10 MB, always the same.
    pub(super) const fn big() -> Self {
        Self(Kind::Big(0))
    }

    /// Ten lines over five seconds, of a length not known beforehand.
    pub(super) const fn slow(number: u64) -> Self {
        Self(Kind::Slow(Slow { number, line: 0, pause: None }))
    }
}

impl<T: Into<Bytes>> From<T> for DemoBody {
    fn from(bytes: T) -> Self {
        Self(Kind::Short(bytes.into()))
    }
}

impl Body for DemoBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut self.0 {
            Kind::Big(from) => next_piece(from),
            Kind::Short(bytes) => std::mem::take(bytes),
            Kind::Slow(slow) => ready!(slow.next_line(cx)),
        };
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Big(from) => *from == BIG,
            Kind::Short(bytes) => bytes.is_empty(),
            Kind::Slow(slow) => slow.line == LINES,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Big(from) => SizeHint::with_exact(BIG - from),
            Kind::Short(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Slow(_) => SizeHint::default(),
        }
    }
}

/// The next bytes of the big body: each line is 16 bytes long and begins with its own offset, so that a person can
/// tell what a range has brought.
fn next_piece(from: &mut u64) -> Bytes {
    let start = *from;
    *from = BIG.min(start + PIECE);
    let lines = (start / 16..from.div_ceil(16)).flat_map(|line| format!("{:<15}\n", line * 16).into_bytes());
    lines.take((*from - start) as usize).collect()
}

impl Slow {
    /// The next line once its time has come, or nothing after the last.
    fn next_line(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if self.line == LINES {
            return Poll::Ready(Bytes::new());
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(PAUSE)));
        ready!(pause.as_mut().poll(cx));
        self.pause = None;
        self.line += 1;
        Poll::Ready(format!("line {} of {LINES}: origin request {}\n", self.line, self.number).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tokio::time::Instant;

    #[tokio::test]
    async fn the_big_body_comes_in_pieces_and_is_always_the_same() {
        let (mut body, mut pieces, mut all) = (DemoBody::big(), 0, Vec::new());
        assert_eq!(body.size_hint().exact(), Some(10_000_000));
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            assert!(data.len() <= 64 << 10);
            pieces += 1;
            all.extend_from_slice(&data);
        }
        assert!(body.is_end_stream());
        assert_eq!((pieces, all.len()), (153, 10_000_000));
        assert_eq!(&all[..32], b"0              \n16             \n");
        assert!(all[5_000_000..].starts_with(b"5000000        \n"));
        assert_eq!(all, DemoBody::big().collect().await.unwrap().to_bytes());
    }

    #[tokio::test(start_paused = true)]
    async fn the_slow_body_sends_a_line_each_half_second() {
        let (mut body, start, mut times) = (DemoBody::slow(3), Instant::now(), Vec::new());
        while let Some(frame) = body.frame().await {
            assert!(frame.unwrap().into_data().unwrap().ends_with(b": origin request 3\n"));
            times.push(start.elapsed().as_millis());
        }
        assert_eq!(times, (1..=10).map(|line| line * 500).collect::<Vec<_>>());
        assert_eq!(body.size_hint().exact(), None);
    }

    #[tokio::test]
    async fn a_short_body_comes_at_once() {
        assert_eq!(DemoBody::from("abc").collect().await.unwrap().to_bytes(), "abc");
        assert!(DemoBody::empty().is_end_stream());
    }
}
