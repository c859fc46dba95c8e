//! `human`: bytes for people.

/// Bytes as people write them, in powers of ten as registries and `docker images` do: `12.3 MB`.
#[must_use]
pub fn human(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000_u64), ("MB", 1_000_000), ("kB", 1_000)];
    match units.iter().find(|(_, size)| *size <= bytes) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_read_as_people_write_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (12_345_678, "12.3 MB"),
            (u64::MAX, "18446744073.7 GB"),
        ] {
            assert_eq!(super::human(bytes), text);
        }
    }
}
