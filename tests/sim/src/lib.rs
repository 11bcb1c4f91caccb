//! The pure crates and a toy cluster on one clock.
