//! What `rouse up` promises, seen from outside: each promise in a file of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admin;
mod cold_start;
mod crashes;
mod demo;
mod files;
mod keeping;
mod leaving;
mod orphans;
mod outcomes;
mod page;
mod routing;
mod scaling;
mod seal;
mod shadow;
mod shadows;
mod start_failed;
