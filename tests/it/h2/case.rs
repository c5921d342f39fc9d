//! One row of the table: what is sent, what RFC 9113 asks for, and what happens instead, with its reason.

use super::frame::*;
use crate::dsl::{Edge, HOST, Site, connect, soon, trusting};
use std::fmt;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Error codes, RFC 9113 §7.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code(u32);

pub const NO_ERROR: Code = Code(0);
pub const PROTOCOL_ERROR: Code = Code(1);
pub const FLOW_CONTROL_ERROR: Code = Code(3);
pub const STREAM_CLOSED: Code = Code(5);
pub const FRAME_SIZE_ERROR: Code = Code(6);
pub const REFUSED_STREAM: Code = Code(7);
pub const COMPRESSION_ERROR: Code = Code(9);
pub const ENHANCE_YOUR_CALM: Code = Code(11);

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        f.write_str(NAMES.get(self.0 as usize).unwrap_or(&"an unknown code"))
    }
}

/// How the server takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The request on the stream is answered, to its end.
    Answer(u16),
    /// The connection is closed without a word.
    Closed,
    /// GOAWAY, and the connection is closed.
    Goaway(Code),
    /// Nothing: a request that follows is answered.
    Ignored,
    /// RST_STREAM on the stream.
    Reset(Code),
}

use Reaction::*;

/// What a connection does before its reaction is looked at.
pub enum Step {
    Send(Vec<u8>),
    /// Waits until a stream is answered to its end.
    Answered(u32),
    /// Waits for a frame of this type on this stream.
    Await(u8, u32),
}

/// Why frames of a wrong length end the connection with another code.
pub const UNREADABLE: &str = "The `h2` crate has one code for every frame whose payload it cannot read. The connection \
    ends, which §5.4.1 allows at any time; the code only conveys the reason (§7).";

pub struct Case {
    section: &'static str,
    name: &'static str,
    steps: Vec<Step>,
    stream: u32,
    begins: bool,
    follows: bool,
    wanted: Vec<Reaction>,
    done: Reaction,
    why: &'static str,
}

/// A case of a section of RFC 9113, or with `HPACK` before it of RFC 7541: these bytes, after the settings are
/// exchanged.
pub fn case(section: &'static str, name: &'static str, bytes: impl IntoIterator<Item = Vec<u8>>) -> Case {
    let steps = vec![Step::Send(bytes.into_iter().flatten().collect())];
    let (wanted, done) = (vec![], Ignored);
    Case { section, name, steps, stream: 1, begins: true, follows: true, wanted, done, why: "" }
}

impl Case {
    /// Nothing is exchanged before.
    pub fn at_the_first_byte(mut self) -> Self {
        self.begins = false;
        self
    }

    /// Then it waits for the answer on a stream, and sends more.
    pub fn answered(mut self, stream: u32, bytes: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.steps.push(Step::Answered(stream));
        self.steps.push(Step::Send(bytes.into_iter().flatten().collect()));
        self
    }

    /// Then it waits for a frame, and sends more.
    pub fn then(mut self, kind: u8, stream: u32, bytes: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.steps.push(Step::Await(kind, stream));
        self.steps.push(Step::Send(bytes.into_iter().flatten().collect()));
        self
    }

    /// The stream on which the reaction is looked for.
    pub fn on(mut self, stream: u32) -> Self {
        self.stream = stream;
        self
    }

    /// No request can follow: something is unfinished.
    pub fn last_word(mut self) -> Self {
        self.follows = false;
        self
    }

    /// What the RFC allows. The first is what is done, unless something else is said.
    pub fn wants(mut self, wanted: &[Reaction]) -> Self {
        (self.wanted, self.done) = (wanted.to_vec(), wanted[0]);
        self
    }

    /// A request that is to be answered.
    pub fn gets_answered(self) -> Self {
        self.wants(&[Answer(200)])
    }

    /// Something that has no effect.
    pub fn gets_ignored(self) -> Self {
        self.wants(&[Ignored])
    }

    /// RFC 9113 §5.4.1.
    pub fn breaks_the_connection(self, code: Code) -> Self {
        self.wants(&[Goaway(code)])
    }

    /// RFC 9113 §5.4.2; and §5.4.1: an endpoint may treat it as an error of the connection.
    pub fn breaks_the_stream(self, code: Code) -> Self {
        self.wants(&[Reset(code), Goaway(code)])
    }

    /// RFC 9113 §8.1.1: a stream error, before which a server may answer.
    pub fn gets_refused(self) -> Self {
        self.wants(&[Reset(PROTOCOL_ERROR), Answer(400), Goaway(PROTOCOL_ERROR)])
    }

    /// RFC 9113 §4.3, and RFC 7541 throughout.
    pub fn cannot_be_decoded(self) -> Self {
        self.breaks_the_connection(COMPRESSION_ERROR).instead(
            Goaway(PROTOCOL_ERROR),
            "The `h2` crate has one code for all that it cannot decode. What §4.3 protects is protected: the \
             connection, whose tables no longer agree, ends. The code only conveys the reason (§7).",
        )
    }

    /// RFC 9113 §4.2 and the length that §6 fixes for each frame.
    pub fn has_a_wrong_length(self) -> Self {
        self.breaks_the_connection(FRAME_SIZE_ERROR).instead(Goaway(PROTOCOL_ERROR), UNREADABLE)
    }

    /// Another of the reactions that are allowed.
    pub fn by(mut self, done: Reaction) -> Self {
        assert!(self.wanted.contains(&done), "{self}: {done:?} is not allowed: use `instead`");
        self.done = done;
        self
    }

    /// What happens though the RFC does not ask for it, and why.
    pub fn instead(mut self, done: Reaction, why: &'static str) -> Self {
        assert!(!self.wanted.contains(&done), "{self}: {done:?} is allowed: use `by`");
        (self.done, self.why) = (done, why);
        self
    }

    /// Plays it and says what was wrong with it.
    pub async fn play(&self, edge: &Edge) -> Result<(), String> {
        let played = soon(self.reaction(edge), &format!("{self}")).await;
        match played {
            Ok(reaction) if reaction == self.done => Ok(()),
            other => Err(format!("{self}: expected {:?}, but it is {other:?}", self.done)),
        }
    }

    /// What a reader of RFC 9113 would not expect, as a row of a table.
    pub fn deviation(&self) -> Option<String> {
        (!self.why.is_empty()).then(|| {
            format!(
                "| {} | {} | {:?} | {:?} | {} |",
                self.section, self.name, self.wanted, self.done, self.why
            )
        })
    }

    async fn reaction(&self, edge: &Edge) -> Result<Reaction, String> {
        let mut wire = Wire::open(edge).await?;
        if self.begins {
            wire.exchange_settings().await?;
        }
        for step in &self.steps {
            match step {
                Step::Send(bytes) => wire.send(bytes).await,
                Step::Answered(stream) => match wire.outcome(*stream, 0).await? {
                    Answer(_) => {}
                    other => return Err(format!("stream {stream}: {other:?} instead of an answer")),
                },
                Step::Await(kind, stream) => wire.frame(*kind, *stream).await?,
            }
        }
        // Whatever it was, it has been dealt with once a request that follows is answered.
        let probe = if self.follows && !matches!(self.done, Answer(_)) { PROBE } else { 0 };
        if probe != 0 {
            wire.send(&get(probe)).await;
        }
        let mut reaction = wire.outcome(self.stream, probe).await?;
        if reaction == Ignored && self.done != Ignored {
            // An answer may take longer than that of the request that followed.
            let later = timeout(Duration::from_secs(1), wire.outcome(self.stream, 0)).await;
            reaction = later.unwrap_or(Ok(Ignored))?;
        }
        if let Goaway(_) = reaction {
            // RFC 9113 §5.4.1: after sending the GOAWAY frame, the endpoint must close the TCP connection.
            wire.end().await;
        }
        Ok(reaction)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "§{} {}", self.section, self.name)
    }
}

/// The stream of the request that follows.
const PROBE: u32 = 0x1001;

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection that is shown as frames.
struct Wire {
    stream: Box<dyn Io>,
    read: Vec<u8>,
    /// What streams were answered with so far.
    statuses: Vec<(u32, u16)>,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Wire {
    async fn open(edge: &Edge) -> Result<Self, String> {
        let stream: Box<dyn Io> = if edge.mode.tls {
            let connector = trusting(&[Site::usual()], &["h2"]);
            Box::new(connect(&connector, edge.address, HOST).await.map_err(|error| error.to_string())?)
        } else {
            let stream = TcpStream::connect(edge.address).await.map_err(|error| error.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            Box::new(stream)
        };
        Ok(Self { stream, read: vec![], statuses: vec![] })
    }

    async fn exchange_settings(&mut self) -> Result<(), String> {
        self.send(&[PREFACE, &settings(&[]), &frame(SETTINGS, ACK, 0, [])].concat()).await;
        self.frame(SETTINGS, 0).await?;
        self.frame(SETTINGS, 0).await
    }

    /// The other side may have closed already: what it said is still to be read.
    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// The next frame; none at the end of the connection.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(head) = self.read.first_chunk::<9>() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if self.read.len() >= 9 + length {
                    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    let (kind, flags) = (head[3], head[4]);
                    let rest = self.read.split_off(9 + length);
                    let payload = std::mem::replace(&mut self.read, rest).split_off(9);
                    self.note(kind, stream, &payload);
                    return Some(Frame { kind, flags, stream, payload });
                }
            }
            if self.stream.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Remembers the status that a stream is answered with; trailers have none.
    fn note(&mut self, kind: u8, stream: u32, section: &[u8]) {
        if kind == HEADERS && !self.statuses.iter().any(|(known, _)| *known == stream) {
            self.statuses.push((stream, status(section)));
        }
    }

    /// Waits for a frame.
    async fn frame(&mut self, kind: u8, stream: u32) -> Result<(), String> {
        while let Some(frame) = self.next().await {
            if (frame.kind, frame.stream) == (kind, stream) {
                return Ok(());
            }
        }
        Err(format!("no frame of type {kind} on stream {stream}"))
    }

    /// What becomes of a stream, or of the connection, unless `probe` is answered first.
    async fn outcome(&mut self, wanted: u32, probe: u32) -> Result<Reaction, String> {
        while let Some(Frame { kind, flags, stream, payload }) = self.next().await {
            match kind {
                GOAWAY => return Ok(Goaway(code(&payload[4..])?)),
                RST_STREAM if stream == wanted => return Ok(Reset(code(&payload)?)),
                RST_STREAM if stream == probe => {
                    return Err(format!("the request that followed: {:?}", code(&payload)));
                }
                PING if flags & ACK == 0 => self.send(&frame(PING, ACK, 0, payload)).await,
                _ => {}
            }
            if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                let known =
                    self.statuses.iter().find(|(known, _)| *known == stream).map(|(_, status)| *status);
                match known {
                    Some(status) if stream == wanted => return Ok(Answer(status)),
                    Some(200) if stream == probe => return Ok(Ignored),
                    Some(status) if stream == probe => {
                        return Err(format!("the request that followed: {status}"));
                    }
                    _ => {}
                }
            }
        }
        Ok(Closed)
    }

    async fn end(&mut self) {
        while self.next().await.is_some() {}
    }
}

fn code(payload: &[u8]) -> Result<Code, String> {
    let bytes = payload.first_chunk::<4>().ok_or("an error code of fewer than four bytes")?;
    Ok(Code(u32::from_be_bytes(*bytes)))
}

/// The status that a field section begins with: RFC 7541, appendix A, or a literal whose name is `:status`; else 0.
fn status(section: &[u8]) -> u16 {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match section {
        // A change of the table's size, RFC 7541 §6.3.
        [0x20..=0x3e, rest @ ..] => status(rest),
        [0x3f, rest @ ..] => {
            let end = rest.iter().position(|byte| *byte < 0x80).map_or(rest.len(), |last| last + 1);
            status(&rest[end..])
        }
        [first @ 0x88..=0x8e, ..] => INDEXED[usize::from(first - 0x88)],
        [0x08 | 0x18 | 0x48, value @ ..] => {
            (100..600).find(|status| value.starts_with(&huffman(*status))).unwrap_or(0)
        }
        _ => 0,
    }
}

/// Three digits, Huffman-coded: RFC 7541, appendix B.
fn huffman(status: u16) -> Vec<u8> {
    let (mut bits, mut length) = (0u32, 0);
    for digit in status.to_string().bytes().map(|digit| u32::from(digit - b'0')) {
        let (code, more) = if digit < 3 { (digit, 5) } else { (0x19 + digit - 3, 6) };
        (bits, length) = (bits << more | code, length + more);
    }
    let fill = (8 - length % 8) % 8;
    let bytes = (bits << fill | ((1 << fill) - 1)).to_be_bytes();
    let count = (length + fill) / 8;
    [&[0x80 | count as u8][..], &bytes[4 - count..]].concat()
}
