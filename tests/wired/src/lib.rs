//! The real programs on loopback, with real clients.
