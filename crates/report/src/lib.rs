//! Plots and pages from query results.
