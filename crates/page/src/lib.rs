//! What one looks at in a browser: reports, which are one file each, and the live page of an admin port.
//!
//! Both draw with the same `plots.js` over uPlot (vendored, MIT). No build step, no request to anywhere else. What is shown
//! travels as JSON and is set as text, never as markup: no name, path or answer can become part of the page.

mod live;
mod report;

pub use live::{Asset, CONTENT_SECURITY_POLICY, LIVE};
pub use report::{Fact, Kind, Line, Mark, Plot, Report, Table, Tone, report};
