//! `doug`, the one shipped program.
fn main() {}
