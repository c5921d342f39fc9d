//! Asks name servers: for both kinds of address at once, and another server where one is silent or fails.
//!
//! One question to one server is hickory's work: a random port and id, repeats over UDP, TCP for what is too
//! long, CNAMEs. Which server is asked when is decided here, because hickory's pool takes the first SERVFAIL or
//! REFUSED of any server for the answer. Its cache is off (a size of 0 keeps nothing): it would hand out what
//! is left of a TTL, and negative answers from before a change. Addresses are kept by who asked.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::resolver::{Family, Found, LookupError, Resolve, deadline};

/// A server that is silent for so long is not waited for alone: the next is asked, too. Well above the time a
/// name server of one's own takes, and so short that three dead ones leave time for a fourth.
const NEXT_SERVER: Duration = Duration::from_millis(500);

/// The longest TTL there is; a larger number means none at all (RFC 2181 §8).
const LONGEST_TTL: u32 = i32::MAX as u32;

/// Name servers of the configuration, asked instead of the system's. They are asked for names as they are
/// written: search domains belong to the system.
pub struct Servers {
    list: Vec<SocketAddr>,
    timeout: Duration,
}

impl Servers {
    pub fn new(list: Vec<SocketAddr>, timeout: Duration) -> Self {
        Self { list, timeout }
    }
}

#[async_trait]
impl Resolve for Servers {
    async fn resolve(&self, host: &str) -> Result<Found, LookupError> {
        ask(&self.list, &[absolute(host)?], deadline(self.timeout)).await
    }
}

/// The name as it is, without any search domain.
pub(super) fn absolute(host: &str) -> Result<Name, LookupError> {
    let mut name = Name::from_ascii(host).map_err(|error| LookupError::Other(error.to_string()))?;
    name.set_fqdn(true);
    Ok(name)
}

/// Asks for one name after the other until one has addresses, as the C library goes through its search list:
/// past a name that does not exist or whose servers fail, but not past silence.
pub(super) async fn ask(
    servers: &[SocketAddr],
    names: &[Name],
    deadline: Instant,
) -> Result<Found, LookupError> {
    let mut failure = LookupError::NoSuchName(names.iter().map(ToString::to_string).collect());
    for name in names {
        match both_families(servers, name, deadline).await {
            Err(error) if matches!(error, LookupError::NoAnswer(_)) => return Err(error),
            Err(error) => failure = graver(failure, error),
            found => return found,
        }
    }
    Err(failure)
}

/// What one family has is kept, whatever becomes of the other.
async fn both_families(servers: &[SocketAddr], name: &Name, deadline: Instant) -> Result<Found, LookupError> {
    let ask = |kind| any_server(servers, name, kind, deadline);
    match tokio::join!(ask(RecordType::A), ask(RecordType::AAAA)) {
        (Ok(v4), Ok(v6)) => Ok(v4.and(v6)),
        (Ok(v4), Err(error)) => Ok(v4.without(Family::V6, &error)),
        (Err(error), Ok(v6)) => Ok(v6.without(Family::V4, &error)),
        (Err(one), Err(other)) => Err(graver(one, other)),
    }
}

/// Asks the first server, and the next as soon as one fails or is silent for a while. The first who knows whether
/// there are addresses has the last word; whoever was asked before may still be that one.
async fn any_server(
    servers: &[SocketAddr],
    name: &Name,
    kind: RecordType,
    deadline: Instant,
) -> Result<Found, LookupError> {
    let mut failure = LookupError::NoAnswer(servers.to_vec());
    let mut asked = JoinSet::new();
    let mut next = servers.iter();
    loop {
        if let Some(server) = next.next() {
            asked.spawn(one_server(*server, name.clone(), kind, deadline));
        }
        let patience = if next.len() == 0 { deadline } else { deadline.min(Instant::now() + NEXT_SERVER) };
        match timeout_at(patience, asked.join_next()).await {
            Ok(Some(Ok(Err(error)))) if !error.is_answer() => failure = worth_telling(failure, error),
            Ok(Some(Ok(answer))) => return answer,
            Ok(Some(Err(broken))) => failure = LookupError::Other(broken.to_string()),
            Ok(None) => return Err(failure),
            Err(_) if Instant::now() >= deadline => return Err(failure),
            Err(_) => {}
        }
    }
}

async fn one_server(
    server: SocketAddr,
    name: Name,
    kind: RecordType,
    deadline: Instant,
) -> Result<Found, LookupError> {
    let mut answer = question(server, &name, kind, deadline, true).await;
    // RFC 6891 §7: who does not know EDNS says so, and is asked without. It comes first all the same: without
    // it Consul tells of three addresses only, and any other server of about thirty over UDP.
    if answer.as_ref().is_err_and(is_about_edns) {
        answer = question(server, &name, kind, deadline, false).await;
    }
    match answer {
        Ok(lookup) => read(&lookup, kind).ok_or(LookupError::NoAddress),
        Err(error) => Err(explain(server, &name, &error)),
    }
}

/// A resolver for each question: making one takes some microseconds, and nothing of it may outlive the answer.
async fn question(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
    deadline: Instant,
    edns: bool,
) -> Result<Lookup, NetError> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()]
        .map(|connection| at_port(connection, server.port()))
        .to_vec();
    let config = NameServerConfig::new(server.ip(), true, connections);
    let config = ResolverConfig::from_name_servers(vec![config]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options(deadline.saturating_duration_since(Instant::now()), edns);
    builder.build()?.lookup(name.clone(), kind).await
}

fn at_port(mut connection: ConnectionConfig, port: u16) -> ConnectionConfig {
    connection.port = port;
    connection
}

fn options(timeout: Duration, edns: bool) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.attempts = 0; // A question over UDP is repeated all the same, every third of a second.
    options.cache_size = 0;
    options.edns0 = edns;
    options.positive_max_ttl = Some(Duration::from_secs(u32::MAX.into()));
    options.timeout = timeout;
    options.use_hosts_file = ResolveHosts::Never;
    options
}

/// The addresses, good for as long as all that led to them: a CNAME on the way may be shorter-lived.
fn read(lookup: &Lookup, kind: RecordType) -> Option<Found> {
    let answers = lookup.answers();
    let addresses: Vec<IpAddr> = answers.iter().filter_map(|record| record.data.ip_addr()).collect();
    let counts = |kind_of: RecordType| kind_of == kind || kind_of == RecordType::CNAME;
    let records = answers.iter().filter(|record| counts(record.record_type()));
    let ttl = records.map(|record| if record.ttl > LONGEST_TTL { 0 } else { record.ttl }).min()?;
    (!addresses.is_empty()).then(|| Found::new(addresses, Duration::from_secs(ttl.into())))
}

fn is_about_edns(error: &NetError) -> bool {
    use ResponseCode::{BADVERS, FormErr, NotImp};
    matches!(error, NetError::Dns(DnsError::ResponseCode(FormErr | NotImp | BADVERS)))
}

fn explain(server: SocketAddr, name: &Name, error: &NetError) -> LookupError {
    let code = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => none.response_code,
        NetError::Dns(DnsError::ResponseCode(code)) => *code,
        NetError::Busy | NetError::Io(_) | NetError::NoConnections | NetError::Timeout => {
            return LookupError::NoAnswer(vec![server]);
        }
        error => return LookupError::Other(format!("name server {server}: {error}")),
    };
    match code {
        ResponseCode::NXDomain => LookupError::NoSuchName(vec![name.to_string()]),
        ResponseCode::NoError => LookupError::NoAddress,
        code => {
            let code = format!("{code:?}").to_ascii_uppercase();
            LookupError::Other(format!("name server {server} answers {code}"))
        }
    }
}

/// Of two failures of one name, or of two names of a search list, the one that says more.
fn graver(one: LookupError, other: LookupError) -> LookupError {
    let gravity = |error: &LookupError| match error {
        LookupError::NoSuchName(_) => 0,
        LookupError::NoAddress => 1,
        LookupError::Other(_) => 2,
        LookupError::TimedOut(_) | LookupError::NoAnswer(_) => 3,
    };
    if gravity(&other) > gravity(&one) { other } else { one }
}

/// Of two servers, the one that said anything.
fn worth_telling(before: LookupError, now: LookupError) -> LookupError {
    if matches!(now, LookupError::NoAnswer(_)) { before } else { now }
}
