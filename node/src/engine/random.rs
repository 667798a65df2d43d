//! Random bits that are made once: ids, seeds, incarnations.

/// 64 random bits, from the operating system's generator.
///
/// # Panics
/// When the operating system has none to give: then no id would be safe.
pub fn random_bits() -> u64 {
    getrandom::u64().expect("the operating system gave no random bits")
}
