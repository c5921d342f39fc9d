//! `/etc/resolv.conf`: whom to ask, and which names a short name may stand for.
//!
//! Read as the C library reads it: what makes no sense is passed over, since the file is the machine's and not
//! ours. hickory's own reader would try the domain of the machine's name before the search list.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::proto::rr::Name;

use super::name_servers::absolute;
use super::resolver::LookupError;

/// So many servers count (`MAXNS` of glibc and musl).
const MOST_SERVERS: usize = 3;

/// The largest `ndots` (`RES_MAXNDOTS`).
const MOST_NDOTS: usize = 15;

/// The part of the file that names are looked up by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    /// In the order in which they are to be asked; none if the file names none or is not there.
    pub(super) servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
}

impl ResolvConf {
    pub(super) fn parse(text: &str) -> Self {
        let mut conf = Self { servers: Vec::new(), search: Vec::new(), ndots: 1 };
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") if conf.servers.len() < MOST_SERVERS => {
                    let server = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    conf.servers.extend(server.map(|ip| SocketAddr::new(ip, 53)));
                }
                // Of several lines the last counts, be it the one or the other.
                Some("search") => conf.search = words.map(str::to_owned).collect(),
                Some("domain") => conf.search = words.take(1).map(str::to_owned).collect(),
                Some("options") => conf.ndots = words.filter_map(ndots).next_back().unwrap_or(conf.ndots),
                _ => {}
            }
        }
        conf
    }

    /// The names that `host` may stand for, in the order in which they are asked for. One with as many dots as
    /// `ndots` says is more likely complete; one with a final dot is.
    pub(super) fn names(&self, host: &str) -> Result<Vec<Name>, LookupError> {
        let complete = absolute(host)?;
        if host.ends_with('.') {
            return Ok(vec![complete]);
        }
        let longer = |domain: &String| absolute(&format!("{host}.{}", domain.trim_matches('.'))).ok();
        let mut names: Vec<Name> = self.search.iter().filter_map(longer).collect();
        let dots = host.matches('.').count();
        names.insert(if dots >= self.ndots { 0 } else { names.len() }, complete);
        let mut seen = Vec::new();
        names.retain(|name| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
        Ok(names)
    }
}

fn ndots(option: &str) -> Option<usize> {
    Some(option.strip_prefix("ndots:")?.parse::<usize>().ok()?.min(MOST_NDOTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_and_the_rest_is_passed_over() {
        let servers = |text: &str| {
            let conf = ResolvConf::parse(text);
            conf.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        for (text, found) in [
            ("nameserver 10.0.0.1\nnameserver ::1 # mine\n", "10.0.0.1:53 [::1]:53"),
            ("# nameserver 10.0.0.1\n;nameserver 10.0.0.2\n  nameserver\t10.0.0.3", "10.0.0.3:53"),
            ("nameserver fe80::1%eth0\nnameserver dns.example\nnameserver", ""),
            (
                "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4",
                "10.0.0.1:53 10.0.0.2:53 10.0.0.3:53",
            ),
            ("nameserver 10.0.0.1\0\nsortlist 1\nnonsense\nnameserver 10.0.0.2", "10.0.0.2:53"),
            ("", ""),
        ] {
            assert_eq!(servers(text), found, "{text}");
        }
    }

    #[test]
    fn a_short_name_stands_for_those_that_the_search_list_makes_of_it() {
        let kubernetes =
            "search shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5 edns0";
        for (text, host, names) in [
            ("", "app", "app."),
            ("search a.b c.\n", "app", "app.a.b. app.c. app."),
            ("search a.b\n", "app.x", "app.x. app.x.a.b."),
            ("search a.b\n", "app.", "app."),
            ("search a\ndomain b c\n", "app", "app.b. app."),
            ("domain b\nsearch a c\n", "app", "app.a. app.c. app."),
            ("search . a a\n", "app", "app. app.a."),
            ("search a\noptions ndots:0\n", "app", "app. app.a."),
            ("search a\noptions ndots:x rotate\n", "app", "app.a. app."),
            ("search a\noptions ndots:99\n", "a.b.c.d.e.f.g.h", "a.b.c.d.e.f.g.h.a. a.b.c.d.e.f.g.h."),
            (kubernetes, "db", "db.shop.svc.cluster.local. db.svc.cluster.local. db.cluster.local. db."),
            ("search a..b\n", "app", "app."),
        ] {
            let found = ResolvConf::parse(text).names(host).unwrap();
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), names, "{text} {host}");
        }
    }

    #[test]
    fn a_search_domain_that_makes_a_name_too_long_is_left_out() {
        let conf = ResolvConf::parse(&format!("search {}\n", ["a"; 126].join(".")));
        assert_eq!(conf.names("app").unwrap().len(), 1);
    }
}
