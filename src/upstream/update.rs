//! A cluster that stays through a reload: what of it changes, and what its servers keep.

use std::sync::Arc;

use super::cluster::refuse_bad_list;
use super::names::Answers;
use super::{Cluster, ServerSpec, Settings, UpstreamError};

/// A change to a cluster that cannot fail any more. Dropped, it changes nothing.
#[must_use]
pub struct Update {
    cluster: Arc<Cluster>,
    servers: Vec<ServerSpec>,
    settings: Settings,
    answers: Answers,
}

/// Which servers an update brought and took, as `host:port`: the label of logs and metrics. One that moved
/// to TLS or back did neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// New ones, as listed. The observer was told of each.
    pub joined: Vec<Arc<str>>,
    /// Gone ones, sorted. The observer hears no more of them, but tries under way end later.
    pub left: Vec<Arc<str>>,
}

impl Cluster {
    /// Whether an update to these would change nothing.
    pub fn is_same(&self, servers: &[ServerSpec], settings: &Settings) -> bool {
        self.names().specs() == servers && *self.settings() == *settings
    }

    /// Gets an update ready without changing anything. Looks new names up now, waiting `lookup.timeout` at most,
    /// so that a cluster given new names has servers at every moment.
    ///
    /// # Errors
    /// [`UpstreamError`], as [`open`](Self::open).
    pub async fn prepare(
        self: &Arc<Self>,
        servers: &[ServerSpec],
        settings: Settings,
    ) -> Result<Update, UpstreamError> {
        refuse_bad_list(self.name(), servers)?;
        let mut new = servers.to_vec();
        let known = self.names().specs();
        new.retain(|server| !known.iter().any(|known| known.is_at(server)));
        let answers = self.names().look_up(&new, &settings.lookup).await;
        Ok(Update { cluster: self.clone(), servers: servers.to_vec(), settings, answers })
    }

    /// Changes the cluster in place, while requests run: [`prepare`](Self::prepare) and [`Update::apply`].
    ///
    /// # Errors
    /// [`UpstreamError`], as [`open`](Self::open); nothing has changed then.
    pub async fn update(
        self: &Arc<Self>,
        servers: &[ServerSpec],
        settings: Settings,
    ) -> Result<Change, UpstreamError> {
        Ok(self.prepare(servers, settings).await?.apply())
    }
}

impl Update {
    /// Makes it so at once. Servers that stay keep their health, their addresses, their counts and, because the
    /// cluster keeps its name, their pooled connections. All are checked and looked up now; the pauses between
    /// that are the new ones from here on.
    pub fn apply(self) -> Change {
        let Self { cluster, servers, settings, answers } = self;
        let bounds = settings.lookup.clone();
        cluster.configure(settings);
        let change = cluster.change(|names| names.replace(&servers, answers, &bounds));
        cluster.wake();
        change
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::Duration;

    use pingora::upstreams::peer::Peer;
    use tokio::time::timeout;

    use super::*;
    use crate::upstream::tests::{Bed, LONG, SOON, bed, calm, deaf, hasty, listener, specs};
    use crate::upstream::{Failure, Want};

    const A: &str = "192.0.2.1:80";
    const B: &str = "192.0.2.2:80";
    const C: &str = "192.0.2.3:80";

    impl Bed {
        async fn update(&self, servers: &[impl AsRef<str>]) -> Change {
            let settings = self.cluster.settings();
            self.cluster.update(&specs(servers), (*settings).clone()).await.unwrap()
        }

        fn drain_told(&mut self) -> Vec<(String, bool)> {
            std::iter::from_fn(|| self.told.try_recv().ok()).collect()
        }
    }

    fn change(joined: &[&str], left: &[&str]) -> Change {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        Change { joined: names(joined), left: names(left) }
    }

    #[tokio::test]
    async fn who_was_down_stays_down_and_who_was_up_stays_up() {
        let (_listener, good) = listener().await;
        let (_socket, bad) = deaf();
        let (good, bad) = (good.to_string(), bad.to_string());
        let mut bed = bed(&[&good, &bad], hasty()).await;
        bed.start().await;
        bed.until(&bad, false).await;
        // Other thresholds and another pace bring nobody up.
        let mut settings = calm();
        settings.health.fall = 5;
        bed.cluster.update(&specs(&[C, &bad, &good]), settings).await.unwrap();
        assert_eq!(bed.ups(), [true, false, true]);
        assert_eq!(bed.drain_told(), [(C.to_owned(), true)]);
        assert!(!bed.picks(9).contains(&bad));
    }

    #[tokio::test]
    async fn who_joined_gets_requests_and_who_left_gets_none() {
        let mut bed = bed(&[A, B], calm()).await;
        bed.drain_told();
        assert_eq!(bed.update(&[C, A]).await, change(&[C], &[B]));
        let picks = bed.picks(10);
        assert_eq!(picks.iter().filter(|pick| *pick == A).count(), 5);
        assert_eq!(picks.iter().filter(|pick| *pick == C).count(), 5);
        assert_eq!(bed.update(&[A, B]).await, change(&[B], &[C]));
        assert_eq!(bed.drain_told(), [(C.to_owned(), true), (B.to_owned(), true)], "told of B again");
    }

    #[tokio::test]
    async fn a_bad_list_changes_nothing() {
        let mut bed = bed(&[A], calm()).await;
        bed.drain_told();
        let before = bed.cluster.state();
        for (servers, error) in [
            (&[] as &[&str], UpstreamError::Empty("app".into())),
            (&[B, B], UpstreamError::Twice("app".into(), B.into())),
        ] {
            let refused = bed.cluster.update(&specs(servers), hasty()).await;
            assert_eq!(refused, Err(error));
        }
        assert_eq!(bed.cluster.servers(), before.servers);
        assert_eq!(bed.cluster.settings(), before.settings);
        assert!(bed.drain_told().is_empty());
    }

    #[tokio::test]
    async fn an_update_that_is_dropped_changes_nothing() {
        let bed = bed(&[A], calm()).await;
        let before = bed.cluster.servers();
        drop(bed.cluster.prepare(&specs(&[B]), hasty()).await);
        assert_eq!(bed.cluster.servers(), before);
    }

    #[tokio::test]
    async fn tries_under_way_stay_counted_even_under_another_name() {
        let bed = bed(&[A], calm()).await;
        bed.find(&["192.0.2.1"]).await;
        let under_way = bed.pick(&[]).unwrap();
        bed.update(&[A, B]).await;
        assert_eq!(bed.active(), [1, 0]);
        bed.update(&["app.internal:80", B]).await;
        assert_eq!(bed.active(), [1, 0]);
        drop(under_way);
        assert_eq!(bed.active(), [0, 0]);
    }

    #[tokio::test]
    async fn a_server_that_is_left_out_stays_so() {
        let mut settings = calm();
        settings.eject.failures = 1;
        let bed = bed(&[A, B], settings).await;
        let out = bed.pick(&[]).unwrap().server;
        bed.cluster.failed(&out, Failure::Reset, "connection reset".to_owned());
        bed.update(&[A, B, C]).await;
        assert_eq!(bed.cluster.servers().iter().filter(|s| !s.up()).count(), 1);
        assert!(!bed.picks(9).contains(&out.endpoint.to_string()));
    }

    #[tokio::test]
    async fn a_server_that_moves_to_tls_keeps_its_count() {
        let bed = bed(&[A], calm()).await;
        let _under_way = bed.pick(&[]).unwrap();
        assert_eq!(bed.update(&[format!("https://{A}")]).await, Change::default());
        let server = bed.pick(&[]).unwrap().server;
        assert_eq!((server.endpoint.to_string(), server.tls, server.active()), (A.to_owned(), true, 1));
    }

    #[tokio::test]
    async fn a_server_with_a_new_name_is_called_by_it() {
        let bed = bed(&[A], calm()).await;
        bed.find(&["192.0.2.1"]).await;
        assert_eq!(bed.update(&["app.internal:80"]).await, change(&["app.internal:80"], &[A]));
        assert_eq!(&*bed.pick(&[]).unwrap().server.name, "app.internal:80");
    }

    #[tokio::test]
    async fn pooled_connections_are_found_again() {
        let bed = bed(&[A], calm()).await;
        let tried: SocketAddr = B.parse().unwrap();
        let hash =
            || bed.cluster.peer(&bed.pick(&[tried]).unwrap().server, Want::Exchange).unwrap().reuse_hash();
        let before = hash();
        let mut settings = calm();
        settings.tries = 5;
        bed.cluster.update(&specs(&[B, A]), settings).await.unwrap();
        assert_eq!(hash(), before);
    }

    #[tokio::test]
    async fn a_new_name_has_its_addresses_from_the_first_moment() {
        let bed = bed(&[A], calm()).await;
        bed.start().await;
        *bed.book.0.lock() = vec!["192.0.2.2".parse().unwrap()];
        bed.update(&["app.internal:80"]).await;
        assert_eq!(bed.picks(1), [B]);
    }

    #[tokio::test]
    async fn names_are_looked_up_in_a_cluster_that_had_none() {
        let mut bed = bed(&[A], calm()).await;
        bed.start().await;
        bed.until(A, true).await;
        let mut settings = calm();
        settings.lookup.timeout = Duration::from_secs(1);
        bed.cluster.update(&specs(&["app.internal:80"]), settings).await.unwrap();
        assert_eq!(bed.next_told().await, ("app.internal:80".into(), false));
        *bed.book.0.lock() = vec!["192.0.2.9".parse().unwrap()];
        bed.until("app.internal:80", true).await;
    }

    #[tokio::test]
    async fn an_answer_that_comes_late_changes_only_who_is_still_listed() {
        let bed = bed(&["old.internal:80", "app.internal:80"], calm()).await;
        *bed.book.0.lock() = vec!["192.0.2.2".parse().unwrap()];
        let asked = bed.cluster.names().specs();
        let answers = bed.cluster.names().look_up(&asked, &calm().lookup).await;
        bed.update(&["app.internal:80", A]).await;
        bed.cluster.learn(answers);
        let servers = bed.cluster.servers();
        let at: Vec<_> =
            servers.iter().map(|s| (&*s.name, s.endpoint.as_ref().unwrap().to_string())).collect();
        assert_eq!(at, [("app.internal:80", B.to_owned()), (A, A.to_owned())]);
    }

    #[tokio::test]
    async fn new_settings_do_not_wait_for_the_old_pause() {
        let (socket, address) = deaf();
        let address = address.to_string();
        let mut settings = calm();
        settings.health.fall = 1;
        let mut bed = bed(&[&address], settings.clone()).await;
        bed.start().await;
        bed.until(&address, false).await;
        let _listener = socket.listen(16).unwrap();
        (settings.health.every, settings.connect) = (SOON, SOON);
        assert_eq!(bed.cluster.update(&specs(&[&address]), settings).await, Ok(Change::default()));
        let peer = bed.cluster.peer(&bed.pick(&[]).unwrap().server, Want::Exchange).unwrap();
        assert_eq!(peer.connection_timeout(), Some(SOON));
        bed.until(&address, true).await;
    }

    #[tokio::test]
    async fn who_joined_is_checked_at_once() {
        let (_listener, good) = listener().await;
        let (_socket, bad) = deaf();
        let mut settings = calm();
        settings.health.fall = 1;
        let mut bed = bed(&[good.to_string()], settings).await;
        bed.start().await;
        bed.until(good, true).await;
        bed.update(&[good.to_string(), bad.to_string()]).await;
        bed.until(bad, false).await;
    }

    #[tokio::test]
    async fn only_a_difference_is_a_change() {
        let bed = bed(&[A, "app.internal:80"], calm()).await;
        let same = |servers: &[&str], settings| bed.cluster.is_same(&specs(servers), &settings);
        assert!(same(&[A, "http://App.Internal"], calm()));
        assert!(!same(&[A], calm()));
        assert!(!same(&[A, "https://app.internal:80"], calm()));
        assert!(!same(&[A, "app.internal:80"], hasty()));
    }

    #[tokio::test]
    async fn a_retired_cluster_does_not_sit_out_its_pauses() {
        let bed = bed(&[A], calm()).await;
        bed.start().await;
        let Bed { cluster, stop, .. } = bed;
        let (retired, request) = (Arc::downgrade(&cluster), cluster.clone());
        drop(cluster);
        assert!(retired.upgrade().is_some(), "a request still has it");
        drop(request);
        timeout(LONG, stop.closed()).await.unwrap(); // the tasks dropped their receivers
        assert!(retired.upgrade().is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn requests_find_a_server_while_the_list_changes() {
        let bed = Arc::new(bed(&[A, B], calm()).await);
        let done = Arc::new(AtomicBool::new(false));
        let crowd: Vec<_> = (0..3)
            .map(|_| {
                let (bed, done) = (bed.clone(), done.clone());
                tokio::task::spawn_blocking(move || {
                    while !done.load(Relaxed) {
                        bed.picks(10);
                    }
                })
            })
            .collect();
        for _ in 0..300 {
            bed.update(&[C]).await;
            bed.update(&[A, B]).await;
        }
        assert!(!bed.picks(10).contains(&C.to_owned()));
        done.store(true, Relaxed);
        for task in crowd {
            task.await.unwrap();
        }
    }
}
