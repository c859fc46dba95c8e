//! What should run on a target, and what does: plain values.
