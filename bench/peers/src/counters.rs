//! What the nodes of DougDB count of their own work, and what that makes of an operation.

use anyhow::{Context, bail};
use std::collections::BTreeMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Counters of some nodes added up, by name and labels as `/metrics` writes them.
#[derive(Clone, Debug, Default)]
pub struct Counters(BTreeMap<String, f64>);

impl Counters {
    /// Those of all nodes whose HTTP ports are given.
    ///
    /// # Errors
    /// A node that does not answer with metrics.
    pub async fn of(addresses: &[String]) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for address in addresses {
            all.add(&page(address).await.with_context(|| format!("asking {address}"))?);
        }
        Ok(all)
    }

    fn add(&mut self, page: &str) {
        for line in page.lines().filter_map(|line| line.strip_prefix("dougdb_node_")) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            *self.0.entry(name.to_owned()).or_default() += value;
        }
    }

    /// What was counted since, the given share of it.
    pub fn since(&self, before: &Self, share: f64) -> Self {
        let grown = |(name, now): (&String, &f64)| {
            (name.clone(), (now - before.0.get(name).unwrap_or(&0.0)) * share)
        };
        Self(self.0.iter().map(grown).collect())
    }

    /// Several measurements as one.
    pub fn total<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut total = Self::default();
        for (name, value) in all.into_iter().flat_map(|counters| &counters.0) {
            *total.0.entry(name.clone()).or_default() += value;
        }
        total
    }

    /// The sum over all labels.
    pub fn get(&self, name: &str) -> f64 {
        let of_name = |key: &String| key.split('{').next() == Some(name);
        // An empty sum of floats is -0.
        self.0.iter().filter(|(key, _)| of_name(key)).fold(0.0, |sum, (_, value)| sum + value)
    }

    /// One quotient of two counters; 0 where nothing was counted.
    pub fn per(&self, name: &str, of: &str) -> f64 {
        let of = self.get(of);
        if of > 0.0 { self.get(name) / of } else { 0.0 }
    }

    /// The values of a counter's only label, the greatest first.
    pub fn by_label(&self, name: &str) -> Vec<(&str, f64)> {
        let label = |(key, value)| {
            let rest = str::strip_prefix(key, name)?.strip_prefix('{')?;
            Some((rest.split('"').nth(1)?, value))
        };
        let values = self.0.iter().map(|(key, value)| (key.as_str(), *value));
        let mut values: Vec<_> = values.filter_map(label).collect();
        values.sort_by(|a, b| b.1.total_cmp(&a.1));
        values
    }
}

async fn page(address: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if !answer.starts_with("HTTP/1.1 200") {
        bail!("no metrics: {}", answer.lines().next().unwrap_or("nothing"));
    }
    Ok(answer)
}
