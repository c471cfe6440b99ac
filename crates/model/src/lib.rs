//! The architectures on candle, and their checkpoints.
