//! `RawLimits`: how large images may be, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::Size;
use crate::policy::Budget;

/// The most that every image may take.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping")]
pub(super) struct RawLimits {
    /// Bytes of all layers as the registry stores them: `150MB`.
    pub(super) compressed: Option<Size>,
    /// Bytes of all layers unpacked; `size_limit` of a service goes before it.
    pub(super) unpacked: Option<Size>,
    /// Bytes that it may have unpacked beyond what `baseline` had.
    pub(super) growth: Option<Size>,
    /// Bytes of files that a later layer replaces or removes: they are pulled, and nobody sees them.
    pub(super) wasted: Option<Size>,
    /// How many layers it has.
    pub(super) layers: Option<u64>,
}

impl RawLimits {
    /// The same as bytes.
    pub(super) fn resolve(self) -> Budget {
        let bytes = |size: Option<Size>| size.map(|size| size.0);
        Budget {
            compressed: bytes(self.compressed),
            unpacked: bytes(self.unpacked),
            growth: bytes(self.growth),
            wasted: bytes(self.wasted),
            layers: self.layers,
        }
    }
}
