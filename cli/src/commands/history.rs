//! `doug history`.

use crate::encoding::{Encoding, insert_json};
use crate::exit::{Exit, usage};
use crate::globals::Globals;
use anyhow::Context;
use doug_proto::limits::KEY_VERSIONS;
use doug_proto::v1::KeyVersion;
use serde_json::{Map, Value};
use std::ffi::OsString;

/// Options of `doug history`.
#[derive(clap::Args)]
#[command(after_help = "\
Prints REVISION<tab>VALUE, the newest version first; REVISION alone where the key
was deleted. The last one is what it held where history begins. -o json prints one
object a line. Exit status 3 if there is none.

Examples:
  doug history greeting
  doug history greeting --limit 1 -o json")]
pub struct Args {
    /// Key
    #[arg(allow_hyphen_values = true)]
    key: OsString,
    /// Stop after so many versions, 1 to 1,000
    #[arg(long, value_name = "N", default_value_t = KEY_VERSIONS,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(KEY_VERSIONS)))]
    limit: u32,
    /// Keyspace; `system` is the catalog, which can only be read
    #[arg(long, default_value = "default", value_name = "NAME")]
    keyspace: String,
}

/// Runs the command.
pub async fn run(args: Args, globals: &Globals) -> anyhow::Result<Exit> {
    let key = globals.encoding.decode(&args.key).map_err(usage)?;
    let shown = globals.encoding.quote(&key);
    let client = globals.one_shot().await?.in_keyspace(&args.keyspace);
    let versions = client.history(key, args.limit).await;
    let versions = versions.with_context(|| format!("cannot read the history of {shown}"))?;
    for version in &versions {
        if globals.json() {
            doug_streams::outln!("{}", json(version));
        } else {
            doug_streams::outln!("{}", line(globals.encoding, version));
        }
    }
    if versions.is_empty() {
        doug_streams::errln!("doug: {shown} does not exist, nor did it as far as history reaches");
        return Ok(Exit::NotFound);
    }
    Ok(Exit::Done)
}

fn line(encoding: Encoding, version: &KeyVersion) -> String {
    if version.deleted {
        version.revision.to_string()
    } else {
        format!("{}\t{}", version.revision, encoding.show(&version.value))
    }
}

fn json(version: &KeyVersion) -> Value {
    let mut object = Map::new();
    object.insert("revision".into(), version.revision.into());
    if version.deleted {
        object.insert("deleted".into(), true.into());
    } else {
        insert_json(&mut object, "value", &version.value);
    }
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_is_told_from_an_empty_value() {
        let empty = KeyVersion { revision: 7, ..Default::default() };
        let deleted = KeyVersion { deleted: true, ..empty.clone() };
        assert_eq!(line(Encoding::Text, &empty), "7\t");
        assert_eq!(line(Encoding::Text, &deleted), "7");
        assert_eq!(json(&empty).to_string(), r#"{"revision":7,"value":""}"#);
        assert_eq!(json(&deleted).to_string(), r#"{"deleted":true,"revision":7}"#);
    }
}
