//! A small HTTP/1.1 server that misbehaves as it is told on standard input.

use crate::arguments::Arguments;
use crate::message;
use rustix::process::{Signal, set_parent_process_death_signal};
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Normal,
    /// Answers after a while.
    Slow(Duration),
    /// Answers everything with this status.
    Status(u16),
    /// The same, but its health check is fine.
    Silent(u16),
    /// Half a head, then a reset.
    Reset,
    /// Takes no new connections.
    Refuse,
    /// Turns dead and alive in turn.
    Flap(Duration),
}

struct Origin {
    name: String,
    mood: watch::Receiver<Mood>,
    /// False while it plays dead: open connections are reset.
    alive: watch::Receiver<bool>,
}

pub fn main(mut arguments: Arguments) -> Result<ExitCode, String> {
    let port: u16 = arguments.word("the port")?;
    let name: String = arguments.word("the name")?;
    arguments.end()?;
    // Nothing is left behind, not even a frozen one, when whoever started it is gone.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string())?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, serve(port, name)).map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(port: u16, name: String) -> io::Result<()> {
    let (tell, mood) = watch::channel(Mood::Normal);
    let (revive, alive) = watch::channel(true);
    read_orders(tell);
    tokio::task::spawn_local(flap(mood.clone(), revive));
    let origin = Rc::new(Origin { name, mood, alive });
    let (mut mood, mut alive) = (origin.mood.clone(), origin.alive.clone());
    let mut listener = None;
    loop {
        let takes = *alive.borrow_and_update() && *mood.borrow_and_update() != Mood::Refuse;
        // Closed, it refuses; open, it stays as it is, or those who wait in its queue would be reset.
        listener = if takes { Some(listener.map_or_else(|| listen(port), Ok)?) } else { None };
        tokio::select! {
            accepted = accept(listener.as_ref()) => {
                tokio::task::spawn_local(connection(origin.clone(), accepted?));
            }
            changed = mood.changed() => changed.map_err(io::Error::other)?,
            changed = alive.changed() => changed.map_err(io::Error::other)?,
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], port)))?;
    socket.listen(1024)
}

/// A thread, since reading standard input blocks. At its end the process ends.
fn read_orders(tell: watch::Sender<Mood>) {
    std::thread::spawn(move || {
        for line in io::stdin().lines() {
            let Ok(line) = line else { break };
            match mood(&line) {
                Some(mood) => tell.send_replace(mood),
                None => break,
            };
        }
        std::process::exit(0);
    });
}

fn mood(order: &str) -> Option<Mood> {
    let mut words = order.split_whitespace();
    let (word, number) = (words.next()?, words.next().and_then(|word| word.parse::<u16>().ok()));
    let millis = |number: u16| Duration::from_millis(u64::from(number));
    Some(match word {
        "normal" => Mood::Normal,
        "slow" => Mood::Slow(millis(number?)),
        "status" => Mood::Status(number?),
        "silent" => Mood::Silent(number?),
        "reset" => Mood::Reset,
        "refuse" => Mood::Refuse,
        "flap" => Mood::Flap(millis(number?)),
        _ => return None,
    })
}

/// Dies and revives for as long as it is told to flap.
async fn flap(mut mood: watch::Receiver<Mood>, revive: watch::Sender<bool>) {
    loop {
        let now = *mood.borrow_and_update();
        match now {
            Mood::Flap(period) => {
                revive.send_modify(|alive| *alive = !*alive);
                let _ = tokio::time::timeout(period, mood.changed()).await;
            }
            _ => {
                revive.send_replace(true);
                if mood.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn connection(origin: Rc<Origin>, stream: TcpStream) {
    let mut alive = origin.alive.clone();
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    let died = async {
        while *alive.borrow_and_update() {
            if alive.changed().await.is_err() {
                break;
            }
        }
    };
    let reset = tokio::select! {
        served = requests(&origin, &mut stream) => matches!(served, Ok(Ended::Reset)),
        () = died => true,
    };
    if reset {
        // Closing with a linger of zero sends a reset.
        let _ = SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO));
    }
}

enum Ended {
    Closed,
    Reset,
}

struct Request {
    method: String,
    path: String,
    body: Vec<u8>,
    close: bool,
}

async fn requests(origin: &Origin, stream: &mut BufReader<TcpStream>) -> io::Result<Ended> {
    while let Some(request) = read(stream).await? {
        if request.method == "POST" {
            // Whoever started it counts whether one is read twice.
            println!("{}", request.path);
        }
        let mood = *origin.mood.borrow();
        let healthy = request.path.starts_with("/healthz");
        let status = match mood {
            Mood::Slow(pause) => {
                sleep(pause).await;
                200
            }
            Mood::Status(status) => status,
            Mood::Silent(status) if !healthy => status,
            Mood::Reset => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Le").await?;
                // The half of the head arrives before the reset does.
                sleep(Duration::from_millis(2)).await;
                return Ok(Ended::Reset);
            }
            _ => 200,
        };
        stream.write_all(&answer(origin, &request, status)).await?;
        if request.close {
            return Ok(Ended::Closed);
        }
    }
    Ok(Ended::Closed)
}

fn answer(origin: &Origin, request: &Request, status: u16) -> Vec<u8> {
    let body = match status {
        200 => message::body(&request.method, &request.path, &request.body, &origin.name),
        _ => format!("{} is told to answer {status}\n", origin.name).into_bytes(),
    };
    let mut answer = format!(
        "HTTP/1.1 {status} Told\r\nContent-Length: {}\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n\
         X-Server: {}\r\nX-Asked: {}\r\n\r\n",
        body.len(),
        origin.name,
        request.path
    )
    .into_bytes();
    if request.method != "HEAD" {
        answer.extend_from_slice(&body);
    }
    answer
}

async fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    // HTTP/1.0, which health checks may speak, ends with its answer.
    let mut request = Request { method, path, body: vec![], close: line.contains("HTTP/1.0") };
    let (mut length, mut chunked) = (0, false);
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.split_once(':') else { break };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => length = value.parse().map_err(io::Error::other)?,
            ("transfer-encoding", value) => chunked = value.eq_ignore_ascii_case("chunked"),
            ("connection", value) => request.close |= value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    if chunked {
        while let Some(chunk) = chunk(stream).await? {
            request.body.extend_from_slice(&chunk);
        }
    } else {
        request.body.resize(length, 0);
        stream.read_exact(&mut request.body).await?;
    }
    Ok(Some(request))
}

/// The next chunk of a body; none after the last.
async fn chunk(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
    let mut chunk = vec![0; length + 2];
    stream.read_exact(&mut chunk).await?;
    chunk.truncate(length);
    Ok((length > 0).then_some(chunk))
}
