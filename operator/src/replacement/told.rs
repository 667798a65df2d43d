//! How someone says that a node is to be replaced: by an annotation, which
//! `kubectl doug replace` sets.

use doug_crds::DougCluster;
use kube::ResourceExt;

/// Names of nodes, with commas between them: `a-2,b-0`.
pub const ANNOTATION: &str = "dougdb.io/replace";

/// The nodes that someone gives up.
pub fn told(cluster: &DougCluster) -> Vec<String> {
    let text = cluster.annotations().get(ANNOTATION);
    let names = text.iter().flat_map(|text| text.split(','));
    names.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The annotation without a name; `None` if it names no other.
pub fn without(told: &[String], name: &str) -> Option<String> {
    let left: Vec<&str> = told.iter().map(String::as_str).filter(|other| *other != name).collect();
    (!left.is_empty()).then(|| left.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_however_they_are_spaced() {
        let mut cluster = crate::testing::resource(crate::testing::spec());
        cluster.annotations_mut().insert(ANNOTATION.into(), " a-2, b-0,,".into());
        assert_eq!(told(&cluster), ["a-2", "b-0"]);
    }

    #[test]
    fn the_last_name_takes_the_annotation_away() {
        let told = ["a-2".to_owned(), "b-0".to_owned()];
        assert_eq!(without(&told, "a-2").as_deref(), Some("b-0"));
        assert_eq!(without(&told[..1], "a-2"), None);
    }
}
