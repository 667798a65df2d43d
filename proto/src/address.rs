//! Addresses as text: `host:port`, with brackets around an IPv6 address, whose own colons could
//! otherwise not be told from the one before the port.

/// `host:port` of a host name or an IP address.
pub fn host_port(host: &str, port: u16) -> String {
    if is_bare_ipv6(host) { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The port that a text names. None: it names only a host.
pub fn port_of(text: &str) -> Option<u16> {
    if is_bare_ipv6(text) {
        return None;
    }
    text.rsplit_once(':')?.1.parse().ok()
}

/// Whether a text is an IPv6 address without brackets: more than one colon, where a name or an
/// IPv4 address with a port has one.
pub fn is_bare_ipv6(text: &str) -> bool {
    !text.starts_with('[') && text.matches(':').count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_gets_brackets_once() {
        let hosts = ["db0", "10.0.0.7", "fd00::7", "[fd00::7]"];
        let joined = hosts.map(|host| host_port(host, 7400));
        assert_eq!(joined, ["db0:7400", "10.0.0.7:7400", "[fd00::7]:7400", "[fd00::7]:7400"]);
    }

    #[test]
    fn the_end_of_an_ipv6_address_is_no_port() {
        let texts = ["db0:7400", "[fd00::7]:7400", "db0", "fd00::7", "::1", "[fd00::7]"];
        let ports = texts.map(port_of);
        assert_eq!(ports, [Some(7400), Some(7400), None, None, None, None]);
    }
}
