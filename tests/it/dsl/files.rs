//! Files of a test, those of a configuration and those that are served, in a folder of their own that goes with it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

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
        self.put(name, text);
    }

    /// The same for any bytes, and the folders that it is in.
    pub fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Where a file is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Says that a file was changed at a time, in seconds since 1970.
    pub fn date(&self, name: &str, modified: u64) {
        let file = std::fs::File::options().append(true).open(self.path(name)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(modified)).unwrap();
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
