//! An origin server that a test scripts: real sockets, every request recorded, every step under the test's control.

use super::reply::{Framing, Kind, Reply, Step};
use super::until;
use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// A request as the origin saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its target, as sent.
    pub target: String,
    /// Its fields, in order.
    pub fields: Vec<(String, String)>,
    /// Its body, decoded.
    pub body: Vec<u8>,
    /// How many the origin had seen before.
    pub index: usize,
    /// How many came before it on its connection.
    pub nth: usize,
}

impl Seen {
    /// The value of a field; several lines joined.
    pub fn field(&self, name: &str) -> Option<String> {
        let lines = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.clone()).reduce(|all, next| all + ", " + &next)
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }
}

type Script = Box<dyn Fn(&Seen) -> Reply + Send + Sync>;

struct Shared {
    script: Script,
    begun: AtomicUsize,
    written: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
}

/// A running origin.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Origin {
    /// Starts one that answers as the script says.
    pub async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (begun, written) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shared = Arc::new(Shared { script: Box::new(script), begun, written, seen: Mutex::default() });
        let task = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Self { address, shared, task }
    }

    /// Ends it: its port is closed and so is every connection.
    pub async fn kill(&self) {
        self.task.abort();
        until("the origin to be gone", || self.task.is_finished()).await;
    }

    /// Starts it again on the same port.
    pub async fn revive(&mut self) {
        self.kill().await;
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(64).unwrap();
        self.task = tokio::spawn(accept(listener, self.shared.clone())).abort_handle();
    }

    /// Every complete request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// The latest complete request.
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("the origin has seen no request")
    }

    /// Complete requests for a path.
    pub fn requests(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path() == path).count()
    }

    /// Request heads, of complete requests or not.
    pub fn begun(&self) -> usize {
        self.shared.begun.load(Ordering::SeqCst)
    }
}

impl Origin {
    /// Waits until it is held back, or done; gives the bytes of body that were taken from it.
    pub async fn stalled(&self) -> usize {
        let written = || self.shared.written.load(Ordering::SeqCst);
        let (last, same) = (AtomicUsize::new(0), AtomicUsize::new(0));
        until("the origin to be held back", || {
            let now = written();
            if now == 0 || last.swap(now, Ordering::SeqCst) != now {
                same.store(0, Ordering::SeqCst);
            }
            same.fetch_add(1, Ordering::SeqCst) > 50
        })
        .await;
        written()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Its connections end with it.
    let mut connections = JoinSet::new();
    while let Ok((io, _)) = listener.accept().await {
        let _ = io.set_nodelay(true);
        connections.spawn(serve(io, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut io: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    for nth in 0.. {
        let Some(mut seen) = read_head(&mut io, &mut buffer).await? else { return Ok(()) };
        shared.begun.fetch_add(1, Ordering::SeqCst);
        if seen.field("expect").is_some() {
            io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        seen.body = read_body(&mut io, &mut buffer, &seen).await?;
        seen.nth = nth;
        {
            let mut all = shared.seen.lock();
            seen.index = all.len();
            all.push(seen.clone());
        }
        let reply = (shared.script)(&seen);
        if !answer(&mut io, &mut buffer, &shared, &seen.method, &reply).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes an answer; says whether the connection goes on.
async fn answer(
    io: &mut TcpStream,
    rest: &mut BytesMut,
    shared: &Shared,
    method: &str,
    reply: &Reply,
) -> io::Result<bool> {
    if let Some(gate) = &reply.hold {
        gate.pass().await;
    }
    if reply.kind == Kind::Hangup {
        return Ok(false);
    }
    io.write_all(&reply.head()).await?;
    if reply.kind == Kind::Upgrade {
        return echo(io, rest).await.map(|()| false);
    }
    if method == "HEAD" || matches!(reply.status, 204 | 304) {
        return Ok(!reply.close);
    }
    for step in &reply.steps {
        match step {
            Step::Piece(data) if data.is_empty() => {}
            Step::Piece(data) if reply.framing == Framing::Chunked => {
                let head = format!("{:x}\r\n", data.len());
                io.write_all(&[head.as_bytes(), data, b"\r\n"].concat()).await?;
            }
            Step::Piece(data) => io.write_all(data).await?,
            Step::Wait(gate) => gate.pass().await,
            Step::Cut => return Ok(false),
        }
        if let Step::Piece(data) = step {
            shared.written.fetch_add(data.len(), Ordering::SeqCst);
        }
    }
    if reply.framing == Framing::Chunked {
        io.write_all(b"0\r\n\r\n").await?;
    }
    Ok(!reply.close && reply.framing != Framing::UntilClose)
}

async fn echo(io: &mut TcpStream, rest: &mut BytesMut) -> io::Result<()> {
    loop {
        io.write_all(&rest.split().to_ascii_uppercase()).await?;
        if io.read_buf(rest).await? == 0 {
            return Ok(());
        }
    }
}

async fn read_head(io: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<Seen>> {
    loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            let head = buffer.split_to(end + 4);
            return Ok(Some(parse(&String::from_utf8_lossy(&head))));
        }
        if io.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn parse(head: &str) -> Seen {
    let mut lines = head.trim_end().split("\r\n");
    let mut words = lines.next().unwrap().splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, target) = (word(), word());
    let field = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        (name.to_owned(), value.trim().to_owned())
    };
    Seen { method, target, fields: lines.map(field).collect(), ..Seen::default() }
}

async fn read_body(io: &mut TcpStream, buffer: &mut BytesMut, seen: &Seen) -> io::Result<Vec<u8>> {
    if seen.field("transfer-encoding").is_some() {
        return read_chunks(io, buffer).await;
    }
    let length = seen.field("content-length").map_or(0, |value| value.parse().unwrap());
    fill(io, buffer, length).await?;
    Ok(buffer.split_to(length).to_vec())
}

async fn read_chunks(io: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(end) = memchr::memmem::find(buffer, b"\r\n") {
                break buffer.split_to(end + 2);
            }
            let more = buffer.len() + 1;
            fill(io, buffer, more).await?;
        };
        let text = String::from_utf8_lossy(&line);
        let size = usize::from_str_radix(text.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        fill(io, buffer, size + 2).await?;
        body.extend_from_slice(&buffer[..size]);
        buffer.advance(size + 2);
        if size == 0 {
            return Ok(body);
        }
    }
}

async fn fill(io: &mut TcpStream, buffer: &mut BytesMut, length: usize) -> io::Result<()> {
    while buffer.len() < length {
        if io.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
