//! The files of the console's page, embedded in the binary. None of them refers to another host.

/// One file of the page.
pub struct Asset {
    /// Its path on the admin listener.
    pub path: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub content: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// All files of the page.
pub const ASSETS: [Asset; 9] = [
    Asset { path: "/", media_type: HTML, content: include_str!("index.html") },
    Asset { path: "/console/style.css", media_type: STYLE, content: include_str!("style.css") },
    Asset { path: "/console/icon.svg", media_type: "image/svg+xml", content: include_str!("icon.svg") },
    Asset { path: "/console/main.js", media_type: SCRIPT, content: include_str!("main.js") },
    Asset { path: "/console/dom.js", media_type: SCRIPT, content: include_str!("dom.js") },
    Asset { path: "/console/stream.js", media_type: SCRIPT, content: include_str!("stream.js") },
    Asset { path: "/console/charts.js", media_type: SCRIPT, content: include_str!("charts.js") },
    Asset { path: "/console/panels.js", media_type: SCRIPT, content: include_str!("panels.js") },
    Asset { path: "/console/events.js", media_type: SCRIPT, content: include_str!("events.js") },
];
