//! Configuration in layers: flags over environment over file.

use crate::exit::usage;
use crate::units;
use anyhow::Context;
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
