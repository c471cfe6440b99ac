//! Scaling-law fits, contamination index, statistics: pure computation.
