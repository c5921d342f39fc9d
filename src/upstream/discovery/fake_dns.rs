//! A name server of a test's own, over UDP and TCP on one port.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{CNAME, SOA};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What the server was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// With its final dot.
    pub name: String,
    pub kind: RecordType,
    pub tcp: bool,
    pub edns: bool,
}

/// What it does then.
#[derive(Clone, Debug)]
pub enum Reply {
    Code(ResponseCode),
    /// None of them is NODATA.
    Records(Vec<Record>),
    Silence,
    /// Over UDP, that it is too long.
    Truncated,
}

type Answer = Box<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// Serves until it is dropped.
pub struct FakeDns {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    answer: Mutex<Answer>,
    asked: watch::Sender<Vec<Asked>>,
}

impl FakeDns {
    pub async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let (udp, tcp) = one_port().await;
        let address = udp.local_addr().unwrap();
        let shared =
            Arc::new(Shared { answer: Mutex::new(Box::new(answer)), asked: watch::Sender::default() });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, shared.clone()));
        tasks.spawn(serve_tcp(tcp, shared.clone()));
        Self { address, shared, _tasks: tasks }
    }

    /// A server that has these records and knows no other name.
    pub async fn with(records: Vec<Record>) -> Self {
        Self::start(zone(records)).await
    }

    pub fn change(&self, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.shared.answer.lock() = Box::new(answer);
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.borrow().clone()
    }

    /// Waits until so many questions have come.
    pub async fn asked_times(&self, times: usize) {
        let mut asked = self.shared.asked.subscribe();
        let came = asked.wait_for(|asked| asked.len() >= times);
        tokio::time::timeout(Duration::from_secs(10), came).await.unwrap().unwrap();
    }
}

/// Answers from these records, by name and kind.
pub fn zone(records: Vec<Record>) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
    move |asked| {
        let of_name: Vec<_> = records.iter().filter(|r| r.name.to_string() == asked.name).collect();
        if of_name.is_empty() {
            return Reply::Code(ResponseCode::NXDomain);
        }
        let fits = |r: &&&Record| [asked.kind, RecordType::CNAME].contains(&r.record_type());
        Reply::Records(of_name.iter().filter(fits).map(|r| (*r).clone()).collect())
    }
}

/// An A or AAAA record.
pub fn at(name: &str, ttl: u32, address: &str) -> Record {
    let address: IpAddr = address.parse().unwrap();
    Record::from_rdata(Name::from_ascii(name).unwrap(), ttl, RData::from(address))
}

pub fn alias(name: &str, ttl: u32, target: &str) -> Record {
    let target = CNAME(Name::from_ascii(target).unwrap());
    Record::from_rdata(Name::from_ascii(name).unwrap(), ttl, RData::CNAME(target))
}

/// Two sockets with the same number.
async fn one_port() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both");
}

async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        if let Some(reply) = shared.reply(&buffer[..length], false) {
            let _ = socket.send_to(&reply, from).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(serve_connection(stream, shared.clone()));
    }
}

async fn serve_connection(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Ok(length) = stream.read_u16().await {
        let mut message = vec![0; length.into()];
        stream.read_exact(&mut message).await.unwrap();
        if let Some(reply) = shared.reply(&message, true) {
            stream.write_u16(reply.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&reply).await.unwrap();
        }
    }
}

impl Shared {
    fn reply(&self, message: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let question = Message::from_vec(message).unwrap();
        let query = question.queries[0].clone();
        let asked = Asked {
            name: query.name().to_string(),
            kind: query.query_type(),
            tcp,
            edns: question.edns.is_some(),
        };
        let reply = (self.answer.lock())(&asked);
        self.asked.send_modify(|all| all.push(asked));
        let mut response = Message::response(question.metadata.id, OpCode::Query);
        response.metadata.recursion_available = true;
        response.add_query(query.clone());
        match reply {
            Reply::Silence => return None,
            Reply::Truncated => response.metadata.truncation = true,
            Reply::Code(code) => response.metadata.response_code = code,
            Reply::Records(records) => drop(response.add_answers(records)),
        }
        let room = question.edns.as_ref().map_or(512, Edns::max_payload);
        if !tcp && response.to_vec().unwrap().len() > room.into() {
            response.answers.clear();
            response.metadata.truncation = true;
        }
        if response.answers.is_empty() {
            let root = Name::root();
            let soa = SOA::new(root.clone(), root.clone(), 1, 1, 1, 1, 3600);
            response.add_authority(Record::from_rdata(root, 3600, RData::SOA(soa)));
        }
        Some(response.to_vec().unwrap())
    }
}
