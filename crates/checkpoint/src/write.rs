//! Writing the tensors of a checkpoint, in whatever files, into one safetensors file.

use std::collections::BTreeMap;

use retrace_files::safetensors::{Dtype, write_streamed};
use retrace_files::{FileError, Progress, Unit, WholeFile};
use retrace_spec::Digest;

use crate::StoredTensor;

/// Bytes that are read and written in one call.
const BLOCK: usize = 4 << 20;

/// Writes `tensors` under these names to `file` and commits it, in constant memory.
///
/// # Errors
/// If a tensor cannot be read, or writing to the disk fails.
pub fn write_safetensors(
    file: WholeFile,
    tensors: &BTreeMap<&str, &StoredTensor>,
    progress: &dyn Progress,
) -> Result<Digest, FileError> {
    let described: BTreeMap<&str, (Dtype, &[usize])> =
        tensors.iter().map(|(name, tensor)| (*name, (tensor.dtype, tensor.shape.as_slice()))).collect();
    progress.begin("writing", tensors.values().map(|tensor| tensor.length()).sum(), Unit::Bytes);
    let mut buffer = Vec::new();
    let written = write_streamed(file, &described, |name, put| {
        let Some(tensor) = tensors.get(name) else { return Ok(()) };
        let (open, length) = (tensor.open()?, tensor.length());
        for at in (0..length).step_by(BLOCK) {
            buffer.resize(BLOCK.min(usize::try_from(length - at).unwrap_or(BLOCK)), 0);
            open.read_at(&mut buffer, at)?;
            put(&buffer)?;
            progress.advance(buffer.len() as u64);
        }
        Ok(())
    });
    progress.end();
    written
}
