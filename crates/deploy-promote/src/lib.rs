//! What `deploy-promote` does, apart from its `main`.
