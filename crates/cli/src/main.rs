//! The binary `retrace`: arguments in, exit code out.
fn main() {}
