//! Follows certificate files while the server runs: what is new in them is served at once, what is broken is told.

use crate::edge::Edge;
use crate::http::date;
use crate::plan::Plan;
use crate::telemetry::Metrics;
use crate::tls::{News, Terminator};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// How often files are looked at: often enough for whoever waits for a new certificate, too seldom to be noticed.
const LOOK: Duration = Duration::from_secs(2);

/// Looks at the files of all listeners again and again, until the server ends.
pub(super) async fn follow(edge: Weak<Edge>, mut ends: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = ends.wait_for(|end| *end) => return,
        }
        let Some(plan) = edge.upgrade().map(|edge| edge.plan.load_full()) else { return };
        for listener in &plan.listeners {
            if let Some(terminator) = listener.tls.clone().filter(|_| !listener.closed) {
                look(&listener.name, terminator).await;
            }
        }
    }
}

/// Files may be far away and slow: whoever serves does not wait for them.
async fn look(listener: &str, terminator: Arc<Terminator>) {
    let looked = tokio::task::spawn_blocking(move || terminator.look()).await;
    for news in looked.unwrap_or_default() {
        match news {
            News::Refused(refused) => {
                log::warn!("{listener}: {refused}; the certificate before it stays, and this is tried again");
            }
            News::Swapped { file, certificate } => {
                let end = date::format(u64::try_from(certificate.not_after()).unwrap_or(0));
                let (file, end) = (file.display(), String::from_utf8_lossy(&end));
                log::info!("{listener}: {file} is a new certificate, for {certificate}, until {end}");
            }
        }
    }
}

/// Shows when the certificates that are served end.
pub(super) fn show(plan: &Plan, metrics: &Metrics) {
    let of = |listener: &crate::plan::Listener| {
        let certificates = listener.tls.as_ref().map(|tls| tls.certificates()).unwrap_or_default();
        let name = listener.name.clone();
        certificates.into_iter().map(move |it| (name.clone(), it.label(), it.not_after()))
    };
    let ends: Vec<_> = plan.listeners.iter().filter(|listener| !listener.closed).flat_map(of).collect();
    let ends: Vec<_> = ends.iter().map(|(listener, name, end)| (&**listener, &**name, *end)).collect();
    metrics.set_certificates(&ends);
}
