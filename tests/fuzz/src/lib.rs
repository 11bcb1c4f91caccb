//! What must hold whatever comes in, and the inputs over which it is checked.
//!
//! One function for each door through which bytes of others come in; each takes any bytes, and panics if one of its laws
//! does not hold. `make fuzz` looks for such bytes, with libFuzzer behind the feature `engine`. What is kept in `corpus`
//! is played by a plain test in every test run, without the engine; what `make fuzz` finds is written there too, so that
//! it fails that test until it is mended, and guards it from then on.
//!
//! Not here: the parsing of HTTP, which is hyper's, and what needs a socket.

mod file;
mod frames;
mod headers;
mod settings;

pub use file::file;
pub use frames::frames;
pub use headers::headers;
pub use settings::settings;
