//! Options that every command understands.

use crate::encoding::Encoding;
use crate::given::Given;
use crate::units;
use clap::{Args, ValueEnum};
use doug_client::{Builder, Client, Fault};
use std::time::Duration;

/// How long endpoints are waited for that refuse connections, unless `--timeout` says how long
/// whoever gave it wants to wait: enough for a facade that starts again, and short for a mistake.
const WAIT_FOR_READY: Duration = Duration::from_secs(1);

/// How to reach the database, and how to print.
#[derive(Args, Clone, Debug)]
pub struct Globals {
    /// Facade, or node; several are tried in turn
    #[arg(
        long,
        env = "DOUG_ENDPOINT",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7400",
        global = true,
        help_heading = "Reaching the database"
    )]
    pub endpoint: Vec<String>,

    /// Give up an operation after this long
    #[arg(
        long,
        value_name = "TIME",
        value_parser = units::parse_duration,
        default_value = "5s",
        global = true,
        help_heading = "Reaching the database"
    )]
    pub timeout: Duration,

    /// Talk straight to the nodes of the map instead of staying on the endpoint
    #[arg(long, global = true, help_heading = "Reaching the database")]
    pub direct: bool,

    /// Print for people (text; table: keys and values in columns) or for programs (json: one
    /// document, or one a line)
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "text",
        global = true,
        help_heading = "Output"
    )]
    pub output: Output,

    /// How keys and values are written, here and in text output: text (the bytes as they
    /// stand), escaped (\\, \n, \r, \t, \xNN), hex or base64
    #[arg(
        long,
        value_name = "ENCODING",
        default_value = "text",
        global = true,
        help_heading = "Output"
    )]
    pub encoding: Encoding,

    /// What stood on the command line itself.
    #[arg(skip)]
    pub given: Given,
}

impl Globals {
    /// A client as the options say, to be refined.
    pub fn builder(&self) -> Builder {
        let builder = self.builder_for(&self.endpoint);
        if self.direct { builder.direct_from_endpoints() } else { builder }
    }

    /// The same for these endpoints alone, and never straight to the nodes.
    pub fn builder_for(&self, endpoints: &[String]) -> Builder {
        let waits = if self.given.has("timeout") { self.timeout } else { WAIT_FOR_READY };
        let builder = Client::builder().endpoints(endpoints.iter().cloned());
        builder.timeout(self.timeout).wait_for_ready(waits)
    }

    /// A client for a single operation. It registers no session unless it speaks
    /// to nodes itself: the facade's own covers the way to the leader, and a
    /// session for every `doug put` would evict those of long-lived clients.
    pub async fn one_shot(&self) -> Result<Client, Fault> {
        self.builder().sessions(self.direct).connect().await
    }

    /// Whether to print JSON.
    pub fn json(&self) -> bool {
        self.output == Output::Json
    }

    /// Whether to print keys and values in columns.
    pub fn table(&self) -> bool {
        self.output == Output::Table
    }
}

/// The form of what a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people; stable enough for pipes where the command's help says so
    Text,
    /// One JSON document, or one per line
    Json,
    /// Keys and values in columns; text where a command has its own form
    Table,
}
