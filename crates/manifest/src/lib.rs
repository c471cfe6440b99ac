//! Sealing and verifying a release against its manifest.
