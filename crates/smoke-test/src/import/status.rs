//! `Allowed`: which statuses are good.

use serde_json::Value;

/// A list of more is nothing that people read.
const MOST: usize = 12;

/// The statuses that are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allowed(Vec<u16>);

/// Statuses that cannot be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwritten {
    None,
    Many,
}

impl Allowed {
    /// Any.
    pub(super) fn any() -> Self {
        Self((100..600).collect())
    }

    /// Those that hold besides.
    pub(super) fn only(&self, holds: impl Fn(u16) -> bool) -> Self {
        Self(self.0.iter().copied().filter(|status| holds(*status)).collect())
    }

    /// Whether nothing is said about them.
    pub(super) fn is_any(&self) -> bool {
        *self == Self::any()
    }

    /// As `expect.status` has them; `None` for those that are good where nothing is said.
    pub(super) fn value(&self) -> Result<Option<Value>, Unwritten> {
        let mut entries: Vec<Value> = Vec::new();
        for class in 1..=5 {
            let of_class: Vec<u16> = self.0.iter().copied().filter(|status| status / 100 == class).collect();
            if of_class.len() == 100 {
                entries.push(format!("{class}xx").into());
            } else {
                entries.extend(of_class.into_iter().map(Value::from));
            }
        }
        match entries.as_slice() {
            [] => Err(Unwritten::None),
            [only] if *only == "2xx" => Ok(None),
            [only] => Ok(Some(only.clone())),
            several if MOST < several.len() => Err(Unwritten::Many),
            _ => Ok(Some(Value::from(entries))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes_are_written_as_such() {
        let value = |holds: fn(u16) -> bool| Allowed::any().only(holds).value();
        assert_eq!(value(|_| true), Ok(Some(json!(["1xx", "2xx", "3xx", "4xx", "5xx"]))));
        assert_eq!(value(|status| status / 100 == 2), Ok(None));
        assert_eq!(value(|status| status == 404), Ok(Some(json!(404))));
        assert_eq!(value(|status| status < 202), Ok(Some(json!(["1xx", 200, 201]))));
        assert_eq!(value(|status| status != 500), Err(Unwritten::Many));
        assert_eq!(value(|_| false), Err(Unwritten::None));
    }
}
