//! What a connection is doing, how long it may, and when it ends.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Context,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Sleep, sleep},
};

use super::Shared;

/// What a connection is doing, for the limits on time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connected, nothing read.
    Fresh = 0,
    /// Some of a request head was read.
    Head = 1,
    /// Requests are being answered.
    Busy = 2,
    /// Answered, waiting for the next request.
    Idle = 3,
}

/// How far a connection is on the way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is not ending.
    Open,
    /// The server stops; a request that is on its way still has a moment to arrive.
    LastChance,
    /// It ends after the requests that are under way.
    Closing,
}

/// The state of one connection, shared by its socket, its requests and its driver.
pub(super) struct Flight {
    requests: AtomicUsize,
    /// The phase in the lowest two bits; above them, how often it has changed.
    state: AtomicU64,
}

/// A phase, and which of all its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

impl Moment {
    pub(super) fn phase(self) -> Phase {
        match self.0 & 3 {
            0 => Phase::Fresh,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Idle,
        }
    }
}

impl Flight {
    /// A connection that was just accepted.
    pub(super) fn new() -> Self {
        Self { requests: AtomicUsize::new(0), state: AtomicU64::new(0) }
    }

    pub(super) fn now(&self) -> Moment {
        Moment(self.state.load(Ordering::Acquire))
    }

    fn enter(&self, phase: Phase) {
        // The closure always gives a value.
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            Some(((state & !3).wrapping_add(4)) | phase as u64)
        });
    }

    pub(super) fn read(&self) {
        if matches!(self.now().phase(), Phase::Fresh | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.enter(Phase::Busy);
        UnderWay(Arc::clone(self))
    }
}

/// One request under way, from its head to the end of its answer.
pub(super) struct UnderWay(Arc<Flight>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.enter(Phase::Idle);
        }
    }
}

/// What is to become of a connection that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    /// It ends after the requests that are under way.
    Finish,
    /// It ends now.
    Close,
}

/// Watches over the time of one connection, and for the stop.
///
/// It is asked whenever the connection waits, which is after every request. So a request costs it
/// a look at a number: only the head of a request that has not arrived whole sets a timer. How long
/// a connection has been idle is found out by a timer that goes off four times in the time that it
/// may be, and sees whether anything has happened since.
pub(super) struct Lookout<'a> {
    flight: &'a Flight,
    shared: &'a Shared,
    /// Ends when the connections are to finish; asked at first, and again once the server drains.
    finishing: Pin<Box<dyn Future<Output = ()> + Send>>,
    has_asked: bool,
    deadline: Pin<Box<Sleep>>,
    /// Whether the deadline was moved and nobody waits for it yet.
    is_moved: bool,
    /// What the connection was doing when the deadline was set.
    seen: Moment,
    quarters: u32,
    /// Whether the deadline is one of those that measure idle time.
    is_quarter: bool,
    end: End,
}

/// In how many steps idle time is measured.
const QUARTERS: u32 = 4;

impl<'a> Lookout<'a> {
    pub(super) fn new(flight: &'a Flight, shared: &'a Shared, mut finishing: watch::Receiver<()>) -> Self {
        let finishing = Box::pin(async move {
            // Only the sender's end is ever seen: nothing is sent.
            while finishing.changed().await.is_ok() {}
        });
        Self {
            flight,
            shared,
            finishing,
            has_asked: false,
            deadline: Box::pin(sleep(shared.limits.header_timeout)),
            is_moved: true,
            seen: flight.now(),
            quarters: 0,
            is_quarter: false,
            end: End::Open,
        }
    }

    pub(super) fn look(&mut self, cx: &mut Context<'_>) -> Verdict {
        let limits = &self.shared.limits;
        let now = self.flight.now();
        let asks = !self.has_asked || self.shared.draining.load(Ordering::Acquire);
        if self.end == End::Open && asks {
            self.has_asked = true;
            if self.finishing.as_mut().poll(cx).is_ready() {
                if now.phase() == Phase::Busy {
                    self.end = End::Closing;
                    return Verdict::Finish;
                }
                self.end = End::LastChance;
                self.set(limits.linger, now);
            }
        }
        match (self.end, now.phase()) {
            (End::LastChance, Phase::Busy) => {
                self.end = End::Closing;
                return Verdict::Finish;
            }
            (End::Open | End::Closing, Phase::Fresh | Phase::Head) if now != self.seen => {
                self.set(limits.header_timeout, now);
            }
            // Once, after the first request and after a head that took its time.
            (End::Open | End::Closing, Phase::Idle) if !self.is_quarter => self.set_quarter(now),
            (End::Open | End::Closing, _) | (End::LastChance, Phase::Fresh | Phase::Head | Phase::Idle) => {}
        }
        while self.is_moved || self.deadline.is_elapsed() {
            self.is_moved = false;
            if self.deadline.as_mut().poll(cx).is_pending() {
                break;
            }
            if let Some(verdict) = self.at_deadline(now) {
                return verdict;
            }
        }
        Verdict::GoOn
    }

    /// Decides at the deadline; `None` when there is a new one.
    fn at_deadline(&mut self, now: Moment) -> Option<Verdict> {
        let limits = &self.shared.limits;
        if self.end == End::LastChance {
            self.end = End::Closing;
            self.set(limits.header_timeout, now);
            return Some(Verdict::Finish);
        }
        let is_as_seen = now == self.seen;
        match now.phase() {
            Phase::Fresh | Phase::Head if is_as_seen => return Some(Verdict::Close),
            Phase::Fresh | Phase::Head => self.set(limits.header_timeout, now),
            Phase::Busy => self.set_quarter(now),
            Phase::Idle => {
                let quarters = if is_as_seen { self.quarters + 1 } else { 0 };
                if quarters >= QUARTERS {
                    return Some(Verdict::Close);
                }
                self.set_quarter(now);
                self.quarters = quarters;
            }
        }
        None
    }

    fn set(&mut self, time: Duration, seen: Moment) {
        self.deadline.set(sleep(time));
        self.is_moved = true;
        self.seen = seen;
        self.quarters = 0;
        self.is_quarter = false;
    }

    fn set_quarter(&mut self, seen: Moment) {
        self.set(self.shared.limits.keep_alive / QUARTERS, seen);
        self.is_quarter = true;
    }
}
