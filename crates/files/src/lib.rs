//! Bytes on disk: whole-or-absent writes, digests, JSON lines, safetensors.
