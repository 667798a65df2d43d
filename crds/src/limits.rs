//! The greatest numbers and lengths, shared by schema and rules.

/// Clusters of a database.
pub const CLUSTERS: usize = 64;
/// Nodes of a database: every cluster with seven.
pub const NODES: usize = CLUSTERS * 7;
/// Partitions of a keyspace.
pub const PARTITIONS: usize = 4_096;
/// Split keys of range partitioning.
pub const SPLIT_KEYS: usize = 1_023;
/// Bytes of a split key.
pub const SPLIT_KEY_BYTES: usize = 64;
/// Characters of that in base64.
pub const SPLIT_KEY_BASE64: usize = 88;
/// Members of a partition, of each kind.
pub const MEMBERS: usize = 7;
/// Characters of a quantity, a duration or a size.
pub const QUANTITY: usize = 32;
/// Characters of a name that Kubernetes gives.
pub const NAME: usize = 253;
/// Characters of an image.
pub const IMAGE: usize = 512;
/// Characters of a message in the status.
pub const MESSAGE: usize = 1_024;
/// Annotations that are declared for an object.
pub const ANNOTATIONS: usize = 64;
/// Characters of an annotation: an injected sidecar's settings, for instance.
pub const ANNOTATION: usize = 4_096;
