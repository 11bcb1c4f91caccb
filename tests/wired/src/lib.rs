//! `rouse up` as a program, on loopback, with real clients. What the tests in `tests/` share.
//!
//! - `file`: what is served, as the file that `rouse up -f` reads
//! - `program`: the program itself: built once, started, asked, stopped; nothing of it may be left
//! - `client`: HTTP and WebSocket clients, and bodies that come slowly
//! - `browser`: a headless Chromium
//! - `load`: many numbered requests, and what became of each
//! - `share`: who should have answered, while one split was in force
//! - `processes`: who is alive
//! - `wait`: until something holds
//!
//! Nothing here knows the types of the programs: what is asked is asked over sockets, and read as anyone would read it.
//! A test that waits names what it waits for, and how long it may take on a slow machine.

mod browser;
mod client;
mod file;
mod load;
mod processes;
mod program;
mod share;
mod wait;

pub use browser::{Browser, Seen, on_path};
pub use client::{Answer, Client, SlowRequest, WebSocket, said, web_socket};
pub use file::{File, Model};
pub use load::{Asked, Load, Outcome, Paced};
pub use processes::{Mark, alive, command_line};
pub use program::{LEAVING, Up, queue_proxy, rouse, run};
pub use share::{Span, nothing_is_lost_or_begun_twice};
pub use wait::{eventually, secs, throughout};
