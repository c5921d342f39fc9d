//! The load: connections that each ask, wait for the answer, and ask again.

use crate::client::{Client, Failure, Method};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::time::{Instant as Tick, sleep_until};

#[derive(Clone, Copy)]
pub struct Load {
    pub address: SocketAddr,
    pub connections: usize,
    /// Requests a second, of all connections together, if they are answered fast enough.
    pub rate: u32,
    pub seconds: f64,
    pub seed: u64,
}

/// One request and what came of it.
pub struct Sample {
    /// Since the start of the load.
    pub at: Duration,
    pub took: Duration,
    pub method: Method,
    pub path: String,
    pub failure: Option<Failure>,
}

impl Load {
    pub async fn run(self) -> Vec<Sample> {
        let samples = Rc::new(RefCell::new(Vec::with_capacity(200_000)));
        let start = Instant::now();
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..self.connections {
            clients.spawn_local(self.one(number, start, samples.clone()));
        }
        while clients.join_next().await.is_some() {}
        samples.take()
    }

    /// One connection.
    async fn one(self, number: usize, start: Instant, samples: Rc<RefCell<Vec<Sample>>>) {
        let mut random = fastrand::Rng::with_seed(self.seed ^ (number as u64 + 1));
        let mut client = Client::new(self.address);
        let pause = Duration::from_secs_f64(self.connections as f64 / f64::from(self.rate.max(1)));
        let length = Duration::from_secs_f64(self.seconds);
        // They do not all ask in the same moment.
        let mut due = pause.mul_f64(random.f64());
        for count in 0u64.. {
            sleep_until(Tick::from_std(start + due)).await;
            let at = start.elapsed();
            if at >= length {
                return;
            }
            let method = match random.u8(..10) {
                0..=6 => Method::Get,
                7 => Method::Head,
                8 => Method::Put,
                _ => Method::Post,
            };
            let path = format!("/u/{number}/{count}");
            let body: Vec<u8> = (0..1024).map(|_| random.alphanumeric() as u8).collect();
            let failure = client.ask(method, &path, &body).await.err();
            let took = start.elapsed() - at;
            let failed = failure.is_some();
            samples.borrow_mut().push(Sample { at, took, method, path, failure });
            // What was missed while an answer was late is not made up for; whoever failed does not hammer.
            due = (due + pause).max(start.elapsed() + if failed { pause } else { Duration::ZERO });
        }
    }
}
