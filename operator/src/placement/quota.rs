//! How many partitions each cluster is to hold, and which of them have to go for it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The moves, as (partition, cluster), that leave each declared cluster with as many
/// partitions as the others, or one more. There are as few as can be: whoever has
/// more than the others keeps the odd ones, and only what is beyond goes. Those on
/// clusters that are not declared come first; both in order of their ids.
pub fn assign(held: &[(u64, &str)], declared: &[&str]) -> Vec<(u64, String)> {
    if declared.is_empty() {
        return Vec::new();
    }
    let mut counts: BTreeMap<&str, usize> = declared.iter().map(|name| (*name, 0)).collect();
    for (_, cluster) in held {
        if let Some(count) = counts.get_mut(cluster) {
            *count += 1;
        }
    }
    let quotas = quotas(held.len(), &counts, declared);
    let mut homeless: Vec<u64> = Vec::new();
    let mut surplus: Vec<u64> = Vec::new();
    let mut left = counts.clone();
    // The last ones go, so that the first stay where they have been.
    for (partition, cluster) in held.iter().rev() {
        match left.get_mut(cluster) {
            None => homeless.push(*partition),
            Some(count) if *count > quotas[cluster] => {
                *count -= 1;
                surplus.push(*partition);
            }
            Some(_) => {}
        }
    }
    homeless.sort_unstable();
    surplus.sort_unstable();
    let going = homeless.into_iter().chain(surplus);
    going
        .map(|partition| {
            let least = least_loaded(&left, &quotas, declared);
            *left.entry(least).or_default() += 1;
            (partition, least.to_owned())
        })
        .collect()
}

/// Each gets its share, and those that have the most anyway one more while there is
/// a remainder.
fn quotas<'a>(
    all: usize,
    counts: &BTreeMap<&'a str, usize>,
    declared: &[&'a str],
) -> BTreeMap<&'a str, usize> {
    let (share, mut odd) = (all / declared.len(), all % declared.len());
    let mut order: Vec<&str> = declared.to_vec();
    // Stable: of equally many the one declared first.
    order.sort_by_key(|name| Reverse(counts[name]));
    let quota = |name| {
        let more = usize::from(odd > 0);
        odd -= more;
        (name, share + more)
    };
    order.into_iter().map(quota).collect()
}

/// The one that holds the fewest, of those that are short of their quota.
fn least_loaded<'a>(
    held: &BTreeMap<&'a str, usize>,
    quotas: &BTreeMap<&'a str, usize>,
    declared: &[&'a str],
) -> &'a str {
    let short = declared.iter().filter(|name| held[**name] < quotas[**name]);
    let least = short.min_by_key(|name| held[**name]);
    // Quotas add up to all partitions, so someone is short while one has to go.
    least.copied().unwrap_or(declared[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

    fn after<'a>(held: &[(u64, &'a str)], moves: &[(u64, String)]) -> Vec<(u64, &'a str)> {
        let place = |(id, cluster): &(u64, &'a str)| {
            let moved = moves.iter().find(|(moved, _)| moved == id).map(|(_, to)| to.as_str());
            let to = moved.and_then(|to| NAMES.iter().find(|name| **name == to).copied());
            (*id, to.unwrap_or(cluster))
        };
        held.iter().map(place).collect()
    }

    fn counts(held: &[(u64, &str)], declared: &[&str]) -> Vec<usize> {
        let count = |name: &&str| held.iter().filter(|(_, cluster)| cluster == name).count();
        declared.iter().map(count).collect()
    }

    /// The fewest moves to any balanced distribution, by trying all of them.
    fn fewest(counts: &[usize], all: usize) -> usize {
        let (share, odd) = (all / counts.len(), all % counts.len());
        let distributions =
            (0_u32..1 << counts.len()).filter(|set| set.count_ones() as usize == odd);
        let arriving = |set: u32| {
            let want = |number: usize| share + usize::from(set >> number & 1 == 1);
            counts.iter().enumerate().map(|(n, count)| want(n).saturating_sub(*count)).sum()
        };
        distributions.map(arriving).min().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn it_balances_with_the_fewest_moves_and_then_rests(
            places in prop::collection::vec(0..5_usize, 1..40),
            clusters in 1..5_usize,
        ) {
            let held: Vec<(u64, &str)> = (1..).zip(places.iter().map(|at| NAMES[*at])).collect();
            let declared = &NAMES[..clusters];
            let moves = assign(&held, declared);
            let then = after(&held, &moves);
            let balanced = counts(&then, declared);
            prop_assert_eq!(balanced.iter().sum::<usize>(), held.len());
            let most = balanced.iter().max().unwrap();
            prop_assert!(most - balanced.iter().min().unwrap() <= 1);
            prop_assert_eq!(moves.len(), fewest(&counts(&held, declared), held.len()));
            prop_assert_eq!(assign(&then, declared), []);
        }

        #[test]
        fn moves_that_are_under_way_change_nothing_about_the_others(
            places in prop::collection::vec(0..5_usize, 1..40),
            clusters in 1..5_usize,
            begun in 0..4_usize,
        ) {
            let held: Vec<(u64, &str)> = (1..).zip(places.iter().map(|at| NAMES[*at])).collect();
            let moves = assign(&held, &NAMES[..clusters]);
            let begun = begun.min(moves.len());
            let then = after(&held, &moves[..begun]);
            let rest = assign(&then, &NAMES[..clusters]);
            prop_assert_eq!(rest.len(), moves.len() - begun);
        }
    }

    #[test]
    fn those_whose_cluster_goes_away_come_first_and_go_to_the_least_loaded() {
        let held = [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "x"), (6, "x")];
        let moves = assign(&held, &["a", "b"]);
        assert_eq!(moves, [(5, "b".to_owned()), (6, "b".to_owned())]);
    }

    #[test]
    fn a_new_cluster_takes_the_last_of_each() {
        let held = [(1, "a"), (2, "b"), (3, "a"), (4, "b"), (5, "a"), (6, "b")];
        let moves = assign(&held, &["a", "b", "c"]);
        assert_eq!(moves, [(5, "c".to_owned()), (6, "c".to_owned())]);
    }
}
