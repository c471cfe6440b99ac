//! Tasks, prompts, scoring.
