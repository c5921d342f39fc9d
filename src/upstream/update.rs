//! A cluster that stays through a reload: what of it changes, and what its servers keep.

use std::sync::Arc;

use super::discovery::Answers;
use super::{Cluster, ServerAddress, Settings, UpstreamError, refuse_bad_list};

/// A change to a cluster that cannot fail any more. Dropped, it changes nothing.
#[must_use]
pub struct Update {
    cluster: Arc<Cluster>,
    servers: Vec<ServerAddress>,
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
    pub fn is_same(&self, servers: &[ServerAddress], settings: &Settings) -> bool {
        self.names.configured() == servers && **self.settings.load() == *settings
    }

    /// Gets an update ready without changing anything. Looks new names up now, waiting `lookup.timeout` at most,
    /// so that a cluster given new names has servers at every moment.
    ///
    /// # Errors
    /// [`UpstreamError`], as [`open`](Self::open).
    pub async fn prepare(
        self: &Arc<Self>,
        servers: &[ServerAddress],
        settings: Settings,
    ) -> Result<Update, UpstreamError> {
        refuse_bad_list(&self.name, servers)?;
        let mut new = servers.to_vec();
        let known = self.names.configured();
        new.retain(|server| !known.iter().any(|k| k.host() == server.host() && k.port() == server.port()));
        let answers = self.names.look_up(&new, settings.lookup.timeout).await;
        Ok(Update { cluster: self.clone(), servers: servers.to_vec(), settings, answers })
    }

    /// Changes the cluster in place, while requests run: [`prepare`](Self::prepare) and [`Update::apply`].
    ///
    /// # Errors
    /// [`UpstreamError`], as [`open`](Self::open); nothing has changed then.
    pub async fn update(
        self: &Arc<Self>,
        servers: &[ServerAddress],
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
        cluster.settings.store(Arc::new(settings));
        let change = cluster.change(|names| names.replace(&servers, answers));
        cluster.changed.send_replace(());
        change
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::Duration;

    use pingora::upstreams::peer::Peer;
    use tokio::sync::watch;
    use tokio::time::timeout;

    use super::*;
    use crate::upstream::tests::{Bed, LONG, SOON, addresses, bed, deaf, hasty, listener, quiet};

    const A: &str = "192.0.2.1:80";
    const B: &str = "192.0.2.2:80";
    const C: &str = "192.0.2.3:80";

    impl Bed {
        async fn update(&self, servers: &[impl AsRef<str>]) -> Change {
            let settings = self.cluster.settings();
            self.cluster.update(&addresses(servers), (*settings).clone()).await.unwrap()
        }

        fn drain_told(&mut self) -> Vec<(String, bool)> {
            std::iter::from_fn(|| self.told.try_recv().ok()).collect()
        }
    }

    fn change(joined: &[&str], left: &[&str]) -> Change {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        Change { joined: names(joined), left: names(left) }
    }

    /// Pauses that no test lives to see the end of.
    fn patient() -> Settings {
        let mut settings = Settings::default();
        let hour = Duration::from_secs(3600);
        (settings.health.every, settings.lookup.every, settings.lookup.retry) = (hour, hour, hour);
        settings
    }

    #[tokio::test]
    async fn who_was_down_stays_down_and_who_was_up_stays_up() {
        let (_listener, good) = listener().await;
        let (_socket, bad) = deaf();
        let mut bed = quiet(&[good.to_string(), bad.to_string()]).await;
        bed.check(3).await;
        bed.drain_told();
        bed.update(&[C, &bad.to_string(), &good.to_string()]).await;
        assert_eq!(bed.ups(), [true, false, true]);
        assert_eq!(bed.drain_told(), [(C.to_owned(), true)]);
        assert!(!bed.picks(9).contains(&bad));
    }

    #[tokio::test]
    async fn who_joined_gets_requests_and_who_left_gets_none() {
        let mut bed = quiet(&[A.into(), B.into()]).await;
        bed.drain_told();
        assert_eq!(bed.update(&[C, A]).await, change(&[C], &[B]));
        let picks = bed.picks(10);
        assert_eq!(picks.iter().filter(|pick| pick.to_string() == A).count(), 5);
        assert_eq!(picks.iter().filter(|pick| pick.to_string() == C).count(), 5);
        assert_eq!(bed.update(&[A, B]).await, change(&[B], &[C]));
        assert_eq!(bed.drain_told(), [(C.to_owned(), true), (B.to_owned(), true)], "told of B again");
    }

    #[tokio::test]
    async fn a_bad_list_changes_nothing() {
        let mut bed = quiet(&[A.into()]).await;
        bed.drain_told();
        let before = bed.cluster.state();
        let seen = bed.cluster.changed.subscribe();
        for (servers, error) in [
            (&[] as &[&str], UpstreamError::Empty("app".into())),
            (&[B, B], UpstreamError::Twice("app".into(), B.into())),
        ] {
            let refused = bed.cluster.update(&addresses(servers), patient()).await;
            assert_eq!(refused, Err(error));
        }
        assert_eq!(bed.cluster.state(), before);
        assert!(!seen.has_changed().unwrap());
        assert!(bed.drain_told().is_empty());
    }

    #[tokio::test]
    async fn an_update_that_is_dropped_changes_nothing() {
        let bed = quiet(&[A.into()]).await;
        let before = bed.cluster.state();
        drop(bed.cluster.prepare(&addresses(&[B]), patient()).await);
        assert_eq!(bed.cluster.state(), before);
    }

    #[tokio::test]
    async fn tries_under_way_stay_counted_even_under_another_name() {
        let bed = quiet(&[A.into()]).await;
        *bed.book.0.lock() = vec![A.parse().unwrap()];
        let active = || bed.cluster.servers().iter().map(|s| s.active).collect::<Vec<_>>();
        let under_way = bed.cluster.pick(&[]).unwrap().enter();
        bed.update(&[A, B]).await;
        assert_eq!(active(), [1, 0]);
        bed.update(&["app.internal:80", B]).await;
        assert_eq!(active(), [1, 0]);
        drop(under_way);
        assert_eq!(active(), [0, 0]);
    }

    #[tokio::test]
    async fn a_server_that_moves_to_tls_keeps_its_health_and_its_count() {
        let (_listener, good) = listener().await;
        let (_socket, bad) = deaf();
        let bed = quiet(&[good.to_string(), bad.to_string()]).await;
        bed.check(3).await;
        let _under_way = bed.cluster.pick(&[]).unwrap().enter();
        let moved = bed.update(&[format!("https://{good}"), format!("https://{bad}")]).await;
        assert_eq!(moved, Change::default());
        let server = bed.cluster.pick(&[]).unwrap();
        assert_eq!((server.address, server.tls, server.active()), (good, true, 1));
        assert_eq!(bed.ups(), [true, false]);
    }

    #[tokio::test]
    async fn a_server_with_a_new_name_is_called_by_it() {
        let (socket, address) = deaf();
        let bed = quiet(&[address.to_string()]).await;
        *bed.book.0.lock() = vec![address];
        let renamed = bed.update(&["app.internal:80"]).await;
        assert_eq!(renamed, change(&["app.internal:80"], &[&address.to_string()]));
        assert_eq!(&*bed.cluster.pick(&[]).unwrap().name, "app.internal:80");
        drop(socket);
    }

    #[tokio::test]
    async fn pooled_connections_are_found_again() {
        let bed = quiet(&[A.into()]).await;
        let hash = || bed.cluster.peer(&bed.cluster.pick(&[A.parse().unwrap()]).unwrap()).reuse_hash();
        bed.update(&[A, B]).await;
        let before = hash();
        bed.cluster.update(&addresses(&[B, A]), patient()).await.unwrap();
        assert_eq!(hash(), before);
    }

    #[tokio::test]
    async fn a_new_name_has_its_addresses_from_the_first_moment() {
        let bed = bed(&[A.into()], patient());
        let (_stop, shutdown) = watch::channel(false);
        bed.cluster.start(shutdown).await;
        *bed.book.0.lock() = vec![B.parse().unwrap()];
        bed.update(&["app.internal:80"]).await;
        assert_eq!(bed.picks(1), [B.parse().unwrap()]);
    }

    #[tokio::test]
    async fn names_are_looked_up_in_a_cluster_that_had_none() {
        let (_listener, good) = listener().await;
        let mut bed = bed(&[good.to_string()], hasty());
        let (_stop, shutdown) = watch::channel(false);
        bed.cluster.start(shutdown).await;
        assert_eq!(bed.next_told().await, (good.to_string(), true));
        bed.update(&["app.internal:80"]).await;
        assert_eq!(bed.next_told().await, ("app.internal:80".into(), false));
        *bed.book.0.lock() = vec![good];
        assert_eq!(bed.next_told().await, ("app.internal:80".into(), true));
    }

    #[tokio::test]
    async fn an_answer_that_comes_late_changes_only_who_is_still_listed() {
        let bed = quiet(&["old.internal:80".into(), "app.internal:80".into()]).await;
        *bed.book.0.lock() = vec![B.parse().unwrap()];
        let asked = bed.cluster.names.configured();
        let answers = bed.cluster.names.look_up(&asked, LONG).await;
        bed.update(&["app.internal:80", A]).await;
        bed.cluster.change(|names| names.learn(answers));
        let servers = bed.cluster.servers();
        let at: Vec<_> = servers.iter().map(|s| (&*s.name, s.address.unwrap().to_string())).collect();
        assert_eq!(at, [("app.internal:80", B.to_owned()), (A, A.to_owned())]);
    }

    #[tokio::test]
    async fn new_settings_do_not_wait_for_the_old_pause() {
        let (socket, address) = deaf();
        let (mut settings, servers) = (patient(), addresses(&[address.to_string()]));
        settings.health.fall = 1;
        let mut bed = bed(&[address.to_string()], settings.clone());
        let (_stop, shutdown) = watch::channel(false);
        bed.cluster.start(shutdown).await;
        assert_eq!(bed.next_told().await, (address.to_string(), true));
        assert_eq!(bed.next_told().await, (address.to_string(), false));

        let _listener = socket.listen(16).unwrap();
        (settings.health.every, settings.connect) = (SOON, SOON);
        assert_eq!(bed.cluster.update(&servers, settings).await, Ok(Change::default()));
        let peer = bed.cluster.peer(&bed.cluster.pick(&[]).unwrap());
        assert_eq!(peer.connection_timeout(), Some(SOON));
        assert_eq!(bed.next_told().await, (address.to_string(), true), "two checks passed");
    }

    #[tokio::test]
    async fn who_joined_is_checked_at_once() {
        let (_one, bad) = deaf();
        let (_two, worse) = deaf();
        let mut settings = patient();
        settings.health.fall = 1;
        let mut bed = bed(&[bad.to_string()], settings);
        let (_stop, shutdown) = watch::channel(false);
        bed.cluster.start(shutdown).await;
        assert_eq!(bed.next_told().await, (bad.to_string(), true));
        assert_eq!(bed.next_told().await, (bad.to_string(), false), "the check at start is over");
        bed.update(&[bad.to_string(), worse.to_string()]).await;
        assert_eq!(bed.next_told().await, (worse.to_string(), true));
        assert_eq!(bed.next_told().await, (worse.to_string(), false));
    }

    #[tokio::test]
    async fn only_a_difference_is_a_change() {
        let bed = bed(&[A.into(), "app.internal:80".into()], Settings::default());
        let same = |servers: &[&str], settings| bed.cluster.is_same(&addresses(servers), &settings);
        assert!(same(&[A, "http://App.Internal"], Settings::default()));
        assert!(!same(&[A], Settings::default()));
        assert!(!same(&[A, "https://app.internal:80"], Settings::default()));
        assert!(!same(&[A, "app.internal:80"], patient()));
    }

    #[tokio::test]
    async fn a_retired_cluster_does_not_sit_out_its_pauses() {
        let bed = bed(&[A.into()], patient());
        let (stop, shutdown) = watch::channel(false);
        bed.cluster.start(shutdown).await;
        let (cluster, request) = (Arc::downgrade(&bed.cluster), bed.cluster.clone());
        drop(bed);
        assert!(cluster.upgrade().is_some(), "a request still has it");
        drop(request);
        timeout(LONG, stop.closed()).await.unwrap(); // the tasks dropped their receivers
        assert!(cluster.upgrade().is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn requests_find_a_server_while_the_list_changes() {
        let bed = Arc::new(quiet(&[A.into(), B.into()]).await);
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
        let left: SocketAddr = C.parse().unwrap();
        assert!(!bed.picks(10).contains(&left));
        done.store(true, Relaxed);
        for task in crowd {
            task.await.unwrap();
        }
    }
}
