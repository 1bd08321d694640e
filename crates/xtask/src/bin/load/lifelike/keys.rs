//! Federations, their keys in every state, and the rotations that led there.

use domain::{
    DAY_MS, FederationId, HOUR_MS, KeyId, Millis, RotationId,
    behaviour::Rules,
    federations::{
        Federation, FederationStatus, FederationTarget, RotationPolicy, ScimSettings, Slug, Vendor,
    },
    keys::{Key, Life, Proof},
    rotations::{Cause, Moments, Rotation, Stage, Step, policy::RotationRules},
    scopes::{ResourceKind, Scope, Verb},
};
use store::keys::{Hold, StoredKey};

use super::{Filler, HISTORY_DAYS, House};
use crate::Outcome;

/// Where the providers are.
const PLACES: [&str; 20] = [
    "Lisbon", "Porto", "Madrid", "Lyon", "Turin", "Vienna", "Graz", "Prague", "Brno", "Krakow", "Gdansk",
    "Riga", "Tallinn", "Turku", "Malmo", "Aarhus", "Ghent", "Leiden", "Cork", "Leeds",
];

/// What they provision.
const UNITS: [&str; 12] = [
    "staff",
    "contractors",
    "stores",
    "warehouse",
    "partners",
    "labs",
    "finance",
    "support",
    "field service",
    "plant",
    "research",
    "logistics",
];

/// What keys are called.
const NAMES: [&str; 8] =
    ["production", "nightly sync", "joiners", "leavers", "groups", "backfill", "staging", "audit"];

/// Who issues keys.
const PEOPLE: [&str; 4] = ["Identity operations", "Platform operations", "Workplace", "Security"];

/// What becomes of the last key of a line, and how many of a hundred.
#[derive(Clone, Copy)]
enum Fate {
    InUse,
    Rotating,
    Unused,
    Held,
    Expired,
    Revoked,
    EndsSoon,
    OverAge,
    Canary,
}

const FATES: [(Fate, u64); 9] = [
    (Fate::InUse, 67),
    (Fate::Rotating, 6),
    (Fate::Unused, 7),
    (Fate::Held, 1),
    (Fate::Expired, 5),
    (Fate::Revoked, 6),
    (Fate::EndsSoon, 4),
    (Fate::OverAge, 3),
    (Fate::Canary, 1),
];

/// How long both keys of a rotation are accepted.
const OVERLAP_MS: Millis = 72 * HOUR_MS;

/// Writes them.
pub async fn write(filler: &mut Filler) -> Outcome<Vec<House>> {
    let mut houses = Vec::new();
    let (federations, keys) = (filler.sizes.federations, filler.sizes.provisioning_keys);
    for number in 0..federations {
        let federation = federation(filler, number)?;
        store::federations::insert(&mut filler.bulk.conn(), &federation).await?;
        let mut house = House {
            id: federation.id.clone(),
            name: federation.name.clone(),
            agent: agent(federation.vendor),
            source: format!("198.51.{}.{}", number % 250, 10 + number % 200),
            used: Vec::new(),
            people: Vec::new(),
        };
        // As many as are left, shared among the federations that are left.
        let mut left = keys / federations + u32::from(number < keys % federations);
        let mut line = 0;
        while left > 0 {
            left -= Line::new(filler, &federation, line, left).write(filler, &mut house).await?;
            line += 1;
        }
        houses.push(house);
        if number % 100 == 99 {
            filler.step().await?;
        }
    }
    filler.step().await?;
    Ok(houses)
}

fn federation(filler: &mut Filler, number: u32) -> Outcome<Federation> {
    let vendor = Vendor::ALL[number as usize % Vendor::ALL.len()];
    let place = PLACES[number as usize / Vendor::ALL.len() % PLACES.len()];
    let unit = filler.chance.of(&UNITS);
    let slug = format!("{}-{}-{number:04}", vendor.as_str(), place.to_lowercase());
    let created_ms = filler.until_ms - (HISTORY_DAYS + 400 + i64::from(number % 300)) * DAY_MS;
    let max_age_days = filler.chance.of(&[30, 60, 90, 90, 90, 180, 365]);
    let status = match filler.chance.below(100) {
        0..2 => FederationStatus::Archived,
        2..6 => FederationStatus::Paused,
        _ => FederationStatus::Live,
    };
    Ok(Federation {
        id: FederationId::new(created_ms + i64::from(number), filler.chance.id()),
        slug: Slug::parse(&slug).map_err(|_| format!("{slug} is no slug"))?,
        name: format!("{} {place} {unit}", vendor.label()),
        vendor,
        status,
        owners: vec![format!("{}@example.com", unit.replace(' ', "-"))],
        notes: format!("Provisions {unit} of {place}."),
        policy: RotationPolicy { max_age_days, overlap_hours: 72, warn_days: 14 },
        rotation: RotationRules::default(),
        target: FederationTarget::Embedded,
        scim: ScimSettings::default(),
        behaviour: Rules::default(),
        version: 1,
        created_ms,
        updated_ms: created_ms,
    })
}

/// What the providers call themselves.
const fn agent(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Okta => "Okta SCIM Client 1.0.0",
        Vendor::Entra => "AADSyncFabric/1.0",
        Vendor::Google => "Google-Apps-Provisioning",
        Vendor::Keycloak => "Keycloak-SCIM/1.2",
        Vendor::Authentik => "goauthentik.io/outpost",
        Vendor::Onelogin => "OneLogin SCIM",
        Vendor::Jumpcloud => "JumpCloud SCIM",
        Vendor::Ping => "PingOne/1.0",
        Vendor::Sailpoint => "SailPoint IdentityNow",
        Vendor::Rippling => "Rippling SCIM",
        Vendor::Other => "python-httpx/0.27",
    }
}

/// A key and those before it.
struct Line<'a> {
    federation: &'a Federation,
    name: String,
    fate: Fate,
    /// How many keys it has.
    keys: u32,
}

impl<'a> Line<'a> {
    fn new(filler: &mut Filler, federation: &'a Federation, number: usize, most: u32) -> Self {
        let mut lot = filler.chance.below(100);
        let mut fate = Fate::InUse;
        for (kind, share) in FATES {
            if lot < share {
                fate = kind;
                break;
            }
            lot -= share;
        }
        let least = if matches!(fate, Fate::Rotating) { 2 } else { 1 };
        if federation.status == FederationStatus::Archived || (least > most) {
            fate = Fate::Revoked;
        }
        let before = if filler.chance.percent(40) { filler.chance.below(4) } else { 0 };
        let before = u32::try_from(before).unwrap_or(0);
        let keys = (least + before).min(most);
        Self { federation, name: format!("{} {number}", NAMES[number % NAMES.len()]), fate, keys }
    }

    /// Writes the keys, oldest first; how many.
    async fn write(self, filler: &mut Filler, house: &mut House) -> Outcome<u32> {
        let now_ms = filler.until_ms;
        let policy = self.federation.policy;
        let (age_ms, life_ms) = self.age(filler);
        // When each was issued, the last first.
        let mut issued = vec![now_ms - age_ms];
        for _ in 1..self.keys {
            let first = issued.len() == 1 && matches!(self.fate, Fate::Rotating);
            let share = if first { 85 + filler.chance.below(10) } else { 75 + filler.chance.below(20) };
            let step = policy.max_age_ms() * share.cast_signed() / 100;
            issued.push(issued[issued.len() - 1] - step);
        }
        issued.reverse();
        let mut before: Option<Key> = None;
        for (place, issued_ms) in issued.iter().enumerate() {
            let is_last = place + 1 == issued.len();
            let expires_ms = if is_last { issued_ms + life_ms } else { issued_ms + policy.max_age_ms() };
            let mut key = self.key(filler, *issued_ms, expires_ms, before.as_ref());
            let rotation = match &mut before {
                Some(old) => Some(self.replace(filler, old, &key, is_last, house).await?),
                None => None,
            };
            let stored = StoredKey { key: key.clone(), hash: filler.chance.hex(64) };
            store::keys::insert(&mut filler.bulk.conn(), &stored).await?;
            if let Some(rotation) = rotation {
                store::rotations::insert(&mut filler.bulk.conn(), &rotation).await?;
            }
            if is_last {
                self.end(filler, &mut key, house).await?;
            }
            before = Some(key);
        }
        Ok(self.keys)
    }

    /// Gives a key its successor, and ends it unless the rotation is still under way.
    async fn replace(
        &self,
        filler: &mut Filler,
        old: &mut Key,
        new: &Key,
        is_last: bool,
        house: &mut House,
    ) -> Outcome<Rotation> {
        let begun_ms = new.life.issued_ms;
        let conn = &mut filler.bulk.conn();
        store::keys::succeed(conn, old, &new.id, Some(begun_ms + OVERLAP_MS)).await?;
        old.version += 1;
        if is_last && matches!(self.fate, Fate::Rotating) {
            let stage = match filler.chance.below(10) {
                0..2 => Stage::Open(Step::Issued),
                2..5 => Stage::Open(Step::Delivered),
                5..7 => Stage::Open(Step::InUse),
                7 => Stage::Open(Step::Draining),
                8 => Stage::Stalled(Step::Delivered),
                _ => Stage::Held(Step::Delivered),
            };
            house.used.push((old.id.clone(), old.life.issued_ms, filler.until_ms));
            return Ok(rotation(filler, old, new, stage, None));
        }
        let ended_ms = begun_ms + filler.between(2 * HOUR_MS, OVERLAP_MS);
        store::keys::retire(&mut filler.bulk.conn(), old, ended_ms).await?;
        house.used.push((old.id.clone(), old.life.issued_ms, ended_ms));
        Ok(rotation(filler, old, new, Stage::Retired, Some(ended_ms)))
    }

    /// What became of the last key.
    async fn end(&self, filler: &mut Filler, key: &mut Key, house: &mut House) -> Outcome {
        let (issued_ms, now_ms) = (key.life.issued_ms, filler.until_ms);
        let some_ms = filler.between(issued_ms, now_ms);
        let last_ms = match self.fate {
            Fate::Unused | Fate::Canary => return Ok(()),
            Fate::Rotating if filler.chance.percent(60) => return Ok(()),
            Fate::InUse | Fate::EndsSoon | Fate::OverAge | Fate::Rotating => now_ms,
            Fate::Expired => key.life.expires_ms,
            Fate::Held => {
                let reason = "A colleague left with a copy of it.".to_owned();
                let hold = Hold { at_ms: some_ms, by: filler.chance.of(&PEOPLE).to_owned(), reason };
                store::keys::hold(&mut filler.bulk.conn(), key, Some(&hold)).await?;
                some_ms
            }
            Fate::Revoked => {
                let by = filler.chance.of(&PEOPLE);
                store::keys::revoke(&mut filler.bulk.conn(), key, some_ms, by).await?;
                some_ms
            }
        };
        house.used.push((key.id.clone(), issued_ms, last_ms));
        Ok(())
    }

    /// How old the last key is, and how long it lives.
    fn age(&self, filler: &mut Filler) -> (Millis, Millis) {
        let policy = self.federation.policy;
        let life = policy.max_age_ms();
        let warn = policy.warn_ms().min(life / 2);
        let mut some = |bound: Millis| filler.between(0, bound.max(1));
        match self.fate {
            Fate::InUse | Fate::Held | Fate::Revoked => (DAY_MS + some(life - warn - 2 * DAY_MS), life),
            Fate::Rotating => (HOUR_MS + some(2 * OVERLAP_MS), life),
            Fate::Unused | Fate::Canary => (some((life - warn) / 2), life),
            Fate::EndsSoon => (life - warn + some(warn - DAY_MS), life),
            Fate::OverAge => (life + DAY_MS + some(life / 2), 2 * life),
            Fate::Expired => (life + some(60 * DAY_MS), life),
        }
    }

    fn key(&self, filler: &mut Filler, issued_ms: Millis, expires_ms: Millis, before: Option<&Key>) -> Key {
        let id = KeyId::new(issued_ms, filler.chance.id());
        let last_four: String = filler.chance.hex(16).chars().take(4).collect();
        let is_wide = filler.chance.percent(8);
        Key {
            id,
            federation_id: self.federation.id.clone(),
            name: self.name.clone(),
            last_four,
            proof: if filler.chance.percent(6) { Proof::Secret } else { Proof::Static },
            scope: if is_wide { Scope::full_directory() } else { scope(filler) },
            next_scope: None,
            justification: is_wide.then(|| "One connector does everything here.".to_owned()),
            life: Life { issued_ms, expires_ms, ..Life::default() },
            predecessor_id: before.map(|key| key.id.clone()),
            successor_id: None,
            issued_by: filler.chance.of(&PEOPLE).to_owned(),
            revoked_by: None,
            held_by: None,
            held_reason: None,
            last_used_source: None,
            last_used_agent: None,
            canary: matches!(self.fate, Fate::Canary),
            uses: 0,
            version: 1,
        }
    }
}

fn scope(filler: &mut Filler) -> Scope {
    let mut grants = vec![(ResourceKind::Users, Verb::Read), (ResourceKind::Users, Verb::Create)];
    grants.push((ResourceKind::Users, Verb::Update));
    if filler.chance.percent(40) {
        grants.push((ResourceKind::Users, Verb::Delete));
    }
    if filler.chance.percent(70) {
        grants.extend([(ResourceKind::Groups, Verb::Read), (ResourceKind::Groups, Verb::Update)]);
    }
    Scope::of(grants)
}

fn rotation(filler: &mut Filler, old: &Key, new: &Key, stage: Stage, ended_ms: Option<Millis>) -> Rotation {
    let begun_ms = new.life.issued_ms;
    let is_by_hand = filler.chance.percent(40);
    let delivered = !matches!(stage, Stage::Open(Step::Issued));
    Rotation {
        id: RotationId::new(begun_ms, filler.chance.id()),
        federation_id: old.federation_id.clone(),
        old_key_id: old.id.clone(),
        new_key_id: new.id.clone(),
        stage,
        cause: if is_by_hand { Cause::ByHand } else { Cause::Policy },
        begun_by: if is_by_hand { new.issued_by.clone() } else { "Keyward".to_owned() },
        begun_ms,
        since_ms: ended_ms.unwrap_or(begun_ms + HOUR_MS),
        deadline_ms: begun_ms + OVERLAP_MS,
        extended: 0,
        moments: Moments {
            overlap_ms: Some(OVERLAP_MS),
            delivered_ms: delivered.then_some(begun_ms + HOUR_MS / 2),
            used_ms: ended_ms.map(|_| begun_ms + HOUR_MS),
            ..Moments::default()
        },
        note: String::new(),
        ended_ms,
        version: 1,
    }
}
