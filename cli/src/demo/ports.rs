//! Ports for the nodes of a demo.

use super::state::{Ports, State};
use anyhow::{Context, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;

/// Below the range from which systems take the ports of outgoing connections:
/// else another node's connection could take the port of a node that is down,
/// and it could not come back.
const RANGE: Range<u16> = 20_000..32_000;

/// Gives every process its ports: those of the last start where they are still
/// free, else new ones.
pub fn assign(state: &mut State) -> anyhow::Result<()> {
    let mut picker = Picker::new();
    if !is_free(state.facade.http_port) {
        state.facade.http_port = picker.next()?;
    }
    for node in &mut state.nodes {
        let Ports { doug, raft, admin, http } = node.ports;
        if ![doug, raft, admin, http].into_iter().all(is_free) {
            node.ports = Ports {
                doug: picker.next()?,
                raft: picker.next()?,
                admin: picker.next()?,
                http: picker.next()?,
            };
        }
    }
    Ok(())
}

/// Where the facade will listen: port 0 becomes a free one.
///
/// # Errors
/// A port that is taken, with what to do.
pub fn facade(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    if listen.port() == 0 {
        return Ok(SocketAddr::new(listen.ip(), Picker::new().next()?));
    }
    match TcpListener::bind(listen) {
        Ok(_) => Ok(listen),
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
    candidates: std::iter::Cycle<Range<u16>>,
    left: usize,
}

impl Picker {
    fn new() -> Self {
        // Two demos that start at once begin at different places.
        let length = RANGE.len();
        let offset = (std::process::id() as usize).wrapping_mul(61) % length;
        let mut candidates = RANGE.cycle();
        candidates.by_ref().take(offset).for_each(drop);
        Self { candidates, left: length }
    }

    fn next(&mut self) -> anyhow::Result<u16> {
        let free = self.candidates.by_ref().take(self.left).find(|port| {
            self.left -= 1;
            is_free(*port)
        });
        free.with_context(|| {
            format!("no free port from {} to {}: stop other programs", RANGE.start, RANGE.end)
        })
    }
}
