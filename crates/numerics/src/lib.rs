//! Reproducible kernels and random numbers, over plain slices.
//!
//! Every function here returns the same bits on any machine, with any number of threads, in any build profile. This
//! crate does not depend on tensors, files or models, and does not print.
//!
//! # The contract, numerics version 1
//!
//! The contract is written so that another implementation can match it bit for bit. It is frozen: results made with
//! version 1 can always be reproduced, and any change of a bit would be a version 2.
//!
//! **Arithmetic.** IEEE 754 binary32 unless binary64 is stated, rounding to nearest even, denormals kept. `fma(a, b,
//! c)` is a·b + c rounded once, and is used where this contract states it and nowhere else: every other product and
//! sum is rounded separately. A product that underflows to zero keeps its sign. A result that is NaN is an error that
//! the caller must report (a NaN's payload depends on the machine); [`environment::check`] detects a changed rounding
//! or flush mode.
//!
//! **Chain.** A chain over `i` starts from +0 and is `acc = fma(a[i], b[i], acc)` for `i`
//! ascending. Every element of every matrix product is one chain ([`matmul`]).
//!
//! **Lane sum.** Any other sum of n terms has 32 lanes, all +0 at first. Term `i` is added to lane `i mod 32`, terms
//! in ascending order: a plain term by `+`, a term that is a product `a·b` by `fma(a, b, lane)`. Then lane `j` adds
//! lane `j + h`, for h = 16, 8, 4, 2, 1 and every j below h; lane 0 is the sum ([`sum`]).
//!
//! **Tree.** When complete gradients are added, leaves have a global index from 0 and n leaves are added as
//! `tree(first half) + tree(second half)`, where the first half is the largest power of two below n ([`tree`]).
//!
//! **Functions.** `exp` ([`elementary::exp`]) and `erf` are defined to the bit by their polynomials. Binary64
//! logarithm, power, sine and cosine are those of the crate `libm`, version 0.2.16, which has one portable
//! implementation of each. Square root and division are IEEE 754's.
//!
//! **Random numbers** are a pure function of (seed, stream, step, index): [`random`].
//!
//! Each kernel's own order of operations is in its documentation. Vector width, tile sizes and threads distribute work
//! over elements and never change an element's order.

pub mod adamw;
pub mod attention;
pub mod context;
pub mod cross_entropy;
pub mod elementary;
pub mod elementwise;
pub mod embedding;
pub mod environment;
pub mod gelu;
pub mod heads;
pub mod isa;
mod lanes;
pub mod matmul;
pub mod norm;
pub mod random;
pub mod rope;
mod scratch;
pub mod sum;
pub mod swiglu;
pub mod tree;
#[cfg(target_arch = "x86_64")]
mod x86;

/// The version of the contract that this crate implements.
pub const VERSION: u32 = 1;
