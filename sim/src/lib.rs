//! DougDB's deterministic simulator: faults, checkers.
