//! Five identity providers and their thirty days: who speaks when, from where, and what about.

use domain::{DAY_MS, HOUR_MS, Millis};
use ops::testing::START_MS;
use serde_json::json;

use super::{
    chance::Chance,
    dialects::Kind,
    people::{CANARY, Event, People, SETTLED},
    traffic::{Deed, Holder, Item, Request, Sender, Step, USER},
};

const MINUTE_MS: Millis = 60_000;

/// The calendar, in days from the beginning, which is a Thursday.
pub const DAYS: i64 = 30;
/// The key is rotated by hand.
const ROTATION: Millis = 12 * DAY_MS + 10 * HOUR_MS;
/// Four days on which nobody works.
const HOLIDAYS: std::ops::RangeInclusive<i64> = 15..=18;
/// The provider speaks from other addresses from here on.
const MOVE: Millis = 19 * DAY_MS + 11 * HOUR_MS;
/// Everything is synced anew.
const RESYNCS: [Millis; 2] = [8 * DAY_MS + 13 * HOUR_MS, 21 * DAY_MS + 13 * HOUR_MS];
/// Many new people on one morning.
const ONBOARDING: Millis = 25 * DAY_MS + 9 * HOUR_MS;
/// A planned lay-off, inside a window that was approved for it.
const LAY_OFF: Millis = 26 * DAY_MS + 15 * HOUR_MS;
/// How long the window lasts after its beginning: the nightly script is inside as well.
const WINDOW: Millis = 14 * HOUR_MS;
/// The provider is down for a day.
pub const OUTAGE: std::ops::Range<Millis> = 28 * DAY_MS..29 * DAY_MS;

/// Whether a moment is inside the window of the lay-off.
pub fn is_lay_off(at_ms: Millis) -> bool {
    (LAY_OFF - HOUR_MS..LAY_OFF + WINDOW).contains(&(at_ms - START_MS))
}

/// Why a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// For the first time: everybody, then the groups.
    First,
    /// It is its time.
    Beat,
    /// Something happened.
    Told,
    /// Somebody pressed the button.
    Resync,
    /// It was given a key, and tries it.
    Test,
}

/// A provider, what it knows, and what it has yet to say.
#[derive(Debug, Clone)]
pub struct Idp {
    pub kind: Kind,
    pub people: People,
    pub chance: Chance,
    /// What happened to people and is not told yet.
    queue: Vec<(Millis, Event)>,
    agenda: Vec<(Millis, Turn)>,
    /// What is on its way.
    items: Vec<Item>,
    next_day: i64,
}

impl Idp {
    pub fn new(kind: Kind) -> Self {
        let (domain, count, teams) = match kind {
            Kind::Entra => ("northwind.example", 120, 8),
            Kind::Okta => ("tailspin.example", 100, 8),
            Kind::Google => ("fabrikam.example", 80, 6),
            Kind::Authentik => ("adatum.example", 60, 4),
            Kind::Script => ("contoso.example", 150, 8),
        };
        let mut chance = Chance::new(0x51_6874 + kind as u64);
        let people = People::new(domain, count, teams, &mut chance);
        let (queue, agenda, items) = (Vec::new(), Vec::new(), Vec::new());
        Self { kind, people, chance, queue, agenda, items, next_day: 0 }
    }

    /// Everything up to a moment, in the order of time. Moments follow each other.
    pub fn until(&mut self, to_ms: Millis) -> Vec<Item> {
        while START_MS + self.next_day * DAY_MS < to_ms {
            self.plan(self.next_day);
            self.next_day += 1;
        }
        let later = self.agenda.split_off(self.agenda.partition_point(|(at_ms, _)| *at_ms < to_ms));
        for (at_ms, turn) in std::mem::replace(&mut self.agenda, later) {
            if !OUTAGE.contains(&(at_ms - START_MS)) {
                self.turn(at_ms, turn);
            }
        }
        self.items.sort_by_key(Item::at_ms);
        let later = self.items.split_off(self.items.partition_point(|item| item.at_ms() < to_ms));
        std::mem::replace(&mut self.items, later)
    }

    /// Where it speaks from at a moment, and with which key.
    pub fn sender(&mut self, at_ms: Millis) -> Sender {
        let has_moved = at_ms >= START_MS + MOVE;
        let pools: &[&str] = match (self.kind, has_moved) {
            (Kind::Entra, false) => &["13.86.239.", "20.42.5.", "52.150.10."],
            (Kind::Entra, true) => &["4.232.16.", "20.42.5.", "172.208.4."],
            (Kind::Okta, false) => &["3.33.150.", "15.197.140."],
            (Kind::Okta, true) => &["99.83.200.", "15.197.140."],
            (Kind::Google, false) => &["74.125.90."],
            (Kind::Google, true) => &["142.250.32."],
            (Kind::Authentik, false) => &["192.0.2."],
            (Kind::Authentik, true) => &["198.51.100."],
            (Kind::Script, false) => &["2001:db8:40:1::"],
            (Kind::Script, true) => &["2001:db8:77:1::"],
        };
        let hosts = match self.kind {
            Kind::Entra | Kind::Google => 40,
            Kind::Okta => 6,
            Kind::Authentik | Kind::Script => 1,
        };
        let (pool, host) = (*self.chance.pick(pools), 10 + self.chance.below(hosts));
        let source = format!("{pool}{host}").parse().unwrap();
        // Whoever brings it the new key takes two hours.
        let key = if at_ms >= START_MS + ROTATION + 2 * HOUR_MS { Holder::Successor } else { Holder::Main };
        Sender { source, agent: self.kind.agent(), key }
    }

    fn guid(&mut self) -> String {
        let (high, low) = (self.chance.next(), self.chance.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            high >> 32,
            high & 0xFFFF,
            low & 0xFFF,
            (low >> 12) & 0xFFF,
            low >> 16
        )
    }

    /// What happens to people on a day.
    fn events(&mut self, day: i64) -> Vec<(Millis, Event)> {
        let chance = &mut self.chance;
        let begin_ms = START_MS + day * DAY_MS;
        let is_weekend = matches!(day % 7, 2 | 3);
        let mut events = Vec::new();
        if HOLIDAYS.contains(&day) || day == 0 {
            return events;
        }
        let counts = if is_weekend {
            [(Event::NewTitle, usize::from(chance.percent(10)))].to_vec()
        } else {
            [
                (Event::Joins, chance.below(2)),
                (Event::Leaves, usize::from(chance.percent(35))),
                (Event::NewTitle, 1 + chance.below(4)),
                (Event::NewName, usize::from(chance.percent(10))),
                (Event::ChangesTeams, 1 + chance.below(4)),
            ]
            .to_vec()
        };
        for (event, count) in counts {
            for _ in 0..count {
                events.push((begin_ms + chance.between(8 * HOUR_MS, 18 * HOUR_MS), event));
            }
        }
        let of_day = |at: Millis| at / DAY_MS == day;
        if of_day(ONBOARDING) {
            let count = if self.kind == Kind::Entra { 500 } else { 12 };
            events.extend((0..count).map(|number| (START_MS + ONBOARDING + number * 2_000, Event::Joins)));
        }
        if of_day(LAY_OFF) {
            for number in 0..self.lay_off() {
                events.push((START_MS + LAY_OFF + i64::from(number) * 5_000, Event::Leaves));
            }
        }
        events.sort_by_key(|(at_ms, _)| *at_ms);
        events
    }

    /// How many are laid off: a quarter of those who are there.
    fn lay_off(&self) -> u32 {
        u32::try_from(self.people.active().len() / 4).unwrap()
    }

    /// What a day will bring.
    fn plan(&mut self, day: i64) {
        let events = self.events(day);
        self.turns(day, &events);
        self.queue.extend(events);
        let of_day = |at: Millis| at / DAY_MS == day;
        let mut deeds = Vec::new();
        if !matches!(day % 7, 2 | 3) {
            deeds.push((START_MS + day * DAY_MS + 9 * HOUR_MS, Deed::Triage));
        }
        if day == 0 {
            deeds.push((START_MS + 11 * HOUR_MS, Deed::Mark));
        }
        if of_day(ROTATION) {
            deeds.push((START_MS + ROTATION, Deed::Rotate));
        }
        if of_day(LAY_OFF) {
            let until_ms = START_MS + LAY_OFF + WINDOW;
            deeds.push((
                START_MS + LAY_OFF - HOUR_MS,
                Deed::OpenWindow { most: self.lay_off() + 10, until_ms },
            ));
        }
        self.items.extend(deeds.into_iter().map(|(at_ms, deed)| Item::Deed(at_ms, deed)));
        self.report(day);
    }

    /// A report of another system reads the users each morning, with a key of its own.
    fn report(&mut self, day: i64) {
        let sender =
            Sender { source: "203.0.113.40".parse().unwrap(), agent: "seat-report/1.2", key: Holder::Reader };
        let mut at_ms = START_MS + day * DAY_MS + 6 * HOUR_MS + self.chance.between(0, 5 * MINUTE_MS);
        if day == 0 {
            at_ms += 12 * HOUR_MS;
            let tried = Sender { key: Holder::Dormant, ..sender };
            let canary = json!({ "schemas": [USER], "userName": format!("backup@{}", self.people.domain) });
            let at_ms = START_MS + 10 * HOUR_MS;
            self.items.push(bare(at_ms, tried, Request::post("/Users", &canary, CANARY)));
        }
        for page in 0..=self.people.everybody.len() / 200 {
            let request = Request::get("/Users", &format!("startIndex={}&count=200", page * 200 + 1));
            self.items.push(bare(at_ms, sender, request));
            at_ms += 700;
        }
    }

    /// When it speaks on a day.
    fn turns(&mut self, day: i64, events: &[(Millis, Event)]) {
        let begin_ms = START_MS + day * DAY_MS;
        let chance = &mut self.chance;
        // The period, the first, and how much it varies.
        let (period, first, jitter) = match self.kind {
            Kind::Entra => (40 * MINUTE_MS, 7 * MINUTE_MS, 2 * MINUTE_MS),
            Kind::Google => (6 * HOUR_MS, HOUR_MS, 50 * MINUTE_MS),
            Kind::Authentik => (HOUR_MS, 23 * MINUTE_MS, 20_000),
            Kind::Script => (DAY_MS, 2 * HOUR_MS + 30 * MINUTE_MS, 4 * MINUTE_MS),
            // An import each night.
            Kind::Okta => (DAY_MS, 4 * HOUR_MS, 10 * MINUTE_MS),
        };
        let mut at_ms = begin_ms + first;
        while at_ms < begin_ms + DAY_MS {
            // It is set up on the first morning.
            if at_ms >= START_MS + 11 * HOUR_MS {
                self.agenda.push((at_ms + chance.between(0, jitter), Turn::Beat));
            }
            at_ms += period;
        }
        if matches!(self.kind, Kind::Okta | Kind::Authentik) {
            for (at_ms, _) in events {
                // What happens in an outage is told after it.
                let is_down = OUTAGE.contains(&(at_ms - START_MS));
                let told_ms = if is_down { START_MS + OUTAGE.end } else { *at_ms };
                self.agenda.push((told_ms + chance.between(500, 4_000), Turn::Told));
            }
        }
        let once = [
            (9 * HOUR_MS, Turn::First),
            (RESYNCS[0], Turn::Resync),
            (RESYNCS[1], Turn::Resync),
            (ROTATION + 2 * HOUR_MS, Turn::Test),
        ];
        self.agenda.extend(
            once.iter().filter(|(at, _)| at / DAY_MS == day).map(|(at, turn)| (START_MS + at, *turn)),
        );
        self.agenda.sort_unstable();
    }

    /// One turn of it.
    fn turn(&mut self, at_ms: Millis, turn: Turn) {
        let (kind, guid) = (self.kind, self.guid());
        let is_direct = matches!(kind, Kind::Okta | Kind::Authentik);
        let mut requests = match turn {
            Turn::First => self.first_sync(&guid),
            Turn::Test => kind.test(&guid),
            Turn::Beat => kind.greeting(&guid),
            Turn::Told | Turn::Resync => Vec::new(),
        };
        if turn == Turn::Beat && matches!(kind, Kind::Okta | Kind::Script) {
            requests.extend(kind.read_all(&self.people));
        }
        if turn == Turn::Told || (turn == Turn::Beat && !is_direct) {
            let due = self.queue.iter().filter(|(event_ms, _)| *event_ms <= at_ms).count();
            for (_, event) in self.queue.drain(..due).collect::<Vec<_>>() {
                if let Some(happened) = self.people.happen(event, at_ms, &mut self.chance) {
                    requests.extend(kind.tell(&self.people, &happened));
                }
            }
        }
        if turn == Turn::Resync || (turn == Turn::Beat && kind == Kind::Authentik) {
            requests.extend(kind.sync_all(&self.people));
        }
        self.send(at_ms, requests);
    }

    fn first_sync(&self, guid: &str) -> Vec<Request> {
        let kind = self.kind;
        let mut requests = kind.test(guid);
        for person in self.people.everybody.values() {
            if matches!(kind, Kind::Entra | Kind::Google | Kind::Okta) {
                requests.push(kind.find(&person.name));
            }
            requests.push(Request::post("/Users", &kind.create(person), &person.handle()));
        }
        for group in &self.people.groups {
            requests.extend(kind.create_group(&self.people, group));
        }
        requests
    }

    /// Sends one request after the other.
    fn send(&mut self, mut at_ms: Millis, requests: Vec<Request>) {
        let sender = self.sender(at_ms);
        for request in requests {
            self.items.push(bare(at_ms, sender, request));
            at_ms += self.chance.between(60, 250);
        }
    }

    /// Those whom an attack may touch without touching what is marked.
    pub fn ordinary(&self) -> Vec<u32> {
        self.people.active().into_iter().filter(|number| *number >= SETTLED).collect()
    }
}

fn bare(at_ms: Millis, sender: Sender, request: Request) -> Item {
    Item::Step(Step { at_ms, sender, request, is_bad: false })
}
