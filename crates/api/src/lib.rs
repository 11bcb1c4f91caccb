//! ModelEndpoint and the local file as Rust types, with every fault and its place.
