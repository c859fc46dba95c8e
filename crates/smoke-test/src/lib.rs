//! What `smoke-test` does, apart from its `main`.
