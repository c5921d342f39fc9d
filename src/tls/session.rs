//! rustls without buffers of its own: what came in is understood in place, what goes out is sealed where it is sent from.
//!
//! rustls' usual interface keeps 4 KiB for reading per connection, also at rest, which is more than all the rest that
//! a connection takes. This one keeps what belongs to half a record, and nothing else.

use std::io;
use std::sync::Arc;
use tokio_rustls::rustls::server::UnbufferedServerConnection;
use tokio_rustls::rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use tokio_rustls::rustls::{Error, HandshakeKind, ServerConfig};

/// The most plaintext that one record carries (RFC 8446 §5.1).
pub const RECORD: usize = 16 * 1024;
/// What sealing adds to a record, at most (RFC 8446 §5.2).
const OVERHEAD: usize = 5 + 256;
/// The most that may wait for the rest of a record or of a handshake message: as much as rustls lets come together.
const MOST_PENDING: usize = 64 * 1024 + RECORD + OVERHEAD;

/// One side of a TLS connection: what it was sent, and what it has to say, without any socket.
pub struct Session {
    connection: UnbufferedServerConnection,
    /// Received, and not understood yet: a part of a record.
    pending: Vec<u8>,
    /// The other side has said that it will send no more.
    ended: bool,
    /// We have said so.
    closed: bool,
    /// Somebody broke the rules: nothing more is to be had of rustls.
    failed: bool,
}

/// Sealed bytes on their way out. The buffer is as long as it ever was; what counts of it ends at `end`.
#[derive(Default)]
pub struct Sealed {
    buffer: Vec<u8>,
    end: usize,
}

/// What is wanted of a session beside understanding what it was sent.
#[derive(Clone, Copy)]
enum Want<'d> {
    /// Nothing.
    Nothing,
    /// To say that no more will be sent.
    Close,
    /// To seal this.
    Seal(&'d [u8]),
}

impl Session {
    /// A session that begins.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self { connection, pending: Vec::new(), ended: false, closed: false, failed: false })
    }

    /// Whether nothing can be sent and received yet.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the other side has said that it will send no more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The protocol that both agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Whether the handshake took up an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// How many bytes wait for more. They go before what is received next.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Understands what was received: `wire` begins with what was [`pending`](Self::pending). Plaintext goes to `sink`,
    /// what has to be answered to `out`.
    ///
    /// # Errors
    /// The other side broke the rules; `out` has the alert that says so, and the session is of no more use.
    pub fn receive(&mut self, wire: &mut [u8], sink: impl FnMut(&[u8]), out: &mut Sealed) -> io::Result<()> {
        let taken = self.turn(wire, Want::Nothing, sink, out)?;
        let rest = wire.get(taken..).unwrap_or_default();
        // What belongs to half a record is kept in a buffer of its size; most often there is none, and no buffer.
        self.pending = if self.ended { Vec::new() } else { rest.to_vec() };
        match self.pending.len() > MOST_PENDING {
            true => Err(io::Error::new(io::ErrorKind::InvalidData, "a TLS message that is too long")),
            false => Ok(()),
        }
    }

    /// Seals plaintext, in full records as far as it goes.
    pub fn seal(&mut self, plain: &[u8], out: &mut Sealed) -> io::Result<()> {
        self.say(Want::Seal(plain), out)
    }

    /// Says that no more will be sent (RFC 8446 §6.1), once.
    pub fn close(&mut self, out: &mut Sealed) -> io::Result<()> {
        match std::mem::replace(&mut self.closed, true) || self.is_handshaking() {
            true => Ok(()),
            false => self.say(Want::Close, out),
        }
    }

    fn say(&mut self, want: Want<'_>, out: &mut Sealed) -> io::Result<()> {
        // rustls remembers how much of these bytes it has looked at: it must see the same ones again.
        let mut pending = std::mem::take(&mut self.pending);
        let mut late = false;
        let taken = self.turn(&mut pending, want, |_| late = true, out);
        // The bytes are gone, and with them what rustls remembers of them.
        self.failed |= taken.is_err();
        let taken = taken?;
        pending.drain(..taken);
        self.pending = pending;
        match late {
            // Whatever is whole was understood when it came.
            true => Err(io::Error::other("TLS records that nobody waited for")),
            false => Ok(()),
        }
    }

    /// Lets rustls go on until it waits for more, and does what is wanted then. Gives how much of `wire` was used.
    fn turn(
        &mut self,
        wire: &mut [u8],
        want: Want<'_>,
        mut sink: impl FnMut(&[u8]),
        out: &mut Sealed,
    ) -> io::Result<usize> {
        if self.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut want = want;
        let mut taken = 0;
        loop {
            let rest = wire.get_mut(taken..).unwrap_or_default();
            let UnbufferedStatus { discard, state, .. } = self.connection.process_tls_records(rest);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        sink(record.map_err(broken)?.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    out.fill(|room| match message.encode(room) {
                        Err(EncodeError::InsufficientSize(short)) => Err(short),
                        encoded => Ok(encoded.unwrap_or(0)),
                    })
                }
                // It is in `out`, and whoever has that sends it.
                Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    match std::mem::replace(&mut want, Want::Nothing) {
                        Want::Nothing => return Ok(taken + discard),
                        Want::Seal(plain) => out.seal(plain.len(), |room| traffic.encrypt(plain, room))?,
                        Want::Close => out.seal(0, |room| traffic.queue_close_notify(room))?,
                    }
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => {
                    return match want {
                        Want::Seal(_) => Err(io::ErrorKind::BrokenPipe.into()),
                        Want::Nothing | Want::Close => Ok(taken + discard),
                    };
                }
                // Early data is not allowed, so there is none.
                Ok(other) => return Err(io::Error::other(format!("{other:?}"))),
                Err(error) => {
                    let rest = wire.get_mut(taken + discard..).unwrap_or_default();
                    self.alert(rest, out);
                    return Err(broken(error));
                }
            }
            taken += discard;
        }
    }

    /// The alert that tells the other side what it did wrong (RFC 8446 §6.2), behind what was said before it.
    fn alert(&mut self, mut rest: &mut [u8], out: &mut Sealed) {
        (self.ended, self.closed, self.failed) = (true, true, true);
        while self.connection.wants_write() {
            let UnbufferedStatus { discard, state, .. } = self.connection.process_tls_records(rest);
            let Ok(ConnectionState::EncodeTlsData(mut message)) = state else { return };
            out.encode(&mut message);
            rest = rest.get_mut(discard..).unwrap_or_default();
        }
    }
}

impl Sealed {
    /// What is to be sent.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.end).unwrap_or_default()
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.end = 0;
    }

    /// Appends a message of the protocol itself.
    fn encode<D>(&mut self, message: &mut EncodeTlsData<'_, D>) {
        self.fill(|room| match message.encode(room) {
            Err(EncodeError::InsufficientSize(short)) => Err(short),
            encoded => Ok(encoded.unwrap_or(0)),
        });
    }

    /// Appends what a sealer writes, which says how much room it needs.
    fn fill(&mut self, mut write: impl FnMut(&mut [u8]) -> Result<usize, InsufficientSizeError>) {
        for _ in 0..2 {
            match write(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(written) => {
                    self.end += written;
                    return;
                }
                Err(short) => self.make_room(short.required_size),
            }
        }
    }

    fn seal(
        &mut self,
        plain: usize,
        mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        self.make_room(plain + (plain / RECORD + 1) * OVERHEAD);
        let mut exhausted = false;
        self.fill(|room| match write(room) {
            Ok(written) => Ok(written),
            Err(EncryptError::InsufficientSize(short)) => Err(short),
            // TLS 1.2 has no way to change keys that were used too often (RFC 8446 §5.5): the connection must end.
            Err(EncryptError::EncryptExhausted) => {
                exhausted = true;
                Ok(0)
            }
        });
        match exhausted {
            true => Err(io::Error::other("the keys of this TLS connection were used too often")),
            false => Ok(()),
        }
    }

    fn make_room(&mut self, room: usize) {
        if self.buffer.len() < self.end + room {
            self.buffer.resize(self.end + room, 0);
        }
    }
}

fn broken(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::fixture::{Kind, made, trusting};
    use crate::tls::{Pair, Settings, Terminator, Tickets, Version};
    use std::io::{Read, Write};
    use tokio_rustls::rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
    use tokio_rustls::rustls::version::{TLS12, TLS13};
    use tokio_rustls::rustls::{
        ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion,
        SupportedProtocolVersion,
    };

    fn config() -> Arc<ServerConfig> {
        let certificate = made(Kind::Ecdsa, &["a.test"]).certificate();
        let pair = Pair { cert: "a.pem".into(), key: "a.key".into(), certificate };
        let settings = Settings { certificates: vec![pair], min_version: Version::Tls12 };
        Terminator::new(&settings, &Tickets::new().unwrap()).unwrap().config()
    }

    /// A client and a session, and what they have said to each other.
    struct Pipe {
        client: ClientConnection,
        session: Session,
        got: Vec<u8>,
        told: Option<Error>,
    }

    impl Pipe {
        fn new(config: Arc<ServerConfig>, client: ClientConfig) -> Self {
            let client = ClientConnection::new(Arc::new(client), "a.test".try_into().unwrap()).unwrap();
            Self { client, session: Session::new(config).unwrap(), got: Vec::new(), told: None }
        }

        fn shaken(version: &'static SupportedProtocolVersion) -> Self {
            let mut pipe = Self::new(config(), trusting(&[version]));
            while pipe.client.is_handshaking() || pipe.session.is_handshaking() {
                pipe.up(usize::MAX).unwrap();
            }
            pipe
        }

        /// What the client has to say, in pieces of this size.
        fn up(&mut self, piece: usize) -> io::Result<()> {
            let mut wire = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut wire).unwrap();
            }
            for piece in wire.chunks(piece) {
                self.receive(piece)?;
            }
            Ok(())
        }

        fn receive(&mut self, piece: &[u8]) -> io::Result<()> {
            let mut wire = [self.session.pending(), piece].concat();
            let mut out = Sealed::default();
            let got = &mut self.got;
            let received = self.session.receive(&mut wire, |data| got.extend_from_slice(data), &mut out);
            self.down(&out);
            received
        }

        fn down(&mut self, out: &Sealed) {
            let mut wire = out.bytes();
            while !wire.is_empty() {
                self.client.read_tls(&mut wire).unwrap();
                self.told = self.client.process_new_packets().err();
            }
        }

        fn say(&mut self, data: &[u8]) -> Vec<u8> {
            let mut out = Sealed::default();
            self.session.seal(data, &mut out).unwrap();
            let (mut wire, mut heard, mut room) = (out.bytes(), Vec::new(), [0; 20_000]);
            while heard.len() < data.len() {
                self.client.read_tls(&mut wire).unwrap();
                self.client.process_new_packets().unwrap();
                // No whole record yet.
                let read = self.client.reader().read(&mut room).unwrap_or(0);
                heard.extend_from_slice(&room[..read]);
            }
            heard
        }
    }

    #[test]
    fn both_versions_carry_data_both_ways_however_it_is_cut() {
        for version in [&TLS12, &TLS13] {
            for piece in [1, 7, 1000, usize::MAX] {
                let mut client = trusting(&[version]);
                // A hello in many records.
                client.max_fragment_size = Some(40);
                let mut pipe = Pipe::new(config(), client);
                while pipe.client.is_handshaking() || pipe.session.is_handshaking() {
                    pipe.up(piece).unwrap();
                }
                let data: Vec<u8> = (0..50_000).map(|n| n as u8).collect();
                pipe.client.writer().write_all(&data).unwrap();
                pipe.up(piece).unwrap();
                assert_eq!(pipe.got, data, "{version:?} {piece}");
                assert_eq!(pipe.say(&data), data, "{version:?} {piece}");
                assert_eq!(pipe.session.pending.capacity(), 0, "a buffer is kept at rest");
            }
        }
    }

    #[test]
    fn keys_are_changed_when_the_client_asks_even_in_halves() {
        let mut pipe = Pipe::shaken(&TLS13);
        for piece in [usize::MAX, 1, 5, 6, 13] {
            pipe.client.refresh_traffic_keys().unwrap();
            let mut wire = Vec::new();
            pipe.client.write_tls(&mut wire).unwrap();
            for piece in wire.chunks(piece) {
                pipe.receive(piece).unwrap();
                // Whatever is half there must not be in the way of what is said meanwhile.
                assert_eq!(pipe.say(b"meanwhile"), b"meanwhile");
            }
            pipe.client.writer().write_all(b"after").unwrap();
            pipe.up(usize::MAX).unwrap();
            assert_eq!(std::mem::take(&mut pipe.got), b"after");
            assert_eq!(pipe.say(b"answer"), b"answer");
        }
    }

    #[test]
    fn the_end_is_heard_and_said_and_the_answer_comes_between() {
        for version in [&TLS12, &TLS13] {
            let mut pipe = Pipe::shaken(version);
            pipe.client.writer().write_all(b"question").unwrap();
            pipe.client.send_close_notify();
            pipe.up(usize::MAX).unwrap();
            assert!(pipe.session.has_ended());
            assert_eq!(pipe.got, b"question");
            assert_eq!(pipe.say(b"answer"), b"answer");
            let mut out = Sealed::default();
            pipe.session.close(&mut out).unwrap();
            assert!(!out.bytes().is_empty());
            pipe.down(&out);
            assert_eq!(pipe.client.reader().read(&mut [0]).unwrap(), 0, "the client did not hear the end");
            out.clear();
            pipe.session.close(&mut out).unwrap();
            assert!(out.bytes().is_empty(), "the end is said once");
        }
    }

    #[test]
    fn damaged_data_is_an_error_and_an_alert() {
        for version in [&TLS12, &TLS13] {
            let mut pipe = Pipe::shaken(version);
            pipe.client.writer().write_all(b"question").unwrap();
            let mut wire = Vec::new();
            pipe.client.write_tls(&mut wire).unwrap();
            *wire.last_mut().unwrap() ^= 1;
            let mut out = Sealed::default();
            let error = pipe.session.receive(&mut wire, |_| {}, &mut out).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(!out.bytes().is_empty(), "no alert");
            let mut alert = out.bytes();
            pipe.client.read_tls(&mut alert).unwrap();
            let told = pipe.client.process_new_packets().unwrap_err();
            assert_eq!(told, Error::AlertReceived(tokio_rustls::rustls::AlertDescription::BadRecordMac));
        }
    }

    #[test]
    fn a_client_that_offers_nothing_that_fits_is_told_so() {
        let mut client = trusting(&[&TLS13]);
        client.alpn_protocols = vec![b"gopher".to_vec()];
        let mut pipe = Pipe::new(config(), client);
        assert!(pipe.up(usize::MAX).is_err());
        let expected = tokio_rustls::rustls::AlertDescription::NoApplicationProtocol;
        assert_eq!(pipe.told, Some(Error::AlertReceived(expected)));
    }

    #[test]
    fn whatever_a_stranger_sends_ends_in_an_error_or_in_silence() {
        let config = config();
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..1000 {
            let version = if random.bool() { &TLS12 } else { &TLS13 };
            let mut pipe = Pipe::new(config.clone(), trusting(&[version]));
            // The damage is done to the first, second, third … flight.
            for _ in 0..round % 3 {
                pipe.up(usize::MAX).unwrap();
            }
            if random.bool() && !pipe.client.is_handshaking() {
                pipe.client.writer().write_all(&[7; 300]).unwrap();
            }
            let mut wire = Vec::new();
            pipe.client.write_tls(&mut wire).unwrap();
            for _ in 0..random.usize(1..4) {
                damage(&mut wire, &mut random);
            }
            let piece = random.usize(1..400);
            for piece in wire.chunks(piece) {
                if pipe.receive(piece).is_err() {
                    break;
                }
            }
            let _ = pipe.session.seal(b"x", &mut Sealed::default());
            let _ = pipe.session.close(&mut Sealed::default());
        }
    }

    /// A client that has the keys and says with them whatever it likes.
    struct Insider {
        encrypter: Box<dyn MessageEncrypter>,
        sequence: u64,
    }

    impl Insider {
        fn enter(config: Arc<ServerConfig>) -> (Self, Session) {
            let mut client = trusting(&[&TLS13]);
            client.enable_secret_extraction = true;
            let mut pipe = Pipe::new(config, client);
            while pipe.client.is_handshaking() || pipe.session.is_handshaking() {
                pipe.up(usize::MAX).unwrap();
            }
            let suite = pipe.client.negotiated_cipher_suite().and_then(|suite| suite.tls13()).unwrap();
            let (sequence, secrets) = pipe.client.dangerous_extract_secrets().unwrap().tx;
            let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
            | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
            else {
                panic!("other keys");
            };
            (Self { encrypter: suite.aead_alg.encrypter(key, iv), sequence }, pipe.session)
        }

        fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
            let payload = OutboundChunks::Single(payload);
            let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_3, payload };
            self.sequence += 1;
            self.encrypter.encrypt(message, self.sequence - 1).unwrap().encode()
        }
    }

    fn receive(session: &mut Session, record: &[u8]) -> io::Result<()> {
        let mut wire = [session.pending(), record].concat();
        session.receive(&mut wire, |_| {}, &mut Sealed::default())
    }

    #[test]
    fn half_a_message_of_the_protocol_is_not_in_the_way_of_what_is_said() {
        let (mut insider, mut session) = Insider::enter(config());
        // RFC 8446 §4.6.3: a KeyUpdate that asks for another.
        for half in [&[24, 0][..], &[0, 1, 1]] {
            let record = insider.record(ContentType::Handshake, half);
            receive(&mut session, &record).unwrap();
            let mut out = Sealed::default();
            session.seal(b"meanwhile", &mut out).unwrap();
            assert!(!out.bytes().is_empty());
        }
        assert_eq!(session.pending.capacity(), 0);
    }

    #[test]
    fn whatever_an_insider_sends_ends_in_an_error_or_in_silence() {
        let config = config();
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..300 {
            let (mut insider, mut session) = Insider::enter(config.clone());
            for _ in 0..6 {
                let typ = [
                    ContentType::Handshake,
                    ContentType::Handshake,
                    ContentType::ApplicationData,
                    ContentType::Alert,
                ];
                let typ = typ[random.usize(..4)];
                let mut payload: Vec<u8> = (0..random.usize(..12)).map(|_| random.u8(..3)).collect();
                if typ == ContentType::Handshake && random.bool() {
                    payload.splice(0..0, [24, 0, 0, 1, random.u8(..3)]);
                    payload.truncate(random.usize(1..8));
                }
                let record = insider.record(typ, &payload);
                let cut = random.usize(..record.len());
                if receive(&mut session, &record[..cut]).is_err() {
                    break;
                }
                let _ = session.seal(b"meanwhile", &mut Sealed::default());
                if receive(&mut session, &record[cut..]).is_err() {
                    break;
                }
                let _ = session.seal(b"meanwhile", &mut Sealed::default());
            }
            let _ = session.close(&mut Sealed::default());
        }
    }

    fn damage(wire: &mut Vec<u8>, random: &mut fastrand::Rng) {
        if wire.is_empty() {
            return wire.extend((0..random.usize(0..64)).map(|_| random.u8(..)));
        }
        let at = random.usize(..wire.len());
        match random.u8(..5) {
            0 => wire[at] = random.u8(..),
            1 => wire[at] ^= 1 << random.u8(..8),
            2 => wire.truncate(at),
            3 => wire.insert(at, random.u8(..)),
            _ => wire.extend_from_within(at..),
        }
    }
}
