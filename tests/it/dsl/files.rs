//! Configuration files of a test, in a folder of their own that goes with it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder of files.
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// An empty folder.
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("foreland-files-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    /// One with `foreland.yaml`: an upstream `app` at this address, and these routes.
    pub fn with_routes(origin: SocketAddr, routes: &str) -> Self {
        let files = Self::new();
        files.routes(origin, routes);
        files
    }

    /// One with a single route to an upstream `app` at this address, under these rules.
    pub fn with_rules(origin: SocketAddr, rules: &str) -> Self {
        let files = Self::with_routes(origin, "- { name: site, upstream: app, cache: rules.yaml }");
        files.write("rules.yaml", rules);
        files
    }

    /// Writes `foreland.yaml` anew.
    pub fn routes(&self, origin: SocketAddr, routes: &str) {
        let text = format!(
            "listeners: [{{ bind: \"127.0.0.1:0\" }}]\nadmin: {{ bind: \"127.0.0.1:0\" }}\n\
             upstreams: {{ app: {{ servers: \"{origin}\" }} }}\ncache: {{ memory: 64MiB }}\nlog: {{ access: {{ to: access.log }} }}\n\
             routes:\n{}\n",
            indented(routes)
        );
        self.write("foreland.yaml", &text);
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).unwrap();
    }

    /// Where `foreland.yaml` is.
    pub fn main(&self) -> PathBuf {
        self.folder.join("foreland.yaml")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn indented(text: &str) -> String {
    text.trim_matches('\n').lines().map(|line| format!("  {line}\n")).collect()
}
