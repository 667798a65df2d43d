//! What is measured: every combination of operation, clients and system.

use crate::doug::Way;
use crate::load::Operation;
use clap::ValueEnum;
use clap::builder::PossibleValue;

/// Connections are shared beyond this many, as etcd's tool is usually told to.
pub const CONNECTIONS: usize = 8;

/// A system, and how it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// etcd, by unary calls to the leader.
    Etcd,
    /// A bare gRPC server of the same messages, by unary calls.
    Echo,
    /// DougDB, by unary calls.
    Unary(Way),
    /// DougDB, by streams.
    Streamed(Way),
}

impl ValueEnum for System {
    fn value_variants<'a>() -> &'a [Self] {
        &SYSTEMS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            System::Etcd => "etcd",
            System::Echo => "echo",
            System::Unary(Way::Direct) => "unary-direct",
            System::Unary(Way::Facade) => "unary-facade",
            System::Streamed(Way::Direct) => "streamed-direct",
            System::Streamed(Way::Facade) => "streamed-facade",
        }))
    }
}

/// In the order of the tables; etcd first, because the others are its multiples.
pub const SYSTEMS: [System; 6] = [
    System::Etcd,
    System::Echo,
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
            System::Echo => "nothing but gRPC, unary",
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
pub fn round(
    number: u32,
    operations: &[Operation],
    clients: &[usize],
    systems: &[System],
) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut systems = systems.to_vec();
    if !systems.is_empty() {
        let first = number as usize % systems.len();
        systems.rotate_left(first);
    }
    for &operation in operations {
        for &clients in clients {
            cells.extend(systems.iter().map(|&system| Cell { operation, clients, system }));
        }
    }
    cells
}
