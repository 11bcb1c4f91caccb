//! Load, benches, and what they print.

fn main() {}
