//! `doug create`.

use super::layers;
use super::whole_file::WholeFile;
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use doug_client::create::{Created, Spec, create};
use doug_proto::ids::DatabaseId;
use doug_proto::map::KeyspaceId;
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Options of `doug create`.
#[derive(clap::Args)]
#[command(after_help = "\
Every node must answer. The same file again finishes what was interrupted and
changes nothing else; nodes that hold other data refuse. The file:

  partitioning:
    hash: {partitions: 8}            # or range: {splitKeys: [{text: g}, {text: p}]}
  clusters:
  - name: a
    nodes:                           # 3, 5 or 7; 1 for trials
    - {address: db0.example.com}     # ports: {doug: 7400, raft: 7401, admin: 7402, http: 7403}
    - {address: db1.example.com}
    - {address: db2.example.com}

Examples:
  doug create --file orders.yaml
  doug create --file orders.yaml --map-out map.json")]
pub struct Args {
    /// What to create, as YAML
    #[arg(long, value_name = "SPEC")]
    file: PathBuf,
    /// File with the token that the nodes ask for
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Also write the first partition map to this file
    #[arg(long, value_name = "FILE")]
    map_out: Option<PathBuf>,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let spec = read_spec(&args.file)?;
    let access = layers::token(args.token_file.as_deref())?;
    let created = create(&spec, fresh_id()?, globals.timeout, &access).await?;
    if let Some(file) = &args.map_out {
        // Facades read it again and again, and must never see a half.
        WholeFile::write(file, created.map.to_json().as_bytes())
            .context("the database is there, but its partition map is not written")?;
    }
    report(&created, globals.json());
    Ok(Exit::Done)
}

fn read_spec(file: &Path) -> anyhow::Result<Spec> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_yaml_ng::from_str(&text)
        .map_err(|error| usage(format!("{} is not a specification: {error}", file.display())))
}

fn fresh_id() -> anyhow::Result<DatabaseId> {
    let mut random = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .context("cannot read /dev/urandom for a database id")?;
    Ok(DatabaseId::from_bits(u64::from_le_bytes(random)))
}

fn report(created: &Created, as_json: bool) {
    let Created { map, joined } = created;
    let (nodes, partitions) = (map.nodes.len(), map.partitions_in(KeyspaceId::DEFAULT).len());
    let database = map.database.to_string();
    if as_json {
        let report = json!({
            "database": database, "nodes": nodes, "partitions": partitions, "joined": joined,
        });
        doug_streams::outln!("{report}");
    } else if *joined == 0 {
        doug_streams::outln!(
            "database {database} was there already: {partitions} partitions, {nodes} nodes"
        );
    } else {
        doug_streams::outln!(
            "database {database} created: {partitions} partitions on {nodes} nodes \
             ({joined} of them new)"
        );
    }
}
