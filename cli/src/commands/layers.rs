//! Configuration in layers: flags over environment over file.

use crate::exit::usage;
use crate::units;
use anyhow::Context;
use doug_proto::access::AccessToken;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Reads the file layer.
///
/// # Errors
/// Which file, and what in it is wrong.
pub fn read<T: DeserializeOwned + Default>(path: Option<&Path>) -> anyhow::Result<T> {
    let Some(path) = path else { return Ok(T::default()) };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    serde_yaml_ng::from_str(&text)
        .with_context(|| format!("the configuration file {} is wrong", path.display()))
}

/// Reads a size of either layer.
///
/// # Errors
/// Names the option.
pub fn size(name: &str, text: Option<&str>) -> anyhow::Result<Option<u64>> {
    text.map(|text| units::parse_size(text).map_err(|error| usage(format!("{name}: {error}"))))
        .transpose()
}

/// Reads the token that opens Raft and Admin calls, if there is a file with one.
///
/// # Errors
/// Which file, and what is wrong with it.
pub fn token(path: Option<&Path>) -> anyhow::Result<AccessToken> {
    let Some(path) = path else { return Ok(AccessToken::default()) };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the token file {}", path.display()))?;
    AccessToken::parse(&text)
        .map_err(|fault| usage(format!("{}: {}", path.display(), fault.message)))
}
