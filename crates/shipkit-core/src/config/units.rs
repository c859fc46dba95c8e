//! Durations, sizes and percentages as people write them: a number and always a unit.

use std::time::Duration;

/// Hundredths of a percent: 5 % is 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BasisPoints(pub u32);

/// Why a text is no duration, size or percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUnit {
    /// Not a duration.
    #[error("`{0}` is not a duration: a whole number and `ms`, `s`, `m`, `h` or `d` make one, as in `10s`")]
    Duration(String),
    /// Not a size.
    #[error(
        "`{0}` is not a size: a number and `k`, `K`, `M`, `G`, `Ki`, `Mi`, `Gi`, `MB` or `GB` make one, as in `250MB`"
    )]
    Size(String),
    /// Not a percentage.
    #[error("`{0}` is not a percentage from 0% to 100% with at most two decimals, as in `5%` or `0.1%`")]
    Percent(String),
}

/// Reads `10s`, `5m`, `1h`, `500ms` or `2d`.
///
/// # Errors
/// When the number or the unit is missing, unknown or too large.
pub fn duration(text: &str) -> Result<Duration, BadUnit> {
    let bad = || BadUnit::Duration(text.to_owned());
    let (number, unit) = split(text).ok_or_else(bad)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad()),
    };
    let number: u64 = number.parse().ok().ok_or_else(bad)?;
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(bad)
}

/// Reads `250MB`, `1.5G` or `512Mi` as bytes. `k`, `K`, `M`, `G`, `MB` and `GB` are decimal, `Ki`, `Mi` and `Gi` binary.
///
/// # Errors
/// When the number or the unit is missing, unknown or too large.
pub fn size(text: &str) -> Result<u64, BadUnit> {
    let bad = || BadUnit::Size(text.to_owned());
    let (number, unit) = split(text).ok_or_else(bad)?;
    let bytes: u64 = match unit {
        "k" | "K" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err(bad()),
    };
    let thousandths = decimal(number, 3).ok_or_else(bad)?;
    thousandths.checked_mul(bytes).map(|product| product / 1_000).ok_or_else(bad)
}

/// Reads `5%` or `0.25%`.
///
/// # Errors
/// When it is no number with `%`, has more than two decimals or is above 100 %.
pub fn percent(text: &str) -> Result<BasisPoints, BadUnit> {
    let points =
        text.strip_suffix('%').and_then(|number| decimal(number, 2)).filter(|points| *points <= 10_000);
    let points = points.and_then(|points| u32::try_from(points).ok());
    points.map(BasisPoints).ok_or_else(|| BadUnit::Percent(text.to_owned()))
}

/// The number and the unit behind it.
fn split(text: &str) -> Option<(&str, &str)> {
    text.split_at_checked(text.find(|c: char| !c.is_ascii_digit() && c != '.')?)
}

/// A decimal number times ten to the power of `places`; `None` if it has more decimals than that.
fn decimal(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || places < fraction.len() {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
}
