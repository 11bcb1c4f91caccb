//! Computes replicas from what is in flight and orders them.
