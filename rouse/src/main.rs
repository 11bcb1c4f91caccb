//! Rouse wakes models on request: the command line.

fn main() {}
