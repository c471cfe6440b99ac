//! Tables and SQL, on DataFusion.
