//! What every answer says of itself, for `-v` and for JSON.

use crate::encoding::to_hex;
use doug_proto::v1::ResponseHeader;
use serde_json::{Map, Value};

/// Prints the header to standard error, so that standard output stays the data.
pub fn explain(header: Option<&ResponseHeader>, extra: &[(&str, String)]) {
    let Some(header) = header else { return };
    for (name, value) in extra {
        doug_streams::errln!("{name}: {value}");
    }
    doug_streams::errln!("revision of the partition: {}", header.revision);
    doug_streams::errln!("partition: {}", header.partition);
    let role = if header.leader { "leader" } else { "follower" };
    doug_streams::errln!("served by: {} ({role})", header.served_by);
    match header.staleness_milliseconds {
        Some(milliseconds) => doug_streams::errln!("stale by at most: {milliseconds} ms"),
        None => doug_streams::errln!("stale by at most: not known"),
    }
    doug_streams::errln!("session token: {}", to_hex(&header.session_token));
}

/// Adds the header's fields.
pub fn insert_header(object: &mut Map<String, Value>, header: Option<&ResponseHeader>) {
    let Some(header) = header else { return };
    // `revision` is always the one of a key, which conditions want.
    object.insert("partitionRevision".into(), header.revision.into());
    object.insert("partition".into(), header.partition.into());
    object.insert("servedBy".into(), header.served_by.clone().into());
    object.insert("leader".into(), header.leader.into());
    if let Some(milliseconds) = header.staleness_milliseconds {
        object.insert("stalenessMilliseconds".into(), milliseconds.into());
    }
    object.insert("sessionToken".into(), to_hex(&header.session_token).into());
}
