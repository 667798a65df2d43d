//! Taking a volume away: its claim, and the pod that keeps it in use.

use super::{Situation, Step, hindrance, lost};
use crate::dereference::counts_as_ready;
use crate::validate::Place;
use doug_crds::Replacing;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// What is to be deleted: each by name and uid, so that no successor is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clearing {
    /// The claim, unless it is on its way out.
    pub claim: Option<(String, String)>,
    /// The pod. The claim goes once it is gone.
    pub pod: Option<(String, String)>,
    /// Whether the pod's machine is dead: nobody there will ever say that the pod has
    /// ended, so it is not waited for.
    pub dead: bool,
}

/// Goes on with a node that was given up.
pub fn go_on(situation: &Situation, place: Place, replacing: &Replacing) -> Step {
    let claim = situation.observed.claims.get(&situation.claim_name(&place));
    let old = claim.filter(|claim| claim.uid().as_ref() == Some(&replacing.claim));
    let Some(old) = old else { return successor(situation, place, replacing) };
    let pod = situation.observed.pod(situation.database, &place);
    let silent = !situation.observed.answers.contains_key(&place);
    if let Some(pod) = pod.filter(|pod| silent && counts_as_ready(pod)) {
        // Made anew now, it could be put on the same dead machine.
        let why = format!(
            "it does not answer, but Kubernetes takes pod {} for ready still: waiting until its \
             machine is known to be dead",
            pod.name_any()
        );
        return Step::Wait(place, why);
    }
    if old.metadata.deletion_timestamp.is_none()
        && let Some(why) = replacing.id.parse().ok().and_then(|old| hindrance(situation, old))
    {
        // What held when it was given up may not hold any more.
        return Step::Refuse(place.name(), why);
    }
    let leaving = |pod: &&Pod| pod.metadata.deletion_timestamp.is_some() && !silent;
    let named = |name: String, uid: Option<String>| Some((name, uid?));
    let clearing = Clearing {
        claim: match old.metadata.deletion_timestamp {
            Some(_) => None,
            None => named(old.name_any(), old.uid()),
        },
        pod: pod.filter(|pod| !leaving(pod)).and_then(|pod| named(pod.name_any(), pod.uid())),
        dead: silent,
    };
    if clearing.claim.is_none() && clearing.pod.is_none() {
        return Step::Wait(place, "its old volume is being taken away".to_owned());
    }
    Step::Clear(place, clearing)
}

/// The old volume is gone.
fn successor(situation: &Situation, place: Place, replacing: &Replacing) -> Step {
    let answer = situation.observed.answers.get(&place);
    match answer.and_then(|answer| answer.node()) {
        None => stillborn(situation, &place, replacing).map_or_else(
            || Step::Wait(place.clone(), "waiting for its new pod to answer".to_owned()),
            |clearing| Step::Clear(place.clone(), clearing),
        ),
        Some(node) if node.to_string() == replacing.id => {
            Step::Wait(place, "it still has the old volume".to_owned())
        }
        Some(_) => lost::substitute(situation, place.clone()).unwrap_or(Step::Finish(place)),
    }
}

/// A new pod that is silent and being deleted, as those of a dead machine are: nobody
/// there will end it, and its volume would hold the next one to that machine. If the
/// map does not know that volume, it was never a member, and nothing is on it.
fn stillborn(situation: &Situation, place: &Place, replacing: &Replacing) -> Option<Clearing> {
    let pod = situation.observed.pod(situation.database, place)?;
    pod.metadata.deletion_timestamp.as_ref()?;
    let name = place.name();
    let mut entries = situation.map.nodes.iter().filter(|entry| entry.name == name);
    if entries.any(|entry| !entry.is_removed() && entry.id.to_string() != replacing.id) {
        return None;
    }
    let claim = situation.observed.claims.get(&situation.claim_name(place));
    let claim = claim.filter(|claim| claim.metadata.deletion_timestamp.is_none());
    Some(Clearing {
        claim: claim.and_then(|claim| Some((claim.name_any(), claim.uid()?))),
        pod: Some((pod.name_any(), pod.uid()?)),
        dead: true,
    })
}
