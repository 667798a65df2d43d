//! Kubernetes quantities, as far as sizes and processors need them.

const SUFFIXES: [(&str, u128); 13] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
    ("", 1),
];

/// A quantity in whole units, rounded up as Kubernetes does. None: it is none,
/// or beyond 2⁶⁴.
pub fn bytes(text: &str) -> Option<u64> {
    u64::try_from(thousandths(text)?.div_ceil(1_000)).ok()
}

/// A quantity in thousandths of its unit.
pub fn thousandths(text: &str) -> Option<u128> {
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 9 || whole.len() > 20 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.pow(fraction.len() as u32);
    if suffix == "m" {
        return Some(digits.div_ceil(scale));
    }
    let factor = SUFFIXES.iter().find(|(name, _)| *name == suffix)?.1;
    Some(digits.checked_mul(factor)?.checked_mul(1_000)?.div_ceil(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        let read = ["20Gi", "1.5Gi", "500m", "1G", "64", "0.5"].map(|text| bytes(text).unwrap());
        assert_eq!(read, [20 << 30, 3 << 29, 1, 1_000_000_000, 64, 1]);
        assert_eq!(thousandths("500m"), Some(500));
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in ["", "Gi", "20GiB", "-1", "1..5", "1e", "twenty"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
