//! Labels and annotations by which objects are found and the operator works, and what is added for
//! people. What selectors name never changes, since selectors are immutable.

/// What the program is: `dougdb`.
pub const NAME: &str = "app.kubernetes.io/name";
/// Which DougCluster an object belongs to.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// `node` or `facade`.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Who made the object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Which cluster of the database a node belongs to.
pub const CLUSTER: &str = "dougdb.io/cluster";
/// What a pod was made from, as far as it matters for restarting it.
pub const TEMPLATE_HASH: &str = "dougdb.io/template-hash";
/// What begins the labels and annotations by which the operator works.
pub const OWN_PREFIX: &str = "dougdb.io/";
/// The other labels by which pods are selected.
pub const OWN_LABELS: [&str; 3] = [NAME, INSTANCE, COMPONENT];
/// The value of [`MANAGED_BY`], and the field manager of every apply.
pub const MANAGER: &str = "dougdb-operator";

/// Selects what belongs to nodes.
pub const COMPONENT_NODE: &str = "app.kubernetes.io/component=node";

/// Set on a DougCluster, whatever its value: every pod is made anew, one node at a time. Set on
/// pods
/// to what they were last made for.
pub const RESTARTED_AT: &str = "dougdb.io/restartedAt";
