//! One provider's federation in an installation of its own, on the clock of the replay.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{
    HOUR_MS, KeyId, Millis, RequestId,
    federations::Federation,
    findings::Finding,
    scopes::{ResourceKind, Scope, Verb},
};
use futures::future::join_all;
use ops::{
    Clock as _, Cx, Error, Keyward, RequestInfo, ScimClient, findings,
    groups::{self, Shown},
    keys::{self, Rotate},
    listing,
    ports::Unlimited,
    rotations::scheduler,
    scim_client::{self, Asked},
    testing::{self, TestClock},
    users,
};
use scim::{ListQuery, Reading, Resource, ResourceType};
use store::testing::TestDatabase;

use super::{
    dialects::Kind,
    people::{ADMINS, CANARY, PROTECTED},
    product,
    traffic::{Deed, Holder, Item, Request, Step},
};
use crate::support::{House, new_federation, new_key};

const MINUTE_MS: Millis = 60_000;

/// How many requests of a provider may be under way at once.
const PARALLEL: usize = 32;

/// Chance that no other process of the same world has.
struct Seeded(AtomicU64);

impl ops::Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let state = self.0.fetch_add(1, Ordering::SeqCst);
            let word = super::chance::Chance::new(state).next().to_be_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub at_ms: Millis,
    pub is_bad: bool,
    pub status: u16,
    /// The request and the answer, to be read in a failure.
    pub text: String,
}

/// A world that sleeps: a copy of its database, and what there is to know of it.
pub struct Snapshot {
    pub at_ms: Millis,
    database: TestDatabase,
    federation: Federation,
    keys: BTreeMap<Holder, (KeyId, String)>,
    ids: HashMap<String, String>,
}

pub struct World {
    pub house: House,
    pub federation: Federation,
    keys: BTreeMap<Holder, (KeyId, String)>,
    ids: HashMap<String, String>,
    /// How long the timers of the server wait while something happens.
    pub pace_ms: Millis,
    swept_ms: Millis,
    slowly_ms: Millis,
    is_busy: bool,
    rotating: Option<Millis>,
}

/// Users and groups as the directory has them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Directory {
    /// By handle or, of those that no provider made, by id.
    pub users: BTreeMap<String, Account>,
    pub groups: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub is_active: bool,
    pub name: String,
    pub mail: String,
    pub external_id: String,
}

async fn opened(database: TestDatabase, at_ms: Millis, process: u64) -> House {
    let clock = Arc::new(TestClock::default());
    clock.advance(at_ms - testing::START_MS);
    let chance = Arc::new(Seeded(AtomicU64::new(process << 40)));
    let (target, time) = (database.target.clone(), Arc::clone(&clock));
    let keyward = Keyward::open(target, &testing::master_key(), time, chance, testing::settings()).await;
    House { keyward: keyward.unwrap(), clock, database }
}

impl World {
    pub async fn new(database: TestDatabase, kind: Kind) -> Self {
        store::migrate(&database.target).await.unwrap();
        let house = opened(database, testing::START_MS, 0).await;
        house.federation("neighbour").await;
        let new = ops::federations::NewFederation {
            vendor: kind.vendor().to_owned(),
            ..new_federation(kind.slug())
        };
        let federation = ops::federations::register(&house.admin(), new).await.unwrap();
        let mut keys = BTreeMap::new();
        let report = Scope::of([(ResourceKind::Users, Verb::Read)]);
        for (holder, name, scope) in [
            (Holder::Main, "sync", Scope::full_directory()),
            (Holder::Dormant, "emergency", Scope::full_directory()),
            (Holder::Reader, "report", report),
        ] {
            let issued = keys::issue(&house.admin(), new_key(&federation.slug, name, scope)).await.unwrap();
            keys.insert(holder, (issued.key.id, issued.secret.unwrap().expose().to_owned()));
        }
        product::set_up(&house, &federation).await;
        let swept_ms = house.clock.now_ms();
        Self {
            house,
            federation,
            keys,
            ids: HashMap::new(),
            pace_ms: MINUTE_MS,
            swept_ms,
            slowly_ms: swept_ms,
            is_busy: false,
            rotating: None,
        }
    }

    /// Wakes a copy.
    pub async fn wake(snapshot: &Snapshot) -> Self {
        let house = opened(snapshot.database.copy().await, snapshot.at_ms, 1_000).await;
        Self {
            house,
            federation: snapshot.federation.clone(),
            keys: snapshot.keys.clone(),
            ids: snapshot.ids.clone(),
            pace_ms: 10_000,
            swept_ms: snapshot.at_ms,
            slowly_ms: snapshot.at_ms,
            is_busy: true,
            rotating: None,
        }
    }

    /// Ends the process, copies its database, and begins another one that goes on with it.
    pub async fn snapshot(self, process: u64) -> (Self, Snapshot) {
        let Self { house, federation, keys, ids, .. } = self;
        let at_ms = house.clock.now_ms();
        product::before_end(&house).await;
        house.keyward.close().await;
        let database = house.database.copy().await;
        let snapshot = Snapshot {
            at_ms,
            database,
            federation: federation.clone(),
            keys: keys.clone(),
            ids: ids.clone(),
        };
        let house = opened(house.database, at_ms, process).await;
        let world = Self {
            house,
            federation,
            keys,
            ids,
            pace_ms: MINUTE_MS,
            swept_ms: at_ms,
            slowly_ms: at_ms,
            is_busy: true,
            rotating: None,
        };
        (world, snapshot)
    }

    pub fn id(&self, handle: &str) -> &str {
        &self.ids[handle]
    }

    pub fn key_id(&self, holder: Holder) -> &KeyId {
        &self.keys[&holder].0
    }

    /// Lets things happen, each at its time.
    pub async fn run(&mut self, items: Vec<Item>, answers: &mut Vec<Answer>) {
        let mut batch: Vec<Step> = Vec::new();
        for item in items {
            match item {
                Item::Step(step) => {
                    if !self.fits(&batch, &step) {
                        self.send(std::mem::take(&mut batch), answers).await;
                    }
                    batch.push(step);
                }
                Item::Deed(at_ms, deed) => {
                    self.send(std::mem::take(&mut batch), answers).await;
                    self.advance_to(at_ms).await;
                    self.do_deed(deed).await;
                }
            }
        }
        self.send(batch, answers).await;
    }

    /// Whether a request may be under way beside others: one at a time for an attacker, for each resource, and
    /// for whatever waits for an id.
    fn fits(&self, batch: &[Step], step: &Step) -> bool {
        let Some(first) = batch.first() else { return true };
        batch.len() < PARALLEL
            && !step.is_bad
            && !first.is_bad
            && step.at_ms - first.at_ms < 3_000
            // Who looks whether somebody is there has the answer before it writes.
            && (step.request.method == "GET" || batch.iter().all(|other| !other.request.query.contains("filter")))
            && step.request.handles().all(|handle| self.ids.contains_key(handle))
            && (!step.request.path.contains('~')
                || batch.iter().all(|other| other.request.path != step.request.path))
    }

    async fn send(&mut self, batch: Vec<Step>, answers: &mut Vec<Answer>) {
        let Some(last) = batch.last() else { return };
        self.advance_to(last.at_ms).await;
        self.is_busy = true;
        let sent = join_all(batch.iter().map(|step| self.request(step))).await;
        for (step, (answer, made)) in batch.into_iter().zip(sent) {
            if let (Some(handle), Some(id)) = (step.request.binds, made) {
                self.ids.insert(handle, id);
            }
            answers.push(answer);
        }
    }

    /// Moves the clock, and calls on the way what the timers of a server call.
    pub async fn advance_to(&mut self, at_ms: Millis) {
        loop {
            let pace_ms = if self.is_busy { self.pace_ms } else { 30 * MINUTE_MS };
            let next_ms = self.swept_ms + pace_ms;
            if next_ms > at_ms {
                break;
            }
            self.set_clock(next_ms);
            self.swept_ms = next_ms;
            self.is_busy = false;
            let is_slow = next_ms - self.slowly_ms >= 5 * MINUTE_MS;
            product::sweep(&self.house, is_slow).await;
            if is_slow {
                self.slowly_ms = next_ms;
            }
            if self.rotating.is_some_and(|since_ms| next_ms - since_ms >= HOUR_MS) {
                self.rotating = Some(next_ms);
                scheduler::watched_until_now(&self.house.keyward);
                scheduler::round(&self.house.keyward, "node").await.unwrap();
                let open = scheduler::open_by_stage(&self.house.keyward).await.unwrap();
                if open.iter().all(|(_, count)| *count == 0) {
                    self.rotating = None;
                }
            }
        }
        self.set_clock(at_ms);
    }

    fn set_clock(&self, at_ms: Millis) {
        let by_ms = at_ms - self.house.clock.now_ms();
        if by_ms > 0 {
            self.house.clock.advance(by_ms);
        }
    }

    async fn do_deed(&mut self, deed: Deed) {
        let admin = self.house.admin();
        match deed {
            Deed::Rotate => {
                let issued =
                    keys::rotate(&admin, self.key_id(Holder::Main), Rotate::default()).await.unwrap();
                let secret = issued.secret.unwrap().expose().to_owned();
                self.keys.insert(Holder::Successor, (issued.key.id, secret));
                self.rotating = Some(self.house.clock.now_ms());
            }
            Deed::OpenWindow { most, until_ms } => {
                product::open_window(&self.house, &self.federation, most, until_ms).await;
            }
            Deed::Mark => {
                let (protected, admins) = (format!("u{PROTECTED}"), format!("g{ADMINS}"));
                for (handle, kind) in
                    [(protected.as_str(), "protected"), (CANARY, "canary"), (admins.as_str(), "privileged")]
                {
                    product::mark(&self.house, &self.federation, self.id(handle), kind).await;
                }
            }
            Deed::Triage => self.triage().await,
        }
    }

    /// Who looks after findings has seen them.
    pub async fn triage(&self) {
        for finding in self.findings(false).await {
            let slug = finding.federation_id.as_ref().map(|_| &self.federation.slug);
            findings::close(&self.house.admin(), slug, &finding.id, "looked at").await.unwrap();
        }
    }

    pub async fn findings(&self, closed: bool) -> Vec<Finding> {
        let wanted = findings::Wanted {
            federation: Some(self.federation.slug.clone()),
            closed,
            ..findings::Wanted::default()
        };
        let found = findings::list(&self.house.admin(), &wanted).await.unwrap();
        found.into_iter().map(|view| view.finding).collect()
    }

    /// A request as it would be on the wire, with ids for handles.
    fn text(&self, text: &str) -> String {
        let mut parts = text.split('~');
        let mut whole = parts.next().unwrap_or_default().to_owned();
        while let Some(handle) = parts.next() {
            // Who was never created has no id: an id that nobody has.
            whole.push_str(self.ids.get(handle).map_or("01KD0000000000000000000000", String::as_str));
            whole.push_str(parts.next().unwrap_or_default());
        }
        whole
    }

    /// One request, as `server/src/edge/scim` takes it in.
    async fn request(&self, step: &Step) -> (Answer, Option<String>) {
        let Step { at_ms, sender, request, is_bad } = step;
        let keyward = &self.house.keyward;
        let (path, body) = (self.text(&request.path), request.body.as_deref().map(|body| self.text(body)));
        let (endpoint, id) = match path.trim_start_matches('/').split_once('/') {
            Some((endpoint, id)) => (endpoint, Some(id)),
            None => (path.trim_start_matches('/'), None),
        };
        let asked = Asked {
            method: request.method.to_owned(),
            resource_type: endpoint.to_owned(),
            resource_id: id.map(str::to_owned),
            tolerated: Vec::new(),
            operation: None,
        };
        let mut seed = [0; 10];
        keyward.entropy().fill(&mut seed);
        let info = RequestInfo {
            id: RequestId::new(*at_ms, seed),
            source: Some(sender.source),
            user_agent: Some(sender.agent.to_owned()),
            arrived_ms: *at_ms,
            arrived_us: *at_ms * 1_000,
        };
        let bearer = Some(self.keys[&sender.key].1.as_str());
        let slug = if request.query == "neighbour" { "neighbour" } else { self.federation.slug.as_str() };
        let came = scim_client::authenticate_within(keyward, &info, slug, bearer, &asked, &Unlimited).await;
        let answered = match came {
            Ok(cx) => serve(&cx, &asked, request, (endpoint, id), body.as_deref()).await,
            Err(error) => Err(error),
        };
        let (status, made, said) = match answered {
            Ok(made) => (200, made, String::new()),
            Err(error) => (scim_client::status_of(&error), None, error.to_string()),
        };
        let text =
            format!("{} {path}?{} from {} → {status} {said}", request.method, request.query, sender.source);
        (Answer { at_ms: *at_ms, is_bad: *is_bad, status, text }, made)
    }

    /// What the directory holds, read with a key that nobody else has.
    pub async fn directory(&self) -> Directory {
        let handles: HashMap<&str, &str> =
            self.ids.iter().map(|(handle, id)| (id.as_str(), handle.as_str())).collect();
        let known = |id: &str| handles.get(id).copied().unwrap_or(id).to_owned();
        let (_, secret) = self.house.key(&self.federation, "after").await;
        let cx = self.house.client(&self.federation, &secret).await;
        let mut directory = Directory::default();
        for kind in ResourceType::ALL {
            let query = ListQuery { count: scim::list::MAX_COUNT, ..ListQuery::default() };
            let asked = crate::support::asked("GET", kind.endpoint().trim_start_matches('/'));
            let listed = listing::list(&cx, &asked, kind, &query).await.unwrap();
            assert_eq!(listed.total, u64::try_from(listed.found.len()).unwrap(), "a page holds all of them");
            for found in listed.found {
                match found {
                    listing::Found::User(user) => {
                        let mail =
                            user.resource.as_value()["emails"][0]["value"].as_str().unwrap_or_default();
                        let account = Account {
                            is_active: user.resource.active(),
                            name: user.resource.user_name().unwrap_or_default().to_owned(),
                            mail: mail.to_owned(),
                            external_id: user.resource.external_id().unwrap_or_default().to_owned(),
                        };
                        directory.users.insert(known(user.id.as_str()), account);
                    }
                    listing::Found::Group(group) => {
                        let members = group.members.iter().map(|member| known(&member.value)).collect();
                        directory.groups.insert(known(group.id.as_str()), members);
                    }
                }
            }
        }
        directory
    }

    pub async fn close(self) {
        self.house.keyward.close().await;
    }

    /// The handles that stand for the same resource: none, when every id was given once.
    pub fn twice(&self) -> usize {
        let ids: HashSet<&String> = self.ids.values().collect();
        self.ids.len() - ids.len()
    }
}

/// From an accepted key to one operation; the id of what was made.
async fn serve(
    cx: &Cx<ScimClient>,
    asked: &Asked,
    request: &Request,
    (endpoint, id): (&str, Option<&str>),
    body: Option<&str>,
) -> Result<Option<String>, Error> {
    let Some(kind) =
        ResourceType::ALL.into_iter().find(|kind| kind.endpoint().trim_start_matches('/') == endpoint)
    else {
        cx.discovered(asked).await?;
        return Ok(None);
    };
    let mut reading = Reading::lenient();
    let of = cx.schemas().of(kind);
    let body = body.unwrap_or_default().as_bytes();
    let resource_kind = match kind {
        ResourceType::User => ResourceKind::Users,
        ResourceType::Group => ResourceKind::Groups,
    };
    let verb = match request.method {
        "POST" => Verb::Create,
        "DELETE" => Verb::Delete,
        "GET" => Verb::Read,
        _ => Verb::Update,
    };
    if verb != Verb::Read {
        cx.allow(asked, verb, resource_kind).await?;
    }
    match (request.method, kind, id) {
        ("GET", kind, None) => {
            let query = ListQuery::read(of, &request.query, &mut reading)?;
            listing::list(cx, asked, kind, &query).await?;
        }
        ("GET", ResourceType::User, Some(id)) => drop(users::get(cx, asked, id).await?),
        ("GET", ResourceType::Group, Some(id)) => drop(groups::get(cx, asked, id).await?),
        ("POST", ResourceType::User, _) => {
            let made = users::create(cx, asked, Resource::read(of, body, &mut reading)?).await?;
            return Ok(Some(made.id.to_string()));
        }
        ("POST", ResourceType::Group, _) => {
            let wanted = Resource::read(of, body, &mut reading)?;
            let made = groups::create(cx, asked, wanted, Shown::ByDefault).await?;
            return Ok(Some(made.id.to_string()));
        }
        ("PUT", ResourceType::User, Some(id)) => {
            users::replace(cx, asked, id, None, Resource::read(of, body, &mut reading)?).await?;
        }
        ("PUT", ResourceType::Group, Some(id)) => {
            let wanted = Resource::read(of, body, &mut reading)?;
            groups::replace(cx, asked, id, None, wanted, Shown::ByDefault).await?;
        }
        ("PATCH", ResourceType::User, Some(id)) => {
            users::patch(cx, asked, id, None, scim::patch::read(body, &mut reading)?).await?;
        }
        ("PATCH", ResourceType::Group, Some(id)) => {
            let operations = scim::patch::read(body, &mut reading)?;
            groups::patch(cx, asked, id, None, operations, Shown::ByDefault).await?;
        }
        ("DELETE", ResourceType::User, Some(id)) => users::delete(cx, asked, id, None).await?,
        ("DELETE", ResourceType::Group, Some(id)) => groups::delete(cx, asked, id, None).await?,
        other => panic!("no provider sends {other:?}"),
    }
    Ok(None)
}
