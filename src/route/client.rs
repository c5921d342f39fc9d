//! Networks as users write them, and whether a client is in one.

use ipnet::IpNet;
use std::net::IpAddr;

/// Reads `10.0.0.0/8`, `2001:db8::/32` or a bare address, which is a network of one.
pub fn parse_net(written: &str) -> Result<IpNet, String> {
    let Some((address, length)) = written.split_once('/') else {
        return written
            .parse::<IpAddr>()
            .map(|address| address.to_canonical().into())
            .map_err(|_| malformed(written));
    };
    let address: IpAddr = address.parse().map_err(|_| malformed(written))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length: u8 =
        length.parse().ok().filter(|length| *length <= most).ok_or_else(|| {
            format!("`{written}` is not a network: after `/` stands a number from 0 to {most}")
        })?;
    let net = IpNet::new(address, length).map_err(|_| malformed(written))?;
    if net.addr() != net.network() {
        let network = net.trunc();
        return Err(format!(
            "`{written}` is an address inside the network `{network}`: write one or the other"
        ));
    }
    Ok(canonical(net))
}

/// Whether a client is in one of the networks. An IPv4 client on a socket of both families is one of IPv4.
pub fn is_in(nets: &[IpNet], client: IpAddr) -> Option<&IpNet> {
    let client = client.to_canonical();
    nets.iter().find(|net| net.contains(&client))
}

/// A network of IPv4-mapped addresses is one of IPv4 (RFC 4291 §2.5.5.2).
fn canonical(net: IpNet) -> IpNet {
    let shorter = net.prefix_len().checked_sub(96);
    match (net.addr(), net.addr().to_canonical(), shorter) {
        (IpAddr::V6(_), address @ IpAddr::V4(_), Some(length)) => IpNet::new(address, length).unwrap_or(net),
        _ => net,
    }
}

fn malformed(written: &str) -> String {
    format!(
        "`{written}` is not a network: write an address such as 10.1.2.3, or a network such as 10.0.0.0/8"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_in_every_form() {
        for (written, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(parse_net(written).unwrap().to_string(), expected, "{written}");
        }
    }

    #[test]
    fn an_error_says_what_to_write_instead() {
        for (written, hint) in [
            ("10.1.2.3/8", "inside the network `10.0.0.0/8`"),
            ("10.0.0.0/33", "0 to 32"),
            ("::/129", "0 to 128"),
            ("10.0.0/8", "such as 10.1.2.3"),
            ("example.com", "such as 10.1.2.3"),
            ("", "such as 10.1.2.3"),
            ("10.0.0.0/", "0 to 32"),
        ] {
            let error = parse_net(written).unwrap_err();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn a_mapped_client_is_one_of_ipv4() {
        let nets = [parse_net("10.0.0.0/8").unwrap()];
        assert!(is_in(&nets, "::ffff:10.9.9.9".parse().unwrap()).is_some());
        assert!(is_in(&nets, "10.9.9.9".parse().unwrap()).is_some());
        assert!(is_in(&nets, "11.0.0.1".parse().unwrap()).is_none());
        assert!(is_in(&nets, "::1".parse().unwrap()).is_none());
    }
}
