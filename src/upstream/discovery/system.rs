//! Names as the machine itself knows them: `/etc/hosts`, then the name servers of `/etc/resolv.conf`.
//!
//! Both files are read for every name that is looked up, so a change of them counts at once and nothing of theirs
//! can be out of date.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io};

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use super::name_servers::ask;
use super::resolv_conf::ResolvConf;
use super::resolver::{Found, LookupError, Resolve, deadline};

/// How long an answer of the C library is good for, which tells no TTL: as long as what Docker, Kubernetes and
/// Consul hand out at most.
const NO_TTL: Duration = Duration::from_secs(30);

/// The machine's own names and name servers.
pub struct System {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    timeout: Duration,
}

impl System {
    pub fn new(timeout: Duration) -> Self {
        Self::at("/etc/hosts", "/etc/resolv.conf", timeout)
    }

    pub(super) fn at(hosts: impl Into<PathBuf>, resolv_conf: impl Into<PathBuf>, timeout: Duration) -> Self {
        Self { hosts: hosts.into(), resolv_conf: resolv_conf.into(), timeout }
    }

    /// What the files say now. Off the threads that serve requests: a list of blocked hosts has megabytes.
    async fn read(&self, host: &str) -> Result<(Vec<IpAddr>, ResolvConf), LookupError> {
        let (hosts, resolv_conf, host) = (self.hosts.clone(), self.resolv_conf.clone(), host.to_owned());
        let read = move || {
            let text = |path| fs::read(path).map_or(String::new(), |b| String::from_utf8_lossy(&b).into());
            (listed(&text(hosts), &host), ResolvConf::parse(&text(resolv_conf)))
        };
        spawn_blocking(read).await.map_err(|error| LookupError::Other(error.to_string()))
    }
}

#[async_trait]
impl Resolve for System {
    async fn resolve(&self, host: &str) -> Result<Found, LookupError> {
        let deadline = deadline(self.timeout);
        let (local, conf) = self.read(host).await?;
        if !local.is_empty() {
            return Ok(Found::new(local, Duration::MAX));
        }
        if is_localhost(host) {
            let loopback = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Ok(Found::new(loopback, Duration::MAX));
        }
        match conf.servers.is_empty() {
            true => c_library(host).await.map_err(|error| LookupError::Other(error.to_string())),
            false => ask(&conf.servers, &conf.names(host)?, deadline).await,
        }
    }
}

/// Without a name server there may still be other ways to know a name (`/etc/nsswitch.conf`), and the C library
/// goes them.
async fn c_library(host: &str) -> io::Result<Found> {
    let addresses: Vec<IpAddr> = tokio::net::lookup_host((host, 0)).await?.map(|a| a.ip()).collect();
    match addresses.is_empty() {
        true => Err(io::Error::other("no address")),
        false => Ok(Found::new(addresses, NO_TTL)),
    }
}

/// The addresses that a hosts file has for a name, which may be none. If it has one, no name server is asked, not
/// even for the other family.
fn listed(hosts: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    let lines = hosts.lines().map(|line| line.split_once('#').map_or(line, |(line, _)| line));
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next()?;
        let named = words.any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(host));
        named.then(|| address.parse().ok())?
    };
    lines.filter_map(of_line).collect()
}

/// RFC 6761 §6.3: such a name is never asked for.
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_is_read_as_the_c_library_reads_it() {
        let hosts = "127.0.0.1 localhost\n::1\tlocalhost ip6-localhost # both\n\
                     10.0.0.1 App app.internal\n#10.0.0.2 app\n10.0.0.3 other #app\nnonsense app\n10.0.0.4\n\
                     10.0.0.5   x  app\r\n";
        let addresses =
            |host: &str| listed(hosts, host).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        for (host, found) in [
            ("localhost", "127.0.0.1 ::1"),
            ("app", "10.0.0.1 10.0.0.5"),
            ("app.internal", "10.0.0.1"),
            ("app.internal.", "10.0.0.1"),
            ("other", "10.0.0.3"),
            ("internal", ""),
            ("10.0.0.1", ""),
        ] {
            assert_eq!(addresses(host), found, "{host}");
        }
    }

    #[test]
    fn localhost_is_here() {
        for host in ["localhost", "localhost.", "app.localhost"] {
            assert!(is_localhost(host), "{host}");
        }
        for host in ["localhost.example.com", "notlocalhost", "app"] {
            assert!(!is_localhost(host), "{host}");
        }
    }
}
