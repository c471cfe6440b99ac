//! Sealing a release, verifying it against its manifest or another's list, and comparing two.
//!
//! A verb that makes files [`record`]s its inputs and outputs; [`seal()`] hashes the complete directory and collects
//! the records into a manifest; [`verify()`] states for every path whether it matches the manifest and what probably
//! happened if it does not; [`check_graph`] finds contradictions within a manifest; [`sign_manifest`] and [`Bundle`]
//! are its signatures; [`diff()`] compares down to the tensor. Empty directories, times, owners and modes of files are
//! not covered. This crate does not depend on the purpose of the files.

mod attest;
mod compare;
mod diagnose;
mod diff;
mod distributed;
mod export;
mod graph;
mod lists;
mod nested;
mod oms;
mod order;
pub mod record;
mod resume;
mod sample;
mod seal;
mod sharded;
mod signature;
mod statement;
mod unlisted;
mod verify;

pub use attest::{Again, AttestationError, Outcome, ReplayStatement, Replayer, attestation, read_attestation};
pub use compare::{Comparison, compare};
pub use diff::{Change, CheckpointDiff, Diff, Difference, FileChange, NotCompared, Side, TensorChange, diff};
pub use distributed::not_tensors;
pub use export::{ExportError, bill_of_materials, checksum_list, model_signature, provenance};
pub use graph::{GraphFinding, GraphRule, check_graph};
pub use lists::{
    Directory, Disagreement, Elsewhere, List, ListError, Place, is_json_list, lfs_pointer, merge, read_list,
};
pub use nested::{Unfolded, Unknown, unfold};
pub use oms::{Bundle, BundleError, BundlingError, Signed, Trust, bundle};
pub use order::{Order, circle_in_words};
pub use resume::{Basis, Resume};
pub use sample::{FileSample, sample, would_find};
pub use seal::{SealError, SealOptions, seal};
pub use sharded::{CheckpointFinding, NotByTensor, checkpoint_findings, not_by_tensor};
pub use signature::{ManifestSignatureError, check_manifest, sign_manifest};
pub use verify::{
    Ahead, Entry, Expected, Scope, Until, Verdict, Verification, VerifyOptions, look_ahead, verify, verify_after,
    verify_expected,
};
