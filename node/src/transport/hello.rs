//! The opening of every stream between nodes.

use crate::engine::Engine;
use crate::levels::FEATURE_LEVEL;
use doug_proto::error::Fault;
use doug_proto::ids::NodeId;
use doug_proto::{VERSION, quote, v1};

/// What this node says first to `to`.
pub fn hello(engine: &Engine, to: NodeId) -> v1::Hello {
    let database = engine.maps.get().map(|map| map.database.to_string());
    v1::Hello {
        database: database.unwrap_or_default(),
        from: engine.config.node.to_string(),
        to: to.to_string(),
        incarnation: engine.config.incarnation,
        feature_level: FEATURE_LEVEL,
        version: VERSION.to_owned(),
    }
}

/// Decides whether a stream is meant for this node: an address may have passed
/// from one node to another. Returns the sender.
///
/// # Errors
/// What does not fit, and what to do.
pub fn check_hello(engine: &Engine, hello: Option<&v1::Hello>) -> Result<NodeId, Fault> {
    let hello =
        hello.ok_or_else(|| Fault::invalid("a stream between nodes must begin with a hello"))?;
    let own = engine.config.node;
    if hello.to != own.to_string() {
        return Err(Fault::new(
            tonic::Code::FailedPrecondition,
            format!(
                "this is node {own}, not {}: the address has changed hands, look it up again",
                hello.to
            ),
        ));
    }
    let database = engine.maps.required()?.database.to_string();
    if hello.database != database {
        return Err(Fault::new(
            tonic::Code::FailedPrecondition,
            format!(
                "this node belongs to database {database}, not {}",
                quote::text(&hello.database)
            ),
        ));
    }
    let from = hello.from.parse().map_err(|error| Fault::invalid(format!("{error}")))?;
    engine.greeted(from, hello);
    Ok(from)
}
