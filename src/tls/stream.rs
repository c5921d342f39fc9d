//! A TLS connection over a socket, read and written as plaintext; at rest it keeps no buffer.

use super::session::{RECORD, Sealed, Session};
use bytes::BytesMut;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConfig;

/// Received at once, at most: two full records.
const READ: usize = 2 * (RECORD + 256);
/// Sealed at once, at most. What the socket does not take of it is all that ever waits to be sent.
const BATCH: usize = 4 * RECORD;
/// The first byte of a TLS connection: a record with a handshake message (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

thread_local! {
    /// Where a thread understands what it received, and seals what it sends: kept, so that no connection needs its own.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

#[derive(Default)]
struct Buffers {
    received: Vec<u8>,
    /// A record's worth of plaintext that came in several pieces.
    gathered: Vec<u8>,
    sealed: Sealed,
}

/// A TLS connection.
///
/// Reading is an end of file after the client's close_notify, and also when it closes without one: what is spoken
/// inside knows by itself whether something is missing, and many clients do.
pub struct Stream {
    io: TcpStream,
    session: Session,
    /// Understood, and more than the reader had room for.
    plain: BytesMut,
    /// Sealed, and more than the socket would take.
    unsent: BytesMut,
    /// The client will send no more.
    ended: bool,
}

/// Why there was no handshake.
#[derive(Debug)]
pub enum Refusal {
    /// It went wrong.
    Failed(io::Error),
    /// The client closed without a word.
    Nothing,
    /// It does not speak TLS. What it sent is still to be read from the socket.
    Plain,
}

impl Stream {
    /// A connection that begins.
    ///
    /// # Errors
    /// None that a client can cause.
    pub fn new(io: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let session = Session::new(config).map_err(io::Error::other)?;
        Ok(Self { io, session, plain: BytesMut::new(), unsent: BytesMut::new(), ended: false })
    }

    /// The handshake, until all that we have to say of it is sent.
    ///
    /// # Errors
    /// Why there was none; the client was told, if it did something wrong.
    pub async fn handshake(&mut self) -> Result<(), Refusal> {
        let mut first = [0];
        match self.io.peek(&mut first).await {
            Ok(0) => return Err(Refusal::Nothing),
            Ok(_) if first != [HANDSHAKE] => return Err(Refusal::Plain),
            Ok(_) => {}
            Err(error) => return Err(Refusal::Failed(error)),
        }
        while self.session.is_handshaking() {
            let round = poll_fn(|cx| self.poll_round(cx, |plain, data| plain.extend_from_slice(data)));
            round.await.map_err(Refusal::Failed)?;
            if self.ended && self.session.is_handshaking() {
                return Err(Refusal::Failed(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        poll_fn(|cx| self.poll_flush(cx)).await.map_err(Refusal::Failed)
    }

    /// The protocol that both agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.session.alpn()
    }

    /// Whether the handshake took up an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.session.is_resumed()
    }

    /// The socket beneath.
    pub fn socket(&self) -> &TcpStream {
        &self.io
    }

    /// The socket alone: for who turned out to speak no TLS.
    pub fn into_socket(self) -> TcpStream {
        self.io
    }

    /// Appends what the client has sent. 0: it will send no more.
    pub fn poll_ahead(&mut self, cx: &mut Context<'_>, ahead: &mut BytesMut) -> Poll<io::Result<usize>> {
        let before = ahead.len();
        if !self.plain.is_empty() {
            ahead.extend_from_slice(&std::mem::take(&mut self.plain));
        }
        while ahead.len() == before && !self.ended {
            ready!(self.poll_round(cx, |_, data| ahead.extend_from_slice(data)))?;
        }
        Poll::Ready(Ok(ahead.len() - before))
    }

    /// Reads what the client has sent, as far as there is room.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        if !self.plain.is_empty() {
            let here = self.plain.len().min(out.remaining());
            out.put_slice(&self.plain.split_to(here));
            if self.plain.is_empty() {
                self.plain = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        while out.filled().len() == before && !self.ended {
            ready!(self.poll_round(cx, |plain, data| {
                let (here, rest) = data.split_at(data.len().min(out.remaining()));
                out.put_slice(here);
                plain.extend_from_slice(rest);
            }))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Receives once, and gives the plaintext in it to `sink`, which may leave some in `plain`.
    fn poll_round(
        &mut self,
        cx: &mut Context<'_>,
        mut sink: impl FnMut(&mut BytesMut, &[u8]),
    ) -> Poll<io::Result<()>> {
        // A client may wait for what we have to say before it says more.
        let _ = self.poll_flush(cx)?;
        let Self { io, session, plain, unsent, ended } = self;
        BUFFERS.with_borrow_mut(|Buffers { received, sealed, .. }| {
            let Some(wire) = ready!(poll_receive(io, session.pending(), received, cx))? else {
                *ended = true;
                return Poll::Ready(Ok(()));
            };
            sealed.clear();
            let understood = session.receive(wire, |data| sink(plain, data), sealed);
            *ended |= session.has_ended();
            // An alert, if it was not understood.
            send_or_keep(io, sealed.bytes(), unsent)?;
            Poll::Ready(understood)
        })
    }

    /// Writes as much as can be written without waiting. What this takes is sealed, and sent before anything else; it
    /// has left only when [`is_flushed`](Self::is_flushed) says so.
    ///
    /// # Errors
    /// `WouldBlock` while what was taken before has not left.
    pub fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.unsent.is_empty() {
            let kept = std::mem::take(&mut self.unsent);
            send_or_keep(&self.io, &kept, &mut self.unsent)?;
            if !self.unsent.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        self.write(slices)
    }

    /// Writes a part of this, once what was written before has left.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        Poll::Ready(self.write(slices))
    }

    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self { io, session, unsent, .. } = self;
        BUFFERS.with_borrow_mut(|Buffers { gathered, sealed, .. }| {
            sealed.clear();
            let taken = seal(session, slices, gathered, sealed)?;
            send_or_keep(io, sealed.bytes(), unsent)?;
            Ok(taken)
        })
    }

    /// Whether all that was written has left for the socket.
    pub fn is_flushed(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Waits until all that was written has left for the socket.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            ready!(self.poll_send(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// The same for a part of it: ready whenever the client has taken something.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            bytes::Buf::advance(&mut self.unsent, sent);
            if self.unsent.is_empty() {
                self.unsent = BytesMut::new();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Says that we will send no more, and closes this side.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.say_end()?;
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Says that we will send no more, without waiting. Only for the end of a whole answer: a client takes it as proof
    /// that nothing is missing.
    pub fn say_end(&mut self) -> io::Result<()> {
        let Self { io, session, unsent, .. } = self;
        BUFFERS.with_borrow_mut(|Buffers { sealed, .. }| {
            sealed.clear();
            session.close(sealed)?;
            send_or_keep(io, sealed.bytes(), unsent)
        })
    }
}

/// Receives behind what is pending already. `None`: the client has closed.
fn poll_receive<'b>(
    io: &mut TcpStream,
    pending: &[u8],
    buffer: &'b mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Option<&'b mut [u8]>>> {
    let room = pending.len() + READ;
    if buffer.len() < room {
        buffer.resize(room, 0);
    }
    let mut read = ReadBuf::new(&mut buffer[..room]);
    read.put_slice(pending);
    ready!(Pin::new(io).poll_read(cx, &mut read))?;
    let filled = read.filled().len();
    Poll::Ready(Ok((filled > pending.len()).then(|| &mut buffer[..filled])))
}

/// Seals as much as one batch takes: records are filled across pieces, so that a head and its body are one.
fn seal(
    session: &mut Session,
    slices: &[IoSlice<'_>],
    gathered: &mut Vec<u8>,
    sealed: &mut Sealed,
) -> io::Result<usize> {
    let mut taken = 0;
    gathered.clear();
    for (at, slice) in slices.iter().enumerate() {
        let mut data = &slice[..slice.len().min(BATCH - taken)];
        let is_last = at + 1 == slices.len();
        taken += data.len();
        while !data.is_empty() {
            let whole = if is_last { data.len() } else { data.len() - data.len() % RECORD };
            if gathered.is_empty() && whole > 0 {
                session.seal(&data[..whole], sealed)?;
                data = &data[whole..];
                continue;
            }
            let here = data.len().min(RECORD - gathered.len());
            gathered.extend_from_slice(&data[..here]);
            data = &data[here..];
            if gathered.len() == RECORD {
                session.seal(gathered, sealed)?;
                gathered.clear();
            }
        }
    }
    if !gathered.is_empty() {
        session.seal(gathered, sealed)?;
    }
    Ok(taken)
}

/// Sends what the socket takes at once, and keeps the rest; behind what is kept already, all of it.
fn send_or_keep(io: &TcpStream, sealed: &[u8], unsent: &mut BytesMut) -> io::Result<()> {
    let sent = match unsent.is_empty() && !sealed.is_empty() {
        true => match io.try_write(sealed) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            sent => sent?,
        },
        false => 0,
    };
    unsent.extend_from_slice(&sealed[sent..]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::fixture::{Kind, made, trusting};
    use crate::tls::{Pair, Settings, Terminator, Tickets, Version};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::ClientConfig;
    use tokio_rustls::rustls::version::{TLS12, TLS13};

    fn config() -> Arc<ServerConfig> {
        let certificate = made(Kind::Ecdsa, &["a.test"]).certificate();
        let pair = Pair { cert: "a.pem".into(), key: "a.key".into(), certificate };
        let settings = Settings { certificates: vec![pair], min_version: Version::Tls12 };
        Terminator::new(&settings, &Tickets::new().unwrap()).unwrap().config()
    }

    async fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (near, far) = tokio::join!(listener.accept(), TcpStream::connect(listener.local_addr().unwrap()));
        (near.unwrap().0, far.unwrap())
    }

    async fn shaken(client: ClientConfig) -> (Stream, TlsStream<TcpStream>) {
        let (near, far) = sockets().await;
        let mut near = Stream::new(near, config()).unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let (shaken, far) =
            tokio::join!(near.handshake(), connector.connect("a.test".try_into().unwrap(), far));
        shaken.unwrap();
        (near, far.unwrap())
    }

    async fn write_all(stream: &mut Stream, mut data: &[u8]) {
        while !data.is_empty() {
            let taken = poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(data)])).await.unwrap();
            data = &data[taken..];
        }
        poll_fn(|cx| stream.poll_flush(cx)).await.unwrap();
    }

    fn at_rest(stream: &Stream) -> bool {
        stream.plain.capacity() == 0 && stream.unsent.capacity() == 0 && stream.session.pending().is_empty()
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 + at / 256) as u8).collect()
    }

    #[tokio::test]
    async fn questions_and_answers_of_any_length_arrive() {
        for version in [&TLS12, &TLS13] {
            let (mut near, mut far) = shaken(trusting(&[version])).await;
            for length in [1, 1000, RECORD - 1, RECORD, RECORD + 1, 100_000, 1_000_000] {
                let data = pattern(length);
                let client = async {
                    far.write_all(&data).await.unwrap();
                    far.flush().await.unwrap();
                    let mut back = vec![0; length];
                    far.read_exact(&mut back).await.unwrap();
                    back
                };
                let server = async {
                    let mut ahead = BytesMut::new();
                    while ahead.len() < length {
                        assert!(poll_fn(|cx| near.poll_ahead(cx, &mut ahead)).await.unwrap() > 0);
                    }
                    write_all(&mut near, &ahead).await;
                };
                let (back, ()) = tokio::join!(client, server);
                assert!(back == data, "{length}");
                assert!(at_rest(&near), "a buffer is kept at rest");
            }
        }
    }

    #[tokio::test]
    async fn what_a_reader_has_no_room_for_waits_for_it() {
        let (mut near, mut far) = shaken(trusting(&[&TLS13])).await;
        let data = pattern(40_000);
        far.write_all(&data).await.unwrap();
        far.shutdown().await.unwrap();
        let mut got = Vec::new();
        loop {
            let mut room = [0; 777];
            let mut out = ReadBuf::new(&mut room);
            poll_fn(|cx| near.poll_read(cx, &mut out)).await.unwrap();
            if out.filled().is_empty() {
                break;
            }
            got.extend_from_slice(out.filled());
        }
        assert!(got == data);
        assert!(at_rest(&near));
    }

    #[tokio::test]
    async fn what_the_socket_does_not_take_is_sent_once_it_does() {
        let (mut near, mut far) = shaken(trusting(&[&TLS13])).await;
        let sockets = [socket2::SockRef::from(near.socket()), socket2::SockRef::from(far.get_ref().0)];
        sockets[0].set_send_buffer_size(4096).unwrap();
        sockets[1].set_recv_buffer_size(4096).unwrap();
        let data = pattern(600_000);
        // As the front does: without waiting, until nothing more is taken.
        let mut taken = 0;
        let stuck = loop {
            match near.try_write(&[IoSlice::new(&data[taken..])]) {
                Ok(more) => taken += more,
                Err(error) => break error,
            }
        };
        assert_eq!(stuck.kind(), io::ErrorKind::WouldBlock);
        assert!(taken < data.len() && !near.is_flushed() && near.unsent.len() <= BATCH + 4 * 300);
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            let mut room = [0; 1000];
            while got.len() < 600_000 {
                let read = far.read(&mut room).await.unwrap();
                got.extend_from_slice(&room[..read]);
            }
            got
        });
        poll_fn(|cx| near.poll_flush(cx)).await.unwrap();
        assert!(near.is_flushed());
        write_all(&mut near, &data[taken..]).await;
        assert!(reader.await.unwrap() == data);
        assert!(at_rest(&near));
    }

    /// The lengths of the records in what was received.
    fn records(mut wire: &[u8]) -> Vec<usize> {
        let mut records = Vec::new();
        while let [23, 3, 3, high, low, rest @ ..] = wire {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            // RFC 8446 §5.2: a byte for the type, and 16 for the tag.
            records.push(length - 17);
            wire = &rest[length..];
        }
        records
    }

    #[tokio::test]
    async fn head_and_body_share_full_records() {
        let (mut near, mut far) = shaken(trusting(&[&TLS13])).await;
        // The tickets come first.
        write_all(&mut near, b"x").await;
        far.read_exact(&mut [0]).await.unwrap();
        let (mut far, _) = far.into_inner();
        let head = [b'h'; 300];
        let rows: [(usize, &[usize]); 4] = [
            (0, &[300]),
            (RECORD - 300, &[RECORD]),
            (RECORD, &[RECORD, 300]),
            (BATCH, &[RECORD, RECORD, RECORD, RECORD, 300]),
        ];
        for (length, expected) in rows {
            let body = pattern(length);
            let mut written = 0;
            while written < 300 + length {
                let head_left = &head[written.min(300)..];
                let body_left = &body[written.saturating_sub(300)..];
                let slices = [IoSlice::new(head_left), IoSlice::new(body_left)];
                written += poll_fn(|cx| near.poll_write(cx, &slices)).await.unwrap();
            }
            poll_fn(|cx| near.poll_flush(cx)).await.unwrap();
            let sealed: usize = expected.iter().map(|length| length + 22).sum();
            let mut wire = vec![0; sealed];
            far.read_exact(&mut wire).await.unwrap();
            assert_eq!(records(&wire), expected, "{length}");
        }
    }

    #[tokio::test]
    async fn the_end_is_said_and_heard_on_either_side_alone() {
        let (mut near, mut far) = shaken(trusting(&[&TLS13])).await;
        far.write_all(b"question").await.unwrap();
        far.shutdown().await.unwrap();
        let mut ahead = BytesMut::new();
        while poll_fn(|cx| near.poll_ahead(cx, &mut ahead)).await.unwrap() > 0 {}
        assert_eq!(ahead, "question");
        write_all(&mut near, b"answer").await;
        poll_fn(|cx| near.poll_shutdown(cx)).await.unwrap();
        let mut answer = String::new();
        // Without a close_notify this is an error.
        far.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }

    #[tokio::test]
    async fn a_client_that_just_closes_is_an_end_too() {
        let (mut near, far) = shaken(trusting(&[&TLS13])).await;
        let mut socket = far.into_inner().0;
        socket.shutdown().await.unwrap();
        let read = poll_fn(|cx| near.poll_ahead(cx, &mut BytesMut::new())).await;
        assert_eq!(read.unwrap(), 0);
    }

    #[tokio::test]
    async fn who_does_not_speak_tls_is_told_apart_and_loses_nothing() {
        let rows: [(&[u8], &str); 3] =
            [(b"GET / HTTP/1.1\r\n", "Plain"), (b"", "Nothing"), (&[22, 3, 1, 0, 9, 0], "UnexpectedEof")];
        for (sent, expected) in rows {
            let (near, mut far) = sockets().await;
            far.write_all(sent).await.unwrap();
            far.shutdown().await.unwrap();
            let mut near = Stream::new(near, config()).unwrap();
            let refused = near.handshake().await.unwrap_err();
            assert!(format!("{refused:?}").contains(expected), "{refused:?}");
            if let Refusal::Plain = refused {
                let mut read = Vec::new();
                near.into_socket().read_to_end(&mut read).await.unwrap();
                assert_eq!(read, sent);
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_trust_us_says_so_and_it_is_no_hang() {
        let (near, far) = sockets().await;
        let mut near = Stream::new(near, config()).unwrap();
        let client = ClientConfig::builder_with_provider(crate::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(tokio_rustls::rustls::RootCertStore::empty())
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(client));
        let shake = tokio::time::timeout(Duration::from_secs(10), near.handshake());
        let (shaken, far) = tokio::join!(shake, connector.connect("a.test".try_into().unwrap(), far));
        assert!(matches!(shaken.unwrap(), Err(Refusal::Failed(_))));
        assert!(far.is_err());
    }
}
