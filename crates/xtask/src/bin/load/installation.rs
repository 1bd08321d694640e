//! A new installation, made without a server: a federation `bench`, keys for all of it, users by the thousand.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Secret;
use domain::admins::{Admin, Role};
use domain::federations::{Federation, Slug};
use domain::scopes::Scope;
use domain::upstreams::Limits;
use ops::federations::NewFederation;
use ops::gateway::target::NewUpstream;
use ops::keys::NewKey;
use ops::vault::MasterKey;
use ops::{Clock, Cx, Entropy, Keyward as Installation, Settings, brakes::NewWindow};
use sha2::{Digest, Sha256};
use tower_sessions::session::{Id, Record};

use crate::{Outcome, now, say};

/// Changed whenever what [`kept`] fills a database with changes.
const FORMAT: &str = "1";

/// The most keys of one federation: each new one looks at those that there are.
const KEYS: u32 = 100;

/// A key and where it opens.
#[derive(Clone)]
pub struct IssuedKey {
    /// The path of its federation's SCIM base.
    pub base: String,
    /// The key itself.
    pub secret: String,
}

/// What an installation is opened with.
#[derive(Clone)]
pub struct Place {
    /// Its database.
    pub target: store::Target,
    /// Its master key, in hexadecimal.
    pub master_key: String,
}

/// What it needs.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Keys beside the first.
    pub more_keys: u32,
    /// The SCIM base that the federation forwards to; the embedded directory without one.
    pub upstream: Option<&'a str>,
}

/// A master key that nobody has.
pub fn master_key() -> String {
    let mut chance = [0; 32];
    Random.fill(&mut chance);
    // The digest is as random as what it is of, and knows how to write itself in hexadecimal.
    format!("{:x}", Sha256::digest(chance))
}

/// Makes the database, registers the federation `bench`, and issues keys for all of it; many keys belong to as many
/// more federations as they need.
///
/// # Errors
/// When the database does not take it.
pub async fn make(place: &Place, wanted: Wanted<'_>) -> Outcome<Vec<IssuedKey>> {
    store::migrate(&place.target).await?;
    let keyward = open(place).await?;
    let admin = admin();
    #[expect(clippy::disallowed_methods, reason = "the load owns the database that it measures")]
    let cx = Cx::new(Arc::clone(&keyward), admin, keyward.request_info());
    let mut federation = federation(&cx, "bench").await?;
    plan(&cx, &federation.slug).await?;
    if let Some(base_url) = wanted.upstream {
        federation = forward(&cx, &federation, base_url).await?;
    }
    let mut slug = federation.slug;
    let mut keys = Vec::new();
    for from in (0..=wanted.more_keys).step_by(KEYS as usize) {
        if from > 0 {
            slug = self::federation(&cx, &format!("bench-{from}")).await?.slug;
        }
        let issued: Vec<_> = (from..=wanted.more_keys.min(from + KEYS - 1))
            .map(|number| tokio::spawn(issue(cx.clone(), slug.clone(), number)))
            .collect();
        for key in issued {
            keys.push(key.await??);
        }
    }
    keyward.close().await;
    Ok(keys)
}

/// Opens it, as a server would. Two of them at one SQLite file are refused.
///
/// # Errors
/// When the database is not there, or belongs to another master key.
pub async fn open(place: &Place) -> Outcome<Arc<Installation>> {
    let settings = Settings {
        public_url: "http://127.0.0.1".to_owned(),
        strict_reads: false,
        usage_retention_days: 400,
        journal_retention_days: 400,
    };
    let master_key = MasterKey::new(bytes_of(&place.master_key)?);
    let target = place.target.clone();
    Ok(Installation::open(target, &master_key, Arc::new(Now), Arc::new(Random), settings).await?)
}

fn admin() -> Admin {
    Admin {
        issuer: "load".to_owned(),
        subject: "load".to_owned(),
        name: "Load".to_owned(),
        email: None,
        role: Role::Admin,
    }
}

/// Begins a session of an administrator without a provider: whoever has the database and its master key can. The
/// cookie of a browser that is signed in with it. The server must not run.
///
/// # Errors
/// When the database does not take it.
pub async fn sign_in(place: &Place) -> Outcome<String> {
    let keyward = open(place).await?;
    let (began_ms, ends_ms) = (Now.now_ms(), Now.now_ms() + 12 * domain::HOUR_MS);
    let mut chance = [0; 16];
    Random.fill(&mut chance);
    let id = Id(i128::from_be_bytes(chance));
    let held = serde_json::json!({
        "admin": admin(), "began_ms": began_ms, "ends_ms": ends_ms, "seen_ms": began_ms, "id_token": null,
    });
    let expiry_date = time::OffsetDateTime::from_unix_timestamp(ends_ms / 1_000)?;
    let record = Record { id, data: [("signed-in".to_owned(), held)].into(), expiry_date };
    let id_hash = domain::hex(&Sha256::digest(id.to_string()));
    ops::sessions::create(&keyward, &id_hash, &serde_json::to_vec(&record)?, ends_ms).await?;
    keyward.close().await;
    Ok(format!("keyward={id}"))
}

async fn issue(cx: Cx<Admin>, slug: Slug, number: u32) -> Outcome<IssuedKey> {
    let base = format!("/scim/{slug}/v2");
    let key = NewKey {
        federation: slug,
        name: format!("load {} {number}", Now.now_ms()),
        scope: Scope::full_directory(),
        lifetime_days: 1,
        justification: "the load may do everything".to_owned(),
        idempotency_token: String::new(),
    };
    let secret = ops::keys::issue(&cx, key).await?.secret.ok_or("the key was issued before")?;
    Ok(IssuedKey { base, secret: secret.expose().to_owned() })
}

/// Checkers and loads remove as many as they like: work that is planned, and agreed by a second person.
async fn plan(cx: &Cx<Admin>, slug: &Slug) -> Outcome {
    let overview = ops::brakes::overview(cx, slug).await?;
    if !overview.windows.is_empty() {
        return Ok(());
    }
    let begins_ms = cx.now_ms();
    let window = NewWindow {
        ceiling: 100_000,
        begins_ms,
        ends_ms: begins_ms + domain::DAY_MS,
        reason: "a load that removes as it likes".to_owned(),
    };
    let window = ops::brakes::plan(cx, slug, window).await?;
    let second = Admin { subject: "second".to_owned(), name: "Second".to_owned(), ..cx.actor().clone() };
    #[expect(clippy::disallowed_methods, reason = "the load owns the database that it measures")]
    let second = Cx::new(Arc::clone(cx.shared()), second, cx.request().clone());
    ops::brakes::agree(&second, slug, &window.id).await?;
    Ok(())
}

async fn federation(cx: &Cx<Admin>, slug: &str) -> Outcome<Federation> {
    let slug = Slug::parse(slug).map_err(|_| format!("{slug} is no slug"))?;
    if let Ok(known) = ops::federations::open(cx, &slug).await {
        return Ok(known.federation);
    }
    let federation = NewFederation {
        slug: slug.to_string(),
        name: "Bench".to_owned(),
        vendor: "other".to_owned(),
        owners: "bench".to_owned(),
        notes: String::new(),
        max_age_days: 90,
        overlap_hours: 72,
        warn_days: 14,
    };
    Ok(ops::federations::register(cx, federation).await?)
}

async fn forward(cx: &Cx<Admin>, federation: &Federation, base_url: &str) -> Outcome<Federation> {
    let upstream = NewUpstream {
        version: federation.version,
        base_url: base_url.to_owned(),
        sign_in: "bearer".to_owned(),
        user: String::new(),
        token_url: String::new(),
        client_id: String::new(),
        scope: String::new(),
        secret: Secret::new("a-token-of-the-load".to_owned()),
        trusted_ca: String::new(),
        quirks: Vec::new(),
        limits: Limits { timeout_ms: 10_000, concurrency: 256 },
    };
    Ok(ops::gateway::target::set_upstream(cx, &federation.slug, upstream).await?)
}

fn slug() -> Outcome<Slug> {
    Slug::parse("bench").map_err(|_| "bench is a slug".into())
}

/// Fills the federation `bench` of a database with the users `u0`, `u1`, …
///
/// # Errors
/// When it does not take them.
pub async fn fill(target: &store::Target, users: u32) -> Outcome {
    Ok(store::raw::fill(target, &slug()?, users.into()).await?)
}

/// A SQLite file with so many users and its master key, kept in `scratch` for as long as the schema is the same.
///
/// # Errors
/// When it cannot be made.
pub async fn kept(scratch: &Path, users: u32) -> Outcome<(PathBuf, String)> {
    let kept = scratch.join("kept");
    let folder = kept.join(format!("{}-{FORMAT}", store::raw::schema()));
    let (file, key_file) = (folder.join(format!("{users}.db")), folder.join(format!("{users}.key")));
    if file.is_file() {
        return Ok((file, std::fs::read_to_string(key_file)?));
    }
    if !folder.is_dir() && kept.is_dir() {
        // Those of another schema are of no use to anybody.
        std::fs::remove_dir_all(&kept)?;
    }
    std::fs::create_dir_all(&folder)?;
    let since = now();
    let half = folder.join(format!("{users}.half"));
    for end in ["", "-wal", "-shm", ".lock"] {
        let _ = std::fs::remove_file(format!("{}{end}", half.display()));
    }
    let place = Place { target: store::Target::sqlite(half.clone()), master_key: master_key() };
    make(&place, Wanted::default()).await?;
    fill(&place.target, users).await?;
    std::fs::write(&key_file, &place.master_key)?;
    std::fs::rename(&half, &file)?;
    say(&format!("  {users} users written in {:.1} s", since.elapsed().as_secs_f64()));
    Ok((file, place.master_key))
}

fn bytes_of(hex: &str) -> Outcome<[u8; 32]> {
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits)?, 16)?;
    }
    Ok(bytes)
}

/// The clock of the machine.
pub struct Now;

impl Clock for Now {
    #[expect(clippy::disallowed_methods, reason = "the load has no clock but the machine's")]
    fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic_us(&self) -> i64 {
        self.now_ms() * 1_000
    }
}

struct Random;

impl Entropy for Random {
    fn fill(&self, bytes: &mut [u8]) {
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(bytes));
        read.expect("Linux has /dev/urandom");
    }
}
