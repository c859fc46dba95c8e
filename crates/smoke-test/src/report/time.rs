//! Times, as people read them.

use std::time::Duration;

/// In milliseconds.
pub(super) fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// In seconds, and in milliseconds where it is less than one.
pub(super) fn short(time: Duration) -> String {
    if time < Duration::from_secs(1) { ms(time) } else { format!("{:.1} s", time.as_secs_f64()) }
}

/// Milliseconds as a number, to one tenth.
pub(super) fn tenths(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}
