//! What somebody does who has stolen a key: each attack from the first bad request to the last.

use domain::{HOUR_MS, Millis};
use serde_json::{Value, json};

use super::{
    chance::Chance,
    idp::Idp,
    people::{ADMINS, CANARY, PROTECTED, Person},
    traffic::{GROUP, Holder, Request, Sender, Step, USER, tilde},
};

const MINUTE_MS: Millis = 60_000;

/// Addresses and agents of those who have nothing to do with the provider.
const NETWORKS: [&str; 5] =
    ["185.220.101.34", "45.137.21.9", "2a0b:f4c2:2::31", "103.251.167.20", "91.92.240.7"];
const AGENTS: [&str; 4] =
    ["curl/8.9.1", "python-requests/2.31.0", "Go-http-client/1.1", "PostmanRuntime/7.41.0"];

/// The most requests of one attack.
const MOST: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    MassDeactivation,
    MassDeletion,
    SlowDeactivation,
    GroupByPatch,
    GroupByPut,
    GroupByDelete,
    Addresses,
    ExternalIds,
    Protected,
    Privilege,
    NewDomain,
    Creations,
    Enumeration,
    Dormant,
    TwoHolders,
    Probing,
    Canary,
    OldKey,
    QuietWrite,
}

/// What stops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// R1: a limit of removals.
    Removals,
    /// R2: nobody leaves the group.
    Emptying,
    /// R3: nothing changes.
    Protection,
    /// R4: a limit of rewrites.
    Rewrites,
}

impl Attack {
    pub const ALL: [Self; 19] = [
        Self::MassDeactivation,
        Self::MassDeletion,
        Self::SlowDeactivation,
        Self::GroupByPatch,
        Self::GroupByPut,
        Self::GroupByDelete,
        Self::Addresses,
        Self::ExternalIds,
        Self::Protected,
        Self::Privilege,
        Self::NewDomain,
        Self::Creations,
        Self::Enumeration,
        Self::Dormant,
        Self::TwoHolders,
        Self::Probing,
        Self::Canary,
        Self::OldKey,
        Self::QuietWrite,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::MassDeactivation => "users deactivated one after the other",
            Self::MassDeletion => "users deleted one after the other",
            Self::SlowDeactivation => "users deactivated slowly, a few an hour",
            Self::GroupByPatch => "a group emptied by PATCH",
            Self::GroupByPut => "a group emptied by PUT",
            Self::GroupByDelete => "a group deleted",
            Self::Addresses => "mail addresses rewritten",
            Self::ExternalIds => "externalIds rewritten",
            Self::Protected => "a protected user changed",
            Self::Privilege => "somebody added to a privileged group",
            Self::NewDomain => "a user with a new mail domain",
            Self::Creations => "a burst of new users",
            Self::Enumeration => "the whole directory read",
            Self::Dormant => "a dormant key used",
            Self::TwoHolders => "a second holder beside the provider",
            Self::Probing => "a narrow key tried on everything",
            Self::Canary => "the canary user changed",
            Self::OldKey => "the old key used after its rotation",
            Self::QuietWrite => "one quiet change from elsewhere",
        }
    }

    /// What has to stop it; the others have to be found.
    pub fn stop(self) -> Option<Stop> {
        match self {
            Self::MassDeactivation | Self::MassDeletion | Self::SlowDeactivation => Some(Stop::Removals),
            Self::GroupByPatch | Self::GroupByPut | Self::GroupByDelete => Some(Stop::Emptying),
            Self::Addresses | Self::ExternalIds => Some(Stop::Rewrites),
            Self::Protected => Some(Stop::Protection),
            Self::Privilege
            | Self::NewDomain
            | Self::Creations
            | Self::Enumeration
            | Self::Dormant
            | Self::TwoHolders
            | Self::Probing
            | Self::Canary
            | Self::OldKey
            | Self::QuietWrite => None,
        }
    }

    /// How many of ten seeds come from the network of the provider, with its agent: somebody inside of it.
    fn inside(self) -> usize {
        match self {
            Self::TwoHolders | Self::QuietWrite | Self::Dormant | Self::Probing | Self::OldKey => 0,
            Self::Enumeration | Self::Creations | Self::Canary | Self::Privilege | Self::NewDomain => 2,
            Self::MassDeactivation
            | Self::MassDeletion
            | Self::SlowDeactivation
            | Self::GroupByPatch
            | Self::GroupByPut
            | Self::GroupByDelete
            | Self::Addresses
            | Self::ExternalIds
            | Self::Protected => 5,
        }
    }
}

/// An attack as it is carried out.
pub struct Plan {
    pub steps: Vec<Step>,
    /// The group that it is about.
    pub group: usize,
}

/// The steps of an attack that begins at a moment, by what is known of the people then.
pub fn plan(attack: Attack, idp: &mut Idp, chance: &mut Chance, begin_ms: Millis) -> Plan {
    let is_inside = chance.percent(attack.inside() * 10);
    let own = idp.sender(begin_ms);
    let elsewhere = Sender {
        source: chance.pick(&NETWORKS).parse().unwrap(),
        // Who knows what the provider is says that he is it.
        agent: if chance.percent(40) { own.agent } else { AGENTS[chance.below(AGENTS.len())] },
        key: own.key,
    };
    let sender = if is_inside { own } else { elsewhere };
    let sender = match attack {
        Attack::Dormant => Sender { key: Holder::Dormant, ..sender },
        Attack::Probing => Sender { key: Holder::Reader, ..sender },
        Attack::OldKey => Sender { key: Holder::Main, ..sender },
        _ => sender,
    };
    // The largest group that is not the privileged one.
    let group = idp
        .people
        .groups
        .iter()
        .skip(1)
        .max_by_key(|group| group.members.len())
        .map_or(1, |group| group.number);
    let requests = requests(attack, idp, chance, group);
    let (least_ms, most_ms) = match attack {
        Attack::SlowDeactivation => (8 * MINUTE_MS, 11 * MINUTE_MS),
        Attack::Probing => (400, 2_000),
        _ => (90, 500),
    };
    let mut at_ms = begin_ms;
    let mut steps = Vec::new();
    for request in requests {
        steps.push(Step { at_ms, sender, request, is_bad: true });
        at_ms += chance.between(least_ms, most_ms);
    }
    Plan { steps, group }
}

/// How long an attack may go on.
pub fn lasts_ms(attack: Attack) -> Millis {
    if attack == Attack::SlowDeactivation { 4 * HOUR_MS } else { 2 * MINUTE_MS }
}

fn set(person: &Person, path: &str, value: &Value) -> Request {
    Request::patch("/Users", &person.handle(), &json!([{ "op": "replace", "path": path, "value": value }]))
}

#[expect(clippy::too_many_lines, reason = "one arm for each attack")]
fn requests(attack: Attack, idp: &Idp, chance: &mut Chance, group: usize) -> Vec<Request> {
    let people = &idp.people;
    let numbers = chance.shuffled(&idp.ordinary());
    let victims: Vec<&Person> = numbers.iter().take(MOST).map(|number| &people.everybody[number]).collect();
    let group = &people.groups[group];
    match attack {
        Attack::MassDeactivation => {
            victims.iter().map(|person| set(person, "active", &json!(false))).collect()
        }
        Attack::SlowDeactivation => {
            victims.iter().take(21).map(|person| set(person, "active", &json!(false))).collect()
        }
        Attack::MassDeletion => {
            victims.iter().map(|person| Request::delete("/Users", &person.handle())).collect()
        }
        Attack::GroupByPatch => {
            let members: Vec<Value> =
                group.members.iter().map(|number| json!({ "value": tilde(&format!("u{number}")) })).collect();
            let operations = match chance.below(3) {
                0 => json!([{ "op": "remove", "path": "members" }]),
                1 => json!([{ "op": "remove", "path": "members", "value": members }]),
                _ => json!([{ "op": "replace", "path": "members", "value": [] }]),
            };
            vec![Request::patch("/Groups", &group.handle(), &operations)]
        }
        Attack::GroupByPut => {
            let body = json!({ "schemas": [GROUP], "displayName": group.name, "members": [] });
            vec![Request::put("/Groups", &group.handle(), &body)]
        }
        Attack::GroupByDelete => vec![Request::delete("/Groups", &group.handle())],
        Attack::Addresses => victims
            .iter()
            .map(|person| {
                let mail =
                    format!("x{}@{}", person.name.split('@').next().unwrap_or_default(), people.domain);
                set(person, "emails", &json!([{ "value": mail, "type": "work", "primary": true }]))
            })
            .collect(),
        Attack::ExternalIds => victims
            .iter()
            .map(|person| {
                let external_id = format!("{:08x}-{:04}", chance.next() & 0xFFFF_FFFF, person.number);
                set(person, "externalId", &json!(external_id))
            })
            .collect(),
        Attack::Protected => {
            let person = &people.everybody[&PROTECTED];
            let request = match chance.below(4) {
                0 => set(person, "active", &json!(false)),
                1 => Request::delete("/Users", &person.handle()),
                2 => set(person, "emails", &json!([{ "value": "thief@evil.example", "primary": true }])),
                _ => Request::put(
                    "/Users",
                    &person.handle(),
                    &json!({
                        "schemas": [USER], "userName": format!("owned@{}", people.domain), "active": true,
                    }),
                ),
            };
            vec![request]
        }
        Attack::Privilege => {
            let id = tilde(&victims[0].handle());
            let admins = &people.groups[ADMINS];
            let operations = json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]);
            vec![Request::patch("/Groups", &admins.handle(), &operations)]
        }
        Attack::NewDomain => {
            let body = json!({ "schemas": [USER], "userName": format!("helpdesk{}@evil.example", chance.below(100)),
                "active": true });
            vec![Request::post("/Users", &body, "bad")]
        }
        Attack::Creations => (0..160)
            .map(|number| {
                let name = format!("temp.account{number}@{}", people.domain);
                let body = json!({ "schemas": [USER], "userName": name, "active": true,
                    "emails": [{ "value": name, "primary": true }] });
                Request::post("/Users", &body, &format!("bad{number}"))
            })
            .collect(),
        Attack::Enumeration => {
            let count = people.everybody.len();
            let page = [20, 50, 100, 200][chance.below(4)];
            let pages = |kind: &str, count: usize| {
                let kind = kind.to_owned();
                (0..=count / page).map(move |index| {
                    Request::get(&kind, &format!("startIndex={}&count={page}", index * page + 1))
                })
            };
            let mut requests: Vec<Request> = pages("/Users", count).chain(pages("/Groups", 10)).collect();
            requests.extend(victims.iter().map(|person| Request::one("/Users", &person.handle())));
            requests
        }
        Attack::Dormant | Attack::TwoHolders => vec![
            Request::get("/Users", "startIndex=1&count=100"),
            set(victims[0], "displayName", &json!("Help Desk")),
        ],
        Attack::Probing => {
            let id = victims[0].handle();
            let user = json!({ "schemas": [USER], "userName": format!("probe@{}", people.domain) });
            let mut requests = vec![
                Request::get("/Groups", ""),
                Request::post("/Users", &user, "bad"),
                set(victims[0], "active", &json!(false)),
                Request::delete("/Users", &id),
                Request::post("/Groups", &json!({ "schemas": [GROUP], "displayName": "probe" }), "bad"),
                Request::delete("/Groups", &group.handle()),
            ];
            requests.extend((0..10).map(|_| Request::get("/Users", "neighbour")));
            chance.shuffled(&requests)
        }
        Attack::Canary => {
            let operations = json!([{ "op": "replace", "path": "displayName", "value": "Root" }]);
            vec![Request::patch("/Users", CANARY, &operations)]
        }
        Attack::OldKey => vec![Request::get("/Users", "startIndex=1&count=100")],
        Attack::QuietWrite => vec![
            Request::one("/Users", &victims[0].handle()),
            set(victims[0], "displayName", &json!("Help Desk")),
        ],
    }
}
