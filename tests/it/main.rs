//! End-to-end tests over the binary.
