//! What the operator may ask of the running process.

use super::{Inner, ReloadError, Reloaded, upstreams};
use crate::admin::{Answer, Operations};
use crate::edge::forget::{Target, forget};
use crate::edge::unix_time;
use crate::explain;
use crate::http::head::{split_host, split_query};
use crate::http::request::Scheme;
use async_trait::async_trait;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The operator's desk.
pub struct Desk(pub(super) Arc<Inner>);

impl Desk {
    /// Reads the configuration again and puts it in force; see [`super::Server::reload`].
    ///
    /// # Errors
    /// [`ReloadError`]; everything stays as it was.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.0.reload().await
    }

    /// Every file whose change may change something.
    pub async fn files(&self) -> Vec<PathBuf> {
        self.0.works.lock().await.files()
    }
}

#[async_trait]
impl Operations for Desk {
    fn metrics(&self) -> String {
        self.0.edge.state.metrics.encode()
    }

    fn ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    fn purge_url(&self, url: &http::Uri) -> usize {
        let scheme = if url.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
        let Some((host, port)) = url.authority().and_then(|a| split_host(a.as_str())) else { return 0 };
        let (path, query) = split_query(url.path_and_query().map_or("/", |p| p.as_str()));
        let port = port.unwrap_or(scheme.default_port());
        let edge = &self.0.edge;
        edge.state.metrics.purged("url");
        let target = Target { scheme, host, port, path, query };
        forget(&edge.state.cache, &edge.plan.load(), &target, unix_time().as_secs())
    }

    fn purge_tag(&self, tag: &str) -> usize {
        let state = &self.0.edge.state;
        state.metrics.purged("tag");
        state.cache.purge_tag(tag, unix_time().as_secs())
    }

    async fn reload(&self) -> Answer {
        match self.0.reload().await {
            Ok(done) => Answer::ok(json!({
                "before": done.before,
                "generation": done.generation,
                "seconds": done.took.as_secs_f64(),
                "changes": done.changes.iter()
                    .map(|change| json!({ "subject": change.subject, "what": change.what }))
                    .collect::<Vec<_>>(),
                "warnings": done.warnings,
            })),
            Err(error) => {
                let generation = self.0.edge.plan.load().generation;
                let message = error.to_string();
                let (status, diagnostics, text) = match error {
                    ReloadError::Mistakes(refused) => (422, refused.json(), refused.text(false)),
                    ReloadError::NoFile | ReloadError::Busy => (409, json!([]), message.clone()),
                    ReloadError::Stopping => (503, json!([]), message.clone()),
                    ReloadError::Start(_) => (500, json!([]), message.clone()),
                };
                Answer {
                    status,
                    body: json!({
                        "error": message,
                        "generation": generation,
                        "diagnostics": diagnostics,
                        "text": text,
                    }),
                }
            }
        }
    }

    fn upstreams(&self) -> Answer {
        Answer::ok(upstreams::json(&self.0.edge.plan.load()))
    }

    fn explain(&self, question: &[u8]) -> Answer {
        let edge = &self.0.edge;
        match explain::Question::from_json(question) {
            Ok(question) => {
                let plan = edge.plan.load_full();
                let explained = explain::explain(&plan, &edge.state.cache, &question, unix_time().as_secs());
                let mut answer = explained.json();
                // For whoever asks from a terminal of its own.
                answer["text"] = explained.text(false).into();
                Answer::ok(answer)
            }
            Err(message) => Answer { status: 400, body: json!({ "error": message }) },
        }
    }
}
