//! What `image-scan` does, apart from its `main`.
