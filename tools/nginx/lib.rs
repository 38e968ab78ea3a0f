//! Holds a dependency; see `Cargo.toml`.
