//! Findings about an image, and the policy that judges them into a verdict.
