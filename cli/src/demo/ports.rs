//! Ports for the nodes of a demo.

use super::state::{Ports, State};
use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;

/// Below the range from which systems take the ports of outgoing connections:
/// else another node's connection could take the port of a node that is down,
/// and it could not come back.
const RANGE: Range<u16> = 20_000..32_000;

/// Gives every process its ports: those of the last start where they are still
/// free, else new ones. A facade that is to listen on port 0 gets a free one.
///
/// # Errors
/// The facade's port is taken, with what to do; or no port is free.
pub fn assign(state: &mut State) -> anyhow::Result<()> {
    let mut picker = Picker::new();
    let mut listen = state.listen;
    if listen.port() == 0 {
        listen.set_port(picker.next()?);
    }
    check(listen)?;
    state.listen = listen;
    state.facade.http_port = picker.keep_or_next(state.facade.http_port)?;
    for node in &mut state.nodes {
        let Ports { doug, raft, admin, http } = node.ports;
        node.ports = Ports {
            doug: picker.keep_or_next(doug)?,
            raft: picker.keep_or_next(raft)?,
            admin: picker.keep_or_next(admin)?,
            http: picker.keep_or_next(http)?,
        };
    }
    Ok(())
}

fn check(listen: SocketAddr) -> anyhow::Result<()> {
    match TcpListener::bind(listen) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "{listen} is taken by another program (perhaps by another demo: `doug demo status`): \
             stop that one, or listen elsewhere, for instance with --listen {}:{}",
            listen.ip(),
            listen.port().wrapping_add(100).max(1024)
        ),
        Err(error) => Err(error).with_context(|| format!("listening on {listen}")),
    }
}

fn is_free(port: u16) -> bool {
    port != 0 && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Hands out free ports, none twice.
struct Picker {
    next: u16,
    left: usize,
    given: BTreeSet<u16>,
}

impl Picker {
    fn new() -> Self {
        // Two demos that start at once begin at different places.
        let offset = std::process::id().wrapping_mul(61) % RANGE.len() as u32;
        Self { next: RANGE.start + offset as u16, left: RANGE.len(), given: BTreeSet::new() }
    }

    fn keep_or_next(&mut self, port: u16) -> anyhow::Result<u16> {
        if is_free(port) && self.given.insert(port) {
            return Ok(port);
        }
        self.next()
    }

    fn next(&mut self) -> anyhow::Result<u16> {
        while self.left > 0 {
            self.left -= 1;
            let port = self.next;
            self.next = if port + 1 == RANGE.end { RANGE.start } else { port + 1 };
            if is_free(port) && self.given.insert(port) {
                return Ok(port);
            }
        }
        bail!("no port from {} to {} is free: stop other programs", RANGE.start, RANGE.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::layout::Layout;
    use crate::demo::state::Shape;
    use std::path::Path;

    fn state(listen: &str) -> State {
        let layout = Layout::new(Path::new("demo")).unwrap();
        let shape = Shape { clusters: 2, nodes: 5, partitions: 8 };
        State::new(&layout, shape, listen.parse().unwrap(), false)
    }

    fn all(state: &State) -> Vec<u16> {
        let nodes = state.nodes.iter().map(|node| node.ports);
        let nodes = nodes.flat_map(|ports| [ports.doug, ports.raft, ports.admin, ports.http]);
        nodes.chain([state.listen.port(), state.facade.http_port]).collect()
    }

    #[test]
    fn no_port_is_given_twice() {
        let mut state = state("127.0.0.1:0");
        assign(&mut state).unwrap();
        let ports = all(&state);
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        assert!(ports.iter().all(|port| RANGE.contains(port)), "{ports:?}");
    }

    #[test]
    fn ports_that_are_still_free_are_kept_and_the_others_replaced() {
        let mut state = state("127.0.0.1:0");
        assign(&mut state).unwrap();
        let before = all(&state);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, before[0])).unwrap();
        assign(&mut state).unwrap();
        assert_ne!(all(&state)[0], taken.local_addr().unwrap().port());
        assert_eq!(all(&state)[1..], before[1..]);
    }

    #[test]
    fn a_taken_port_of_the_facade_is_named_with_another_to_try() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listen = taken.local_addr().unwrap().to_string();
        let error = assign(&mut state(&listen)).unwrap_err().to_string();
        assert!(error.contains(&listen) && error.contains("--listen 127.0.0.1:"), "{error}");
    }
}
