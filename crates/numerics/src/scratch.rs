//! Working memory that each thread keeps for the next kernel.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Floats with arbitrary content; the thread that drops them keeps the memory.
pub(crate) struct Scratch {
    buffer: Vec<f32>,
    /// The start of a cache line.
    first: usize,
    length: usize,
}

/// Bytes of a cache line, and of the widest register: aligned data is read in one access.
const LINE: usize = 64;
/// Floats per cache line.
const FLOATS: usize = LINE / size_of::<f32>();

/// `length` floats with arbitrary content.
pub(crate) fn floats(length: usize) -> Scratch {
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < length + FLOATS {
        buffer.resize(length + FLOATS, 0.0);
    }
    // If the alignment is unknown, only speed is affected.
    let first = buffer.as_ptr().align_offset(LINE).min(FLOATS);
    Scratch { buffer, first, length }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[self.first..][..self.length]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[self.first..][..self.length]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        FREE.with_borrow_mut(|free| free.push(buffer));
    }
}
