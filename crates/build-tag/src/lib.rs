//! What `build-tag` does, apart from its `main`.
