//! What is measured: every combination of operation, clients and system.

use crate::doug::Way;
use crate::load::Operation;

/// Connections are shared beyond this many, as etcd's tool is usually told to.
pub const CONNECTIONS: usize = 8;

/// A system, and how it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// etcd, by unary calls to the leader.
    Etcd,
    /// DougDB, by unary calls.
    Unary(Way),
    /// DougDB, by streams.
    Streamed(Way),
}

/// In the order of the tables; etcd first, because the others are its multiples.
pub const SYSTEMS: [System; 5] = [
    System::Etcd,
    System::Unary(Way::Direct),
    System::Unary(Way::Facade),
    System::Streamed(Way::Direct),
    System::Streamed(Way::Facade),
];

impl System {
    /// The row's name.
    pub fn name(self) -> &'static str {
        match self {
            System::Etcd => "etcd, unary, to its leader",
            System::Unary(Way::Direct) => "DougDB, unary, to the leaders",
            System::Unary(Way::Facade) => "DougDB, unary, through the facade",
            System::Streamed(Way::Direct) => "DougDB, streamed, to the leaders",
            System::Streamed(Way::Facade) => "DougDB, streamed, through the facade",
        }
    }
}

/// One measurement, to be repeated each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What is asked.
    pub operation: Operation,
    /// By how many at once.
    pub clients: usize,
    /// Of whom.
    pub system: System,
}

impl Cell {
    /// Connections to each server.
    pub fn connections(&self) -> usize {
        self.clients.min(CONNECTIONS)
    }
}

/// The measurements of one round. The systems take turns, and each round
/// another one begins, so that none always profits from what went before.
pub fn round(number: u32, clients: &[usize]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for operation in [Operation::Put, Operation::Get] {
        for &clients in clients {
            let mut systems = SYSTEMS;
            systems.rotate_left(number as usize % SYSTEMS.len());
            cells.extend(systems.map(|system| Cell { operation, clients, system }));
        }
    }
    cells
}
