//! Scaling laws on the points of others, beside what they published.

#![allow(clippy::unwrap_used)]

mod real_data;
