//! Runs `build-tag`.

fn main() {}
