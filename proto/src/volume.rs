//! What the room on a node's volume means: operator and commands say the same.

use crate::v1::VolumeStatus;

/// In hundredths of the volume: with less left for data it is nearly full. Long
/// before a node refuses writes, so that there is time to grow it.
const NEARLY_FULL: u64 = 15;

impl VolumeStatus {
    /// Whether less than 15 % of the volume is left for data.
    pub fn is_nearly_full(&self) -> bool {
        let available = u128::from(self.available_bytes) * 100;
        self.refuses_writes || available < u128::from(self.total_bytes) * u128::from(NEARLY_FULL)
    }

    /// How full it is, in hundredths: what is not left for data.
    pub fn used_percent(&self) -> u64 {
        let total = u128::from(self.total_bytes.max(1));
        let used = total.saturating_sub(u128::from(self.available_bytes));
        (used * 100 / total) as u64
    }

    /// How much is left, in words: "9 of 300 MiB are left for data".
    pub fn in_words(&self) -> String {
        let mebibytes = |bytes: u64| bytes >> 20;
        format!(
            "{} of {} MiB are left for data{}",
            mebibytes(self.available_bytes),
            mebibytes(self.total_bytes),
            if self.refuses_writes { ", and it refuses writes" } else { "" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(available_bytes: u64) -> VolumeStatus {
        VolumeStatus { total_bytes: 1_000, available_bytes, ..Default::default() }
    }

    #[test]
    fn a_volume_is_nearly_full_once_85_percent_are_not_available() {
        assert!(!left(150).is_nearly_full());
        assert!(left(149).is_nearly_full());
    }

    #[test]
    fn what_refuses_writes_is_nearly_full_however_much_is_left() {
        assert!(VolumeStatus { refuses_writes: true, ..left(500) }.is_nearly_full());
    }

    #[test]
    fn what_is_not_left_for_data_counts_as_used() {
        assert_eq!([left(1_000), left(149), left(0)].map(|v| v.used_percent()), [0, 85, 100]);
    }

    #[test]
    fn how_much_is_left_is_said_in_mebibytes() {
        let volume = VolumeStatus {
            total_bytes: 300 << 20,
            available_bytes: 9 << 20,
            refuses_writes: true,
            ..Default::default()
        };
        let said = volume.in_words();
        assert_eq!(said, "9 of 300 MiB are left for data, and it refuses writes");
    }
}
