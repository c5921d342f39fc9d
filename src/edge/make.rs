//! Makes other forms of stored bodies: along with the clients that read them, and in the background for those to come.
//!
//! The first client that wants a form gets it while it is made, and whoever comes meanwhile reads along: one body is
//! never compressed twice at the same time. What several have read is kept. Otherwise the second one who asks has it made
//! once more for the store, harder, behind everything else.

use super::respond::Source;
use crate::cache::forms::{self, Added, Building, Form, Streamed};
use crate::cache::object::{Body, Object, StoredHead};
use crate::cache::store::fill::{Failure, Fill, FillReader, FillWriter, Piece};
use crate::compress::{Decoder, Effort, Encoder, Place, Settings, Shed, Stopwatch};
use crate::http::accept_encoding::Coding;
use crate::state::State;
use crate::telemetry::{Run, Why};
use crate::verdict::StaleWhy;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Makes a form of one body, and keeps the account of what that costs.
struct Work {
    tool: Tool,
    /// Whether anything was put in.
    begun: bool,
    state: Arc<State>,
    /// The compression that is made or undone, and what for.
    account: (Coding, Run),
}

enum Tool {
    Encode(Box<Encoder>),
    Decode(Box<Decoder>),
}

/// The library gave up, or what was to be undone is not what it says.
struct Broken;

impl Work {
    /// Begins; `None` where there is nothing to be done.
    fn begin(order: &Order, effort: Effort) -> Option<Self> {
        let Order { state, settings, head, form } = order;
        let (tool, coding, run) = match (head.coding, *form) {
            (None, Some(coding)) => {
                let run = if effort == Effort::Now { Run::Stream } else { Run::Build };
                let encoder = Encoder::new(coding, effort, &settings.levels, head.length);
                (Tool::Encode(Box::new(encoder)), coding, run)
            }
            (Some(coding), None) => (Tool::Decode(Box::new(Decoder::new(coding))), coding, Run::Decode),
            (None, None) | (Some(_), Some(_)) => return None,
        };
        state.metrics.compress(coding, run).began();
        Some(Self { tool, begun: false, state: state.clone(), account: (coding, run) })
    }

    /// Takes in no more than a slice; gives what came of it. [`Work::next`] gives the rest.
    fn put(&mut self, slice: Bytes) -> Result<Bytes, Broken> {
        let began = Stopwatch::start();
        let taken = slice.len();
        self.begun |= taken > 0;
        let out = match &mut self.tool {
            Tool::Encode(encoder) => encoder.push(&slice).map_err(|_| Broken),
            Tool::Decode(decoder) => {
                decoder.push(slice);
                Ok(Bytes::new())
            }
        };
        self.pay(&began, taken, out)
    }

    /// More that came of what was put in.
    fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        let Tool::Decode(decoder) = &mut self.tool else { return Ok(None) };
        let began = Stopwatch::start();
        match decoder.pull() {
            Ok(None) => Ok(None),
            Ok(Some(out)) => self.pay(&began, 0, Ok(out)).map(Some),
            Err(_) => Err(Broken),
        }
    }

    /// All that was put in, as far as it can be told.
    fn flush(&mut self) -> Result<Bytes, Broken> {
        let Tool::Encode(encoder) = &mut self.tool else { return Ok(Bytes::new()) };
        let began = Stopwatch::start();
        let out = encoder.flush().map_err(|_| Broken);
        self.pay(&began, 0, out)
    }

    /// The end.
    fn finish(self) -> Result<Bytes, Broken> {
        let began = Stopwatch::start();
        let Self { tool, begun, state, account } = self;
        let out = match tool {
            Tool::Encode(encoder) => encoder.finish().map_err(|_| Broken),
            // An origin may say that nothing is compressed.
            Tool::Decode(_) if !begun => Ok(Bytes::new()),
            Tool::Decode(decoder) => decoder.finish().map(|()| Bytes::new()).map_err(|_| Broken),
        };
        pay(&state, account, &began, 0, out)
    }

    fn pay(&self, began: &Stopwatch, taken: usize, out: Result<Bytes, Broken>) -> Result<Bytes, Broken> {
        pay(&self.state, self.account, began, taken, out)
    }
}

/// What was done is paid for, and counted.
fn pay(
    state: &State,
    (coding, run): (Coding, Run),
    began: &Stopwatch,
    taken: usize,
    out: Result<Bytes, Broken>,
) -> Result<Bytes, Broken> {
    let (time, given) = (began.elapsed(), out.as_ref().map_or(0, Bytes::len));
    state.load.spend(time);
    state.metrics.compress(coding, run).worked(time, taken as u64, given as u64);
    out
}

/// What is to be made.
#[derive(Clone)]
pub struct Order {
    /// What outlives a plan.
    pub state: Arc<State>,
    /// How the route compresses.
    pub settings: Arc<Settings>,
    /// The head of the body as it came.
    pub head: StoredHead,
    /// The form that is wanted.
    pub form: Form,
}

impl Order {
    /// The form of a body, as it is made. Gives the body back where there is no time or place for that.
    ///
    /// # Errors
    /// The source, unread.
    pub fn stream(self, source: Source) -> Result<FillReader, Source> {
        let Some(desk) = self.head.desk.clone() else { return Err(source) };
        if let Some(reader) = desk.follow(self.form) {
            return Ok(reader);
        }
        let place = match self.form {
            // Whoever cannot read what is stored has no other way to it.
            None => None,
            Some(_) => match self.enter(&source) {
                Some(place) => Some(place),
                None => return Err(source),
            },
        };
        let made = match desk.stream(self.form, || Fill::new(source.key(), false, None, None)) {
            Streamed::Follow(reader) => return Ok(reader),
            Streamed::Lead(fill) => fill,
        };
        made.start(forms::head_of(&self.head, self.form, None));
        let Some(reader) = made.read() else { return Err(source) };
        if let Source::Stored(object) = &source
            && let Some(building) = desk.ask(self.form)
        {
            self.clone().build(object, building);
        }
        // What nobody else can read along is not gathered.
        let most = if matches!(source, Source::File(_)) { 0 } else { u64::MAX };
        let writer = self.state.cache.form_writer(&made, most);
        tokio::spawn(async move {
            let _place = place;
            if self.run(source, &made, writer).await.is_err() {
                made.abandon(Failure { status: 502, why: StaleWhy::OriginUnreachable, shared: false });
            }
        });
        Ok(reader)
    }

    fn enter(&self, source: &Source) -> Option<Place> {
        // What is not in memory lasts as long as its client or its origin likes.
        let lasts = !matches!(source, Source::Stored(_));
        let load = &self.state.load;
        let entered = if lasts { load.enter_endless() } else { load.enter() };
        let shed = |why| self.state.metrics.compress_shed(why);
        entered.inspect_err(|why| shed(why_of(*why))).ok()
    }

    /// Makes the form as fast as the body comes and somebody reads it.
    async fn run(&self, mut source: Source, made: &Arc<Fill>, mut writer: FillWriter) -> Result<(), Broken> {
        let mut work = Work::begin(self, Effort::Now).ok_or(Broken)?;
        let (mut at, mut held) = (0, false);
        loop {
            let piece = tokio::select! {
                biased;
                piece = source.next(&mut at, u64::MAX) => piece,
                // Nothing is there: what there was shall not wait in the encoder.
                () = std::future::ready(()), if held => {
                    held = false;
                    self.give(&mut writer, made, work.flush()?).await?;
                    continue;
                }
                () = made.orphaned() => match self.is_withdrawn(made) {
                    true => return Err(Broken),
                    false => continue,
                },
            };
            match piece {
                Piece::Data(data) => {
                    self.take(&mut work, &mut writer, made, data).await?;
                    held = true;
                }
                Piece::End => break,
                Piece::Aborted => return Err(Broken),
            }
        }
        self.give(&mut writer, made, work.finish()?).await?;
        self.keep(&source, made, &mut writer);
        writer.complete();
        Ok(())
    }

    /// Works through what came, slice by slice: others want the thread too.
    async fn take(
        &self,
        work: &mut Work,
        writer: &mut FillWriter,
        made: &Arc<Fill>,
        mut data: Bytes,
    ) -> Result<(), Broken> {
        while !data.is_empty() {
            let slice = data.split_to(data.len().min(Encoder::SLICE));
            let out = work.put(slice)?;
            self.give(writer, made, out).await?;
            while let Some(out) = work.next()? {
                self.give(writer, made, out).await?;
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn give(&self, writer: &mut FillWriter, made: &Arc<Fill>, out: Bytes) -> Result<(), Broken> {
        if !made.is_read() && self.is_withdrawn(made) {
            return Err(Broken);
        }
        writer.write(out).await.map_err(|_| Broken)
    }

    /// Whether nobody reads it, and nobody will.
    fn is_withdrawn(&self, made: &Arc<Fill>) -> bool {
        self.head.desk.as_ref().is_none_or(|desk| desk.withdraw(self.form, made))
    }

    /// What several clients have read is good enough to stay.
    fn keep(&self, source: &Source, made: &Fill, writer: &mut FillWriter) {
        let (Some(desk), Some(parent)) = (&self.head.desk, source.object()) else { return };
        if self.form.is_some() && made.progress().len >= parent.body.len() {
            return desk.give_up(self.form);
        }
        if !desk.was_followed(self.form) || !self.state.cache.is_there(&parent) {
            return;
        }
        if let Ok((object, reserved)) = writer.seal() {
            drop(reserved);
            self.add(&parent, &object.body);
        }
    }

    /// Puts the form beside the body it was made from.
    fn add(&self, parent: &Object, body: &Body) {
        if self.state.cache.add_form(parent, self.form, body) == Added::TooLarge
            && let Some(desk) = &parent.head.desk
        {
            desk.no_room(self.form);
        }
    }

    /// Has the form made for the store. Until its turn comes, nothing is kept for it.
    fn build(self, object: &Arc<Object>, building: Building) {
        let (state, object) = (self.state.clone(), Arc::downgrade(object));
        let job = move || {
            let _building = building;
            let present = object.upgrade().filter(|object| self.state.cache.is_there(object));
            let (Some(object), Some(desk)) = (present, self.head.desk.clone()) else { return };
            match self.whole(&object) {
                Ok(Whole::Is(body)) => self.add(&object, &body),
                Ok(Whole::NoBetter) => desk.give_up(self.form),
                Ok(Whole::TooLarge) | Err(Broken) => desk.no_room(self.form),
                Ok(Whole::NoTime) => self.state.metrics.compress_shed(Why::Cpu),
            }
        };
        let refused = match state.load.has_spare() {
            false => Some(Why::Cpu),
            true => state.builders.submit(Box::new(job)).err().map(|_| Why::Queue),
        };
        if let Some(why) = refused {
            state.metrics.compress_shed(why);
        }
    }

    /// Makes the whole form, slice by slice, while there is time to spare.
    fn whole(&self, object: &Object) -> Result<Whole, Broken> {
        let mut work = Work::begin(self, Effort::Stored).ok_or(Broken)?;
        let mut out = Gathered { most: self.state.cache.max_object(), ..Gathered::default() };
        let mut at = 0;
        while let Some(slice) = object.body.slice(at, at + Encoder::SLICE as u64) {
            if !self.has_time() {
                return Ok(Whole::NoTime);
            }
            at += slice.len() as u64;
            out.add(work.put(slice)?);
            while !out.is_full()
                && let Some(more) = work.next()?
            {
                out.add(more);
            }
            if out.is_full() {
                return Ok(Whole::TooLarge);
            }
        }
        out.add(work.finish()?);
        Ok(match out {
            out if out.is_full() => Whole::TooLarge,
            out if self.form.is_some() && out.length >= object.body.len() => Whole::NoBetter,
            out => Whole::Is(Body::pack(&out.pieces)),
        })
    }

    /// Waits for time to spare, but not for ever.
    fn has_time(&self) -> bool {
        (0..PATIENCE).any(|_| {
            let spare = self.state.load.has_spare();
            if !spare {
                std::thread::sleep(PAUSE);
            }
            spare
        })
    }
}

/// How long the pool waits for time to spare before it tries again, and how often: five seconds in all, then the form is
/// left to whoever asks for it next.
const PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: usize = 100;

/// What came of making a whole form.
enum Whole {
    /// This is it.
    Is(Body),
    /// It is no shorter than the body itself.
    NoBetter,
    /// There was no time to spare.
    NoTime,
    /// It is larger than an object may be.
    TooLarge,
}

/// What has been made so far.
#[derive(Default)]
struct Gathered {
    pieces: Vec<Bytes>,
    length: u64,
    most: u64,
}

impl Gathered {
    fn add(&mut self, piece: Bytes) {
        self.length += piece.len() as u64;
        self.pieces.push(piece);
    }

    fn is_full(&self) -> bool {
        self.length > self.most
    }
}

/// The same reason in the words of the counters.
pub fn why_of(shed: Shed) -> Why {
    match shed {
        Shed::Cpu => Why::Cpu,
        Shed::Places => Why::Places,
    }
}
