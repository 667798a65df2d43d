//! Listening.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;

/// Listens. Who asks for `[::]` wants connections of both kinds, which Linux gives: where there is
/// no IPv6 at all, those of IPv4 are all there are.
///
/// # Errors
/// The machine's: above all that the port is taken.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if address.ip() == ANY_IPV6 && lacks_ipv6(&error) => {
            TcpListener::bind(SocketAddr::new(ANY_IPV4, address.port())).await
        }
        result => result,
    }
}

const ANY_IPV6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
const ANY_IPV4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The kernel was built or started without it, or it is turned off.
fn lacks_ipv6(error: &io::Error) -> bool {
    let known = [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::ADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|code| known.iter().any(|one| one.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn who_listens_everywhere_is_reached_by_ipv4() {
        let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_no_reason_for_another_address() {
        let first = listen("[::]:0".parse().unwrap()).await.unwrap();
        let taken = listen(first.local_addr().unwrap()).await.unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn only_a_lack_of_ipv6_counts_as_one() {
        let of = |errno: rustix::io::Errno| lacks_ipv6(&io::Error::from(errno));
        assert!(of(rustix::io::Errno::AFNOSUPPORT));
        assert!(of(rustix::io::Errno::ADDRNOTAVAIL));
        assert!(!of(rustix::io::Errno::ADDRINUSE));
        assert!(!of(rustix::io::Errno::ACCESS));
    }
}
