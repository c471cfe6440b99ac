//! Optimizer, schedule, trainer, journal, replay.
