//! What a node's own clock means for whoever looks after it.

/// Beyond so many milliseconds a clock needs setting.
const OFF: u64 = 1_000;

/// In words by how much a node's wall clock is off those of the nodes it hears, if that is more
/// than a second; `milliseconds` as in [`NodeStatus`](crate::v1::NodeStatus).
#[must_use]
pub fn clock_off(milliseconds: i64) -> Option<String> {
    let by = milliseconds.unsigned_abs();
    let side = if milliseconds > 0 { "ahead of" } else { "behind" };
    (by > OFF).then(|| format!("{by} ms {side} those of the nodes it hears"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_beyond_a_second_to_either_side() {
        assert_eq!((clock_off(1_000), clock_off(-1_000)), (None, None));
        let words = |off| clock_off(off).expect("it is off");
        assert_eq!(words(1_001), "1001 ms ahead of those of the nodes it hears");
        assert_eq!(words(-2_000), "2000 ms behind those of the nodes it hears");
    }
}
