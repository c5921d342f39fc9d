//! Answers with a file of the route's folder: small ones from memory, large ones as they are read.
//!
//! The path below the folder is that of the request after the route's rewrite. `shelf` knows which file it means and
//! keeps small ones in memory; `head` writes their heads; `reading` reads large ones piece by piece; `instead` is
//! what is said where no file answers. What names nothing that is served is not found, like what does not exist: no
//! answer tells the two apart. Nothing here waits for the disk on a thread that serves.

mod head;
mod instead;
mod reading;
mod shelf;

use super::arrival::unix_time;
use super::ctx::Ctx;
use super::offhand;
use super::respond::{self, Source, left};
use super::{Edge, answer, view};
use crate::cache::Cache;
use crate::cache::object::Object;
use crate::files::{Name, Opened, Refused};
use crate::http::request::{Framing, RequestView};
use crate::plan::Plan;
use crate::state::State;
use crate::verdict::{Declined, Kind, Reason};
use instead::Instead;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};
pub use reading::Reading;
use shelf::{Got, Looked, Shelf};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The name that a path means in the folder of a route.
///
/// # Errors
/// [`Refused`]: nothing of that name is ever served.
pub fn name(plan: &Plan, route: usize, path: &str) -> std::result::Result<Name, Refused> {
    let route = plan.routes.get(route).ok_or(Refused)?;
    let folder = route.folder.as_ref().ok_or(Refused)?;
    let Some(rewrite) = &route.setup.rewrite else { return folder.name(path) };
    let name = folder.name(&rewrite.apply(path))?;
    // Links in a page are reckoned from what the client asked for, so there the slash counts.
    Ok(Name { is_folder: path.ends_with('/'), ..name })
}

/// The file in memory that answers a request as it is. Never waits for a disk.
///
/// # Errors
/// Why the front leaves the request to the proxy.
pub fn ready(
    plan: &Plan,
    cache: &Cache,
    route: usize,
    view: &RequestView<'_>,
    now: u64,
) -> std::result::Result<Arc<Object>, Declined> {
    offhand::whole(view.fields)?;
    let shelf = Shelf::of(plan, cache, route).ok_or(Declined::Absent)?;
    let name = name(plan, route, view.path).map_err(|Refused| Declined::Absent)?;
    shelf.find(&name, now).ok_or(Declined::Absent)
}

/// Answers with what the path stands for.
pub async fn serve(edge: &Edge, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
    let s = session.as_downstream_mut();
    let Some((plan, arrival, route)) = ctx.cause().map(|(plan, arrival, at)| (plan.clone(), arrival, at))
    else {
        return Error::e_explain(ErrorType::InternalError, "a file that nobody asked for");
    };
    let Ok(view) = view::of(s.req_header(), arrival.scheme, arrival.client) else {
        return Error::e_explain(ErrorType::InternalError, "a file for what cannot be read");
    };
    let (name, bodied) = (name(&plan, route, view.path), view.framing != Framing::None);
    (ctx.outcome.kind, ctx.outcome.reason) = (Kind::File, Reason::None);
    if bodied {
        // What is not read is in the way: the connection cannot go on behind it.
        s.set_keepalive(None);
    }
    let Ok(name) = name else { return instead(s, ctx, Instead::NotFound).await };
    let now = unix_time().as_secs();
    let kept = Shelf::of(&plan, &edge.state.cache, route).and_then(|shelf| shelf.find(&name, now));
    let looked = match kept {
        Some(object) => Ok(Looked::File(Got::Kept(object))),
        None => look(edge, s, plan, route, name.clone(), now).await?,
    };
    match looked {
        Ok(Looked::File(got)) => send(edge, s, ctx, got, 200, now).await,
        Ok(Looked::Missing(Some(got))) => send(edge, s, ctx, got, 404, now).await,
        Ok(Looked::Missing(None)) => instead(s, ctx, Instead::NotFound).await,
        Ok(Looked::Folder) => instead(s, ctx, Instead::Slash).await,
        Ok(Looked::Forbidden) => instead(s, ctx, Instead::Forbidden).await,
        Ok(Looked::Listing(items)) => instead(s, ctx, Instead::Listing(&items)).await,
        Err(error) => {
            let root = ctx.cause().and_then(|(plan, _, route)| plan.routes.get(route)?.folder.clone());
            let root = root.map(|folder| folder.settings().root.clone()).unwrap_or_default();
            complain(&edge.state, &root.join(&name.text), &error);
            instead(s, ctx, Instead::Unreadable).await
        }
    }
}

/// Looks on the disk, which may take its time; the client may leave meanwhile.
async fn look(
    edge: &Edge,
    s: &mut ServerSession,
    plan: Arc<Plan>,
    route: usize,
    name: Name,
    now: u64,
) -> Result<io::Result<Looked>> {
    let cache = edge.state.cache.clone();
    let look = at_the_disk(&edge.state.disk, move || match Shelf::of(&plan, &cache, route) {
        Some(shelf) => shelf.look(&name, now),
        None => Ok(Looked::Missing(None)),
    });
    let watched = s.is_body_done();
    let looked = tokio::select! {
        biased;
        looked = look => looked,
        idle = s.read_body_or_idle(true), if watched => return Err(left(idle)),
    };
    Ok(looked)
}

/// How long a disk may take: one that hangs (NFS) must not hold its clients for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// Does what may wait for a disk where nobody else waits for it, in one of a bounded number of places: a disk that hangs
/// holds these, and leaves the other threads to look-ups and reloads.
async fn at_the_disk<T: Send + 'static>(
    places: &Arc<Semaphore>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let places = places.clone();
    let done = async move {
        let place = places.acquire_owned().await.map_err(io::Error::other)?;
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        work.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    };
    let late = || io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer");
    tokio::time::timeout(PATIENCE, done).await.unwrap_or_else(|_| Err(late()))
}

/// Sends a file that was found; one that stands in for what is missing comes with 404.
async fn send(
    edge: &Edge,
    s: &mut ServerSession,
    ctx: &mut Ctx,
    got: Got,
    status: u16,
    now: u64,
) -> Result<()> {
    let source = match got {
        Got::Kept(object) if status == 200 => Source::Stored(object),
        Got::Kept(object) => {
            let head = head::instead(status, &object.head, object.body.len());
            Source::Stored(Arc::new(Object::new(object.key.clone(), head, object.body.clone())))
        }
        Got::Open(opened) => Source::File(Box::new(reading(edge, s, ctx, *opened, status, now))),
    };
    respond::send(edge, s, ctx, source, now).await
}

/// A file that is not kept, or one of its compressed siblings, about to be read.
fn reading(edge: &Edge, s: &ServerSession, ctx: &Ctx, opened: Opened, status: u16, now: u64) -> Reading {
    let fields = crate::http::fields::Fields::Map(&s.req_header().headers);
    let compress = ctx.cause().and_then(|(plan, _, route)| plan.compress(route)).map(|settings| &**settings);
    let (file, head) = head::of_open(&opened, compress, fields, now);
    let length = head.length.unwrap_or(opened.length);
    let head = if status == 200 { head } else { head::instead(status, &head, length) };
    let root = ctx.cause().and_then(|(plan, _, route)| plan.routes.get(route)?.folder.clone());
    let path = root.map(|folder| folder.settings().root.join(&opened.name)).unwrap_or_default();
    let file = match file {
        Some(sibling) => opened.siblings.into_iter().nth(sibling).map_or(opened.file, |sibling| sibling.file),
        None => opened.file,
    };
    Reading::new(edge.state.clone(), file, path, head, length)
}

/// Answers where no file does.
async fn instead(s: &mut ServerSession, ctx: &mut Ctx, what: Instead<'_>) -> Result<()> {
    let Some((plan, arrival, route)) = ctx.cause() else {
        return Error::e_explain(ErrorType::InternalError, "an answer to what nobody asked");
    };
    let Ok(view) = view::of(s.req_header(), arrival.scheme, arrival.client) else {
        return Error::e_explain(ErrorType::InternalError, "an answer to what cannot be read");
    };
    let own = what.own(plan, route, &view, arrival);
    ctx.outcome.kind = what.kind();
    answer::put(s, ctx, own).await
}

/// Says what is wrong with a file, once a second at most.
fn complain(state: &State, path: &Path, error: &dyn std::fmt::Display) {
    let Some(held) = state.file_errors.pass(unix_time().as_secs()) else { return };
    let more = if held > 0 {
        format!(" ({held} more complaints about files were held back)")
    } else {
        String::new()
    };
    log::error!("cannot read {}: {error}{more}", path.display());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_given_up_and_keeps_its_places() {
        let places = Arc::new(Semaphore::new(1));
        let (answer, hangs) = mpsc::channel::<()>();
        let first = at_the_disk(&places, move || Ok(hangs.recv().is_ok()));
        let second = at_the_disk(&places, || Ok(true));
        let (first, second, ()) = tokio::join!(first, second, tokio::time::advance(PATIENCE * 2));
        assert_eq!(first.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(places.available_permits(), 0, "the thread still waits");
        answer.send(()).unwrap();
        assert!(at_the_disk(&places, || Ok(true)).await.unwrap(), "it answers again");
    }
}
