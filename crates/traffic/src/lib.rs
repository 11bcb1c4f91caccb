//! Which revision: tags and exact weights.
