//! Working memory that each thread keeps for the next kernel.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Floats of any content; the thread that drops it keeps the memory.
pub(crate) struct Scratch {
    buffer: Vec<f32>,
    /// Where a line of the cache begins.
    first: usize,
    length: usize,
}

/// Bytes of a line of the cache, and of the widest register: what begins there is read at once.
const LINE: usize = 64;
/// Floats of it.
const FLOATS: usize = LINE / size_of::<f32>();

/// `length` floats of any content.
pub(crate) fn floats(length: usize) -> Scratch {
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < length + FLOATS {
        buffer.resize(length + FLOATS, 0.0);
    }
    // Where it cannot be told, nothing but speed depends on it.
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
