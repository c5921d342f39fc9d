//! The proxies that are compared: their settings and how each is started.

use crate::herd::{Groups, Process, output};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Foreland,
    Haproxy,
    Nginx,
}

impl Kind {
    pub fn of(name: &str) -> Result<Self, String> {
        match name {
            "foreland" => Ok(Self::Foreland),
            "haproxy" => Ok(Self::Haproxy),
            "nginx" => Ok(Self::Nginx),
            _ => Err(format!("{name}: a proxy is foreland, haproxy or nginx")),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Foreland => "foreland",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }

    fn settings(self, tls: bool) -> Result<(&'static str, &'static str), String> {
        Ok(match (self, tls) {
            (Self::Foreland, false) => ("foreland.yaml", include_str!("../peers/foreland.yaml")),
            (Self::Foreland, true) => ("foreland.yaml", include_str!("../peers/foreland-tls.yaml")),
            (Self::Haproxy, false) => ("haproxy.cfg", include_str!("../peers/haproxy.cfg")),
            (Self::Haproxy, true) => return Err("handshakes are not tried with haproxy".to_owned()),
            (Self::Nginx, false) => ("nginx.conf", include_str!("../peers/nginx.conf")),
            (Self::Nginx, true) => ("nginx.conf", include_str!("../peers/nginx-tls.conf")),
        })
    }

    fn site(self, site: &Site) -> String {
        let Site { name, file } = site;
        match self {
            Self::Foreland => format!("        - {{ cert: {file}.pem, key: {file}.key }}"),
            Self::Haproxy => String::new(),
            Self::Nginx => format!(
                "    server {{ listen @LISTEN@ ssl; server_name {name}; ssl_certificate {file}.pem; \
                 ssl_certificate_key {file}.key; location / {{ proxy_pass http://app; }} }}"
            ),
        }
    }

    fn server(self, number: usize, port: u16) -> String {
        match self {
            Self::Foreland => format!("      - \"127.0.0.1:{port}\""),
            Self::Haproxy => format!("    server s{number} 127.0.0.1:{port}"),
            Self::Nginx => format!("        server 127.0.0.1:{port} max_fails=2 fail_timeout=2s;"),
        }
    }
}

/// A name that a proxy has a certificate for, and the files that it is in, without their endings.
pub struct Site {
    pub name: String,
    pub file: String,
}

/// What a proxy is started with.
pub struct Wish {
    pub kind: Kind,
    /// Settings in place of the shipped ones.
    pub settings: Option<String>,
    pub foreland: PathBuf,
    pub tries: usize,
    /// Its certificates, if it is to speak TLS.
    pub sites: Vec<Site>,
}

impl Wish {
    /// Starts it in `folder` and waits until it takes connections.
    pub fn start(
        &self,
        folder: &Path,
        servers: &[u16],
        groups: &Groups,
    ) -> Result<(Process, SocketAddr), String> {
        let listen = SocketAddr::from(([127, 0, 0, 1], free_ports(1)?[0]));
        let (name, shipped) = self.kind.settings(!self.sites.is_empty())?;
        let servers = servers.iter().enumerate().map(|(number, port)| self.kind.server(number, *port) + "\n");
        let sites = self.sites.iter().map(|site| self.kind.site(site) + "\n");
        let settings = self.settings.as_deref().unwrap_or(shipped);
        let settings = settings
            .replace("@SERVERS@\n", &servers.collect::<String>())
            .replace("@SITES@\n", &sites.collect::<String>())
            .replace("@LISTEN@", &listen.to_string())
            .replace("@TRIES@", &self.tries.to_string())
            .replace("@RETRIES@", &(self.tries - 1).to_string());
        let path = folder.join(name);
        std::fs::write(&path, settings).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut command = self.command(folder, &path);
        command.current_dir(folder).stdout(output(folder, "out.log")?).stderr(output(folder, "err.log")?);
        let mut process = Process::start(&mut command, groups)?;
        let until = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(listen).is_err() {
            if process.has_ended() || Instant::now() > until {
                let said = std::fs::read_to_string(folder.join("err.log")).unwrap_or_default();
                return Err(format!("{} did not start:\n{said}", self.kind.name()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok((process, listen))
    }

    fn command(&self, folder: &Path, settings: &Path) -> Command {
        let mut command;
        match self.kind {
            Kind::Foreland => {
                command = Command::new(&self.foreland);
                command.arg("serve").arg("--config").arg(settings);
            }
            Kind::Haproxy => {
                command = Command::new("haproxy");
                command.arg("-db").arg("-f").arg(settings);
            }
            Kind::Nginx => {
                command = Command::new("nginx");
                command.arg("-p").arg(folder).arg("-e").arg("error.log").arg("-c").arg(settings);
            }
        }
        command
    }
}

/// Ports below those that the system gives to outgoing connections: nothing takes the port of a server that is down.
pub fn free_ports(count: usize) -> Result<Vec<u16>, String> {
    let mut ports: Vec<u16> = vec![];
    for _ in 0..10_000 {
        let port = fastrand::u16(15_000..32_000);
        if !ports.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
        if ports.len() == count {
            return Ok(ports);
        }
    }
    Err("no free ports".to_owned())
}
