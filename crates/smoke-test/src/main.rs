//! Runs `smoke-test`.

fn main() {}
