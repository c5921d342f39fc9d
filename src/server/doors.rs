//! The listeners that are open: which of them a new setup keeps, opens and closes.

use super::{Desk, Inner, StartError};
use crate::admin;
use crate::listen::{Door, accept};
use crate::net::{self, ListenAddress, Token};
use crate::plan::Listener;
use crate::setup::{self, Setup};
use crate::telemetry::Metrics;
use crate::tls::{Terminator, Tickets};
use parking_lot::RwLock;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Every listener there ever was. One that is closed keeps its place: its connections count by it to their end.
#[derive(Default)]
pub(super) struct Doors {
    places: Vec<Place>,
    admin: Option<Office>,
}

/// A listener's place; its position is what an `Arrival` names.
struct Place {
    setup: setup::Listener,
    name: Arc<str>,
    tls: Option<Arc<Terminator>>,
    stop: Option<watch::Sender<bool>>,
}

/// The operator's listener.
struct Office {
    bind: ListenAddress,
    token: Arc<RwLock<Option<Token>>>,
    stop: watch::Sender<bool>,
}

/// Sockets that a setup needs and that were not there.
pub(super) struct Opened {
    listeners: Vec<OpenedListener>,
    admin: Option<(ListenAddress, TcpListener)>,
}

/// A listener that a setup wants.
struct OpenedListener {
    setup: setup::Listener,
    name: Arc<str>,
    tls: Option<Arc<Terminator>>,
    /// Where it was not open already.
    socket: Option<TcpListener>,
}

impl Opened {
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let sockets = self.listeners.iter().filter_map(|listener| listener.socket.as_ref());
        sockets.filter_map(|socket| socket.local_addr().ok()).collect()
    }

    pub(super) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|(_, socket)| socket.local_addr().ok())
    }
}

impl Doors {
    /// Opens what is not open yet.
    pub(super) fn open(&self, setup: &Setup, tickets: &Tickets) -> Result<Opened, StartError> {
        let mut listeners = Vec::with_capacity(setup.listeners.len());
        for wanted in &setup.listeners {
            let (name, socket) = match self.at(wanted.bind) {
                Some(place) => (place.name.clone(), None),
                None => {
                    let socket = self.bind(wanted.bind)?;
                    let name = socket.local_addr().map(|address| address.to_string()).unwrap_or_default();
                    (name.into(), Some(socket))
                }
            };
            let tls = wanted.tls.as_ref().map(|tls| Terminator::new(tls, tickets).map(Arc::new));
            let tls = tls.transpose().map_err(StartError::Tls)?;
            listeners.push(OpenedListener { setup: wanted.clone(), name, tls, socket });
        }
        let admin = setup.admin.as_ref().map(|admin| admin.bind);
        let admin = admin.filter(|bind| self.admin.as_ref().is_none_or(|office| office.bind != *bind));
        let admin = admin.map(|address| self.bind(address).map(|socket| (address, socket))).transpose()?;
        Ok(Opened { listeners, admin })
    }

    fn bind(&self, wanted: ListenAddress) -> Result<TcpListener, StartError> {
        let own = self.places.iter().filter(|place| place.stop.is_some()).map(|place| place.setup.bind);
        let mut own = own.chain(self.admin.iter().map(|office| office.bind));
        bind(wanted).map_err(|error| match own.find(|own| own.port == wanted.port && wanted.port != 0) {
            Some(own) if error.kind() == io::ErrorKind::AddrInUse => StartError::Respelt(wanted, own),
            _ => StartError::Listen(wanted, error),
        })
    }

    /// Whether the operator's secret is another one.
    pub(super) fn is_other_token(&self, wanted: Option<&setup::Admin>) -> bool {
        let present = self.admin.as_ref().map(|office| office.token.read().clone());
        matches!((present, wanted), (Some(present), Some(wanted)) if present != wanted.token)
    }

    /// The open listener at an address.
    fn at(&self, bind: ListenAddress) -> Option<&Place> {
        self.places.iter().find(|place| place.setup.bind == bind && place.stop.is_some())
    }

    /// Every place as it will be: those there are, and behind them the new ones.
    pub(super) fn listeners(&self, opened: &Opened) -> Vec<Listener> {
        let mut all: Vec<Listener> = self
            .places
            .iter()
            .map(|place| Listener {
                closed: true,
                ..Listener::open(place.name.clone(), &place.setup, place.tls.clone())
            })
            .collect();
        for OpenedListener { setup, name, tls, .. } in &opened.listeners {
            let wanted = Listener::open(name.clone(), setup, tls.clone());
            match all.iter_mut().find(|listener| listener.name == *name) {
                Some(listener) => *listener = wanted,
                None => all.push(wanted),
            }
        }
        all
    }

    /// Lets clients in where they were not, and turns them away where they are no longer wanted.
    pub(super) fn commit(&mut self, inner: &Arc<Inner>, opened: Opened, setup: &Setup) {
        for place in &mut self.places {
            if !setup.listeners.iter().any(|wanted| wanted.bind == place.setup.bind) {
                place.close();
            }
        }
        for OpenedListener { setup: wanted, name, tls, socket } in opened.listeners {
            let index = match self.places.iter().position(|place| place.name == name) {
                Some(index) => index,
                None => {
                    let name = name.clone();
                    self.places.push(Place { setup: wanted.clone(), name, tls: None, stop: None });
                    self.places.len() - 1
                }
            };
            if tls.is_some() {
                inner.edge.state.metrics.listener(&name).show_handshakes();
            }
            let place = &mut self.places[index];
            (place.setup, place.tls) = (wanted, tls);
            if let Some(socket) = socket {
                place.stop = Some(let_in(inner, index, name, socket));
            }
        }
        self.commit_admin(inner, opened.admin, setup.admin.as_ref());
    }

    fn commit_admin(
        &mut self,
        inner: &Arc<Inner>,
        opened: Option<(ListenAddress, TcpListener)>,
        wanted: Option<&setup::Admin>,
    ) {
        let Some(wanted) = wanted else { return self.close_admin() };
        if let Some((bind, socket)) = opened {
            self.close_admin();
            let (stop, until) = watch::channel(false);
            let token = Arc::new(RwLock::new(None));
            let desk = Arc::new(Desk(inner.clone()));
            tokio::spawn(admin::serve(socket, desk, token.clone(), until));
            self.admin = Some(Office { bind, token, stop });
        }
        if let Some(office) = &self.admin {
            *office.token.write() = wanted.token.clone();
        }
    }

    /// Open connections of each listener.
    pub(super) fn connections(&self, metrics: &Metrics) -> Vec<(String, u64)> {
        let open = self.places.iter().filter(|place| place.stop.is_some());
        open.map(|place| (place.setup.bind.to_string(), metrics.listener(&place.name).open())).collect()
    }

    /// Lets nobody in any more.
    pub(super) fn close(&mut self) {
        self.places.iter_mut().for_each(Place::close);
    }

    /// Ends the operator's listener, once it has answered what it was asked.
    pub(super) fn close_admin(&mut self) {
        if let Some(office) = self.admin.take() {
            office.stop.send_replace(true);
        }
    }
}

impl Place {
    /// Accepts no more, ends idle connections, lets busy ones finish.
    fn close(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send_replace(true);
        }
    }
}

fn let_in(inner: &Arc<Inner>, listener: usize, name: Arc<str>, socket: TcpListener) -> watch::Sender<bool> {
    let (stop, shutdown) = watch::channel(false);
    let metrics = inner.edge.state.metrics.listener(&name);
    let (edge, proxy) = (inner.edge.clone(), inner.proxy.clone());
    let door = Arc::new(Door { edge, proxy, listener, name, metrics, shutdown });
    tokio::spawn(accept(socket, door, inner.connections.clone()));
    stop
}

fn bind(address: ListenAddress) -> io::Result<TcpListener> {
    net::bind(address).and_then(TcpListener::from_std)
}
