//! The shared reader of the golden vectors.
