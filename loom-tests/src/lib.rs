//! Models of shared-term on loom; see `tests/`.
