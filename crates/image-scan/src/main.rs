//! Runs `image-scan`.

fn main() {}
