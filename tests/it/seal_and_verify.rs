//! `seal` and `verify`: whatever is done to a release shows.
