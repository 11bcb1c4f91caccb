//! The live page: files to serve as they are.

/// A file of the page.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Where it is served.
    pub path: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// What stands in it.
    pub body: &'static str,
}

/// What the page may do: load and ask what is its own, and nothing else.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// All files; the first is the page itself.
pub const LIVE: [Asset; 8] = [
    Asset { path: "/", content_type: HTML, body: include_str!("../assets/live.html") },
    Asset { path: "/page/style.css", content_type: STYLE, body: super::report::STYLE },
    Asset { path: "/page/uplot.css", content_type: STYLE, body: super::report::UPLOT_STYLE },
    Asset { path: "/page/uplot.js", content_type: SCRIPT, body: super::report::UPLOT },
    Asset { path: "/page/plots.js", content_type: SCRIPT, body: super::report::PLOTS },
    Asset { path: "/page/beside.js", content_type: SCRIPT, body: include_str!("../assets/beside.js") },
    Asset { path: "/page/shadows.js", content_type: SCRIPT, body: include_str!("../assets/shadows.js") },
    Asset { path: "/page/live.js", content_type: SCRIPT, body: include_str!("../assets/live.js") },
];
