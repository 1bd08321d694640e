//! The pages that list, on a database as a large installation has it: how long each takes on the server, on both
//! databases; and the audit log of a million records, verified and proven.
//!
//! One browser asks for each page in turn, over one connection, signed in by a session that the owner of the
//! database made: what is measured is the time from the request to the last byte of the page.

use std::fmt::Write as _;
use std::time::Duration;

use store::Store;

use super::Args;
use crate::client::Client;
use crate::keyward::{Keyward, Plan};
use crate::lifelike::{self, Sizes};
use crate::{Outcome, installation, meter, now, say};

/// The longest that one page in twenty may take, in milliseconds.
const MOST_MS: f64 = 300.0;

/// How often each page is asked for, after twice to warm up.
const TIMES: usize = 40;

/// How many records are proven.
const PROVEN: i64 = 200;

/// What is asked for, and what it is called. `{…}` are filled in with what the database holds.
const PAGES: [(&str, &str); 60] = [
    ("overview", "/"),
    ("federations", "/federations"),
    ("keys", "/keys"),
    ("keys: accepted", "/keys?state=accepted"),
    ("keys: in use", "/keys?state=in-use"),
    ("keys: held", "/keys?state=held"),
    ("keys: revoked", "/keys?state=revoked"),
    ("keys: static", "/keys?proof=static"),
    ("keys: of one federation", "/keys?federation={slug}"),
    ("keys: text", "/keys?q=nightly"),
    ("keys: text that nothing has", "/keys?q=nothing-is-called-so"),
    ("keys: ends first", "/keys?sort=ends"),
    ("keys: oldest first", "/keys?sort=age"),
    ("keys: last used first", "/keys?sort=used"),
    ("keys: by name", "/keys?sort=name"),
    ("keys: second page", "/keys?after={keys}"),
    ("rotation board", "/rotation"),
    ("rotation board of one federation", "/rotation?federation={slug}"),
    ("findings", "/findings"),
    ("findings: critical", "/findings?severity=critical"),
    ("findings: of a rule", "/findings?rule={rule}"),
    ("findings: of one federation", "/findings?federation={slug}"),
    ("findings: closed", "/findings?state=closed"),
    ("findings: muted", "/findings?state=muted"),
    ("cases", "/cases"),
    ("usage", "/usage"),
    ("usage: of one federation", "/usage?federation={slug}"),
    ("usage: of one key", "/usage?key={key}"),
    ("usage: denied", "/usage?decision=denied"),
    ("usage: refused", "/usage?decision=refused"),
    ("usage: 5xx", "/usage?status=5xx"),
    ("usage: DELETE", "/usage?method=DELETE"),
    ("usage: groups", "/usage?type=Groups"),
    ("usage: a resource", "/usage?resource={user}"),
    ("usage: a person", "/usage?federation={slug}&person={name}"),
    ("usage: a source", "/usage?source=198.51.7.17"),
    ("usage: an agent", "/usage?agent=AADSyncFabric"),
    ("usage: an attribute", "/usage?attribute=title"),
    ("usage: tests", "/usage?work=no"),
    ("usage: a month ago", "/usage?to={month}"),
    ("usage: a request", "/usage?request={request}"),
    ("usage: second page", "/usage?cursor={usage}"),
    ("live usage", "/usage/live"),
    ("users", "/federations/{slug}/users"),
    ("users: a name", "/federations/{slug}/users?text=ada"),
    ("users: an address", "/federations/{slug}/users?by=email&text={name}"),
    ("users: not active", "/federations/{slug}/users?inactive=yes"),
    ("groups", "/federations/{slug}/groups"),
    ("audit", "/audit"),
    ("audit: of one federation", "/audit?federation={slug}"),
    ("audit: of one key", "/audit?key={key}"),
    ("audit: of one person", "/audit?actor={actor}"),
    ("audit: users created", "/audit?action=user.created"),
    ("audit: keys revoked", "/audit?action=key.revoked"),
    ("audit: sessions ended", "/audit?action=session.ended"),
    ("audit: refused", "/audit?outcome=refused"),
    ("audit: a month ago", "/audit?to={month}"),
    ("audit: in the middle", "/audit?before={middle}"),
    ("audit: one record", "/audit/{middle}"),
    ("compliance", "/compliance"),
];

/// What was measured of one database.
struct Measured {
    engine: &'static str,
    /// The median and the 95th percentile of each page in milliseconds, and its size in KiB; nothing where there is no
    /// such page.
    pages: Vec<Option<[f64; 3]>>,
    /// Audit records a second, and the most memory in MiB.
    verify: [f64; 2],
    /// The 95th percentile of a proof in milliseconds.
    proof_ms: f64,
}

/// Measures, and gives the tables.
pub async fn run(args: &Args) -> Outcome<String> {
    let mut all = vec![measure(args, "SQLite", None).await?];
    if let Some(url) = &args.lists_postgres {
        all.push(measure(args, "Postgres", Some(url)).await?);
    }
    Ok(table(&all, &args.sizes))
}

async fn measure(args: &Args, engine: &'static str, database: Option<&str>) -> Outcome<Measured> {
    say(&format!("  {engine}"));
    let plan = Plan { scratch: Some(&args.scratch), database, ..Plan::default() };
    let mut keyward = Keyward::prepare_with(&args.keyward, &format!("bench-lists-{engine}"), plan).await?;
    let place = keyward.place()?;
    lifelike::fill(&place, args.sizes, lifelike::settled_ms()).await?;
    let verify = verify(&keyward, &place).await?;
    let proof_ms = prove(&place).await?;
    let cookie = installation::sign_in(&place).await?;
    let known = Known::look(&place).await?;
    keyward.start().await?;
    let mut client = Client::connect(keyward.port, "").await?;
    client.sign_in(&cookie);
    let mut pages = Vec::new();
    for (name, path) in PAGES {
        let path = known.fill(&mut client, path).await?;
        let page = ask(&mut client, &path).await.map_err(|error| format!("{error}\n{}", keyward.log()))?;
        if let Some([median, most, size]) = page {
            say(&format!("    {name}: {median:.0}, {most:.0} ms, {size:.0} KiB"));
        }
        pages.push(page);
    }
    Ok(Measured { engine, pages, verify, proof_ms })
}

/// Asks for a page again and again; nothing where there is no such page.
async fn ask(client: &mut Client, path: &str) -> Outcome<Option<[f64; 3]>> {
    let mut times = Vec::with_capacity(TIMES);
    let mut size = 0;
    for turn in 0..TIMES + 2 {
        let since = now();
        let answer = client.send("GET", path, "").await?;
        let took = since.elapsed().as_secs_f64() * 1e3;
        match answer.status {
            200 => {}
            404 if turn == 0 => return Ok(None),
            status => return Err(format!("GET {path}: {status}").into()),
        }
        size = answer.body.len();
        if turn >= 2 {
            times.push(took);
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0.0);
    let size = u32::try_from(size).map_or(f64::MAX, f64::from) / 1_024.0;
    Ok(Some([at(50), at(95), size]))
}

/// What is put into the addresses.
struct Known {
    slug: String,
    key: String,
    user: String,
    name: String,
    actor: String,
    request: String,
    month: String,
    middle: i64,
}

impl Known {
    /// Looks into the database: its first federation has the most users.
    async fn look(place: &installation::Place) -> Outcome<Self> {
        let store = Store::open(place.target.clone()).await?;
        let mut reader = store.read().await?;
        let conn = &mut reader.conn();
        let federations = store::federations::list(conn).await?;
        let federation = federations
            .iter()
            .find(|federation| federation.slug.as_str().ends_with("-0000"))
            .ok_or("the seed made no federation")?;
        let keys = store::keys::of_federation(conn, &federation.id).await?;
        let key = keys.iter().max_by_key(|key| key.uses).ok_or("the first federation has no key")?;
        let records = store::usage::of_key(conn, &federation.id, &key.id, 500).await?;
        let record = records
            .iter()
            .rev()
            .find(|record| record.resource_id.is_some() && record.resource_type == "Users")
            .ok_or("its key was never used for a user")?;
        let id =
            domain::ResourceId::parse(record.resource_id.as_deref().unwrap_or_default()).ok_or("no id")?;
        let user = store::users::by_id(conn, &federation.id, &id).await?.ok_or("the user is not there")?;
        let actors = store::audit::actors(conn).await?;
        let head = store::audit::head(conn).await?;
        let month_ms = lifelike::settled_ms() - 30 * domain::DAY_MS;
        let known = Self {
            slug: federation.slug.to_string(),
            key: key.id.to_string(),
            user: id.to_string(),
            name: user.user_name,
            actor: actors.first().map(|actor| encoded(&actor.id)).unwrap_or_default(),
            request: record.request_id.to_string(),
            month: day(month_ms),
            middle: head.seq / 2,
        };
        drop(reader);
        store.close().await;
        Ok(known)
    }

    /// An address with what it names; cursors are taken from the page before.
    async fn fill(&self, client: &mut Client, path: &str) -> Outcome<String> {
        let mut path = path.to_owned();
        let texts = [
            ("{slug}", &self.slug),
            ("{key}", &self.key),
            ("{user}", &self.user),
            ("{name}", &self.name),
            ("{actor}", &self.actor),
            ("{request}", &self.request),
            ("{month}", &self.month),
        ];
        for (word, text) in texts {
            path = path.replace(word, text);
        }
        path = path.replace("{middle}", &self.middle.to_string());
        path = path.replace("{rule}", domain::findings::Rule::NewNetwork.as_str());
        for (word, page, parameter) in [("{keys}", "/keys", "after="), ("{usage}", "/usage", "cursor=")] {
            if path.contains(word) {
                path = path.replace(word, &cursor(client, page, parameter).await?);
            }
        }
        Ok(path)
    }
}

/// The cursor in the last link of a page.
async fn cursor(client: &mut Client, page: &str, parameter: &str) -> Outcome<String> {
    let answer = client.send("GET", page, "").await?;
    let text = String::from_utf8(answer.body)?;
    let (_, rest) = text.rsplit_once(parameter).ok_or_else(|| format!("{page} has no next page"))?;
    let end = rest.find(['"', '&']).unwrap_or(rest.len());
    Ok(rest[..end].to_owned())
}

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A day as the fields of dates have it.
fn day(at_ms: i64) -> String {
    // Civil from days (Hinnant): no library for one date.
    let days = at_ms.div_euclid(domain::DAY_MS) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Walks the log with the command that people walk it with: records a second, and the most memory it held.
async fn verify(keyward: &Keyward, place: &installation::Place) -> Outcome<[f64; 2]> {
    let records = {
        let store = Store::open(place.target.clone()).await?;
        let head = store::audit::head(&mut store.read().await?.conn()).await?.seq;
        store.close().await;
        head
    };
    let since = now();
    let mut child = keyward.spawn(&["audit", "verify"])?;
    let mut most_mib: f64 = 0.0;
    let status = loop {
        // The most is never less than before, so the last look tells nearly all.
        most_mib = most_mib.max(meter::most_resident_mib(child.id()).unwrap_or(0.0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let seconds = since.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("`keyward audit verify` ended with {status}:\n{}", keyward.log()).into());
    }
    let records = u32::try_from(records).map_or(f64::MAX, f64::from);
    say(&format!("    {records:.0} audit records verified in {seconds:.1} s, {most_mib:.0} MiB"));
    Ok([records / seconds, most_mib])
}

/// How long it takes to prove one record of the log.
async fn prove(place: &installation::Place) -> Outcome<f64> {
    let store = Store::open(place.target.clone()).await?;
    let mut reader = store.read().await?;
    let conn = &mut reader.conn();
    let head = store::audit::head(conn).await?.seq;
    let mut times = Vec::new();
    for number in 0..PROVEN {
        let seq = 1 + (head - 1) * number / PROVEN;
        let since = now();
        ops::audit::proof::prove_in(conn, seq).await?.ok_or("no checkpoint is over the record")?;
        times.push(since.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    drop(reader);
    store.close().await;
    Ok(times.get(times.len() * 95 / 100).copied().unwrap_or(0.0))
}

/// A figure and whether it is what it should be.
type Figure = fn(&Measured) -> (f64, bool);

fn table(all: &[Measured], sizes: &Sizes) -> String {
    let mut text = format!(
        "{} federations, {} keys, {} usage records, {} audit records, {} users.\n\n| page |",
        sizes.federations, sizes.provisioning_keys, sizes.usage_records, sizes.audit_records, sizes.people
    );
    for Measured { engine, .. } in all {
        let _ = write!(text, " {engine}: p50, p95 ms | |");
    }
    text.push_str(" KiB |\n|---|");
    text.push_str(&"---|---|".repeat(all.len()));
    text.push_str("---|\n");
    for (place, (name, _)) in PAGES.iter().enumerate() {
        if all.iter().all(|measured| measured.pages[place].is_none()) {
            continue;
        }
        let _ = write!(text, "| {name} |");
        let mut size = 0.0;
        for measured in all {
            let [median, most, kib] = measured.pages[place].unwrap_or_default();
            let _ = write!(text, " {median:.0}, **{most:.0}** | {} |", verdict(most <= MOST_MS));
            size = kib;
        }
        let _ = writeln!(text, " {size:.0} |");
    }
    let _ = writeln!(text, "\nTarget: p95 ≤ {MOST_MS:.0} ms.\n");
    text.push_str("| the audit log | target |");
    for Measured { engine, .. } in all {
        let _ = write!(text, " {engine} | |");
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|---|".repeat(all.len()));
    let rows: [(&str, &str, Figure); 3] = [
        ("`keyward audit verify`, records/s", "≥ 1,000,000", |of| (of.verify[0], of.verify[0] >= 1e6)),
        ("its most memory, MiB", "≤ 256", |of| (of.verify[1], of.verify[1] <= 256.0)),
        ("proof of one record, p95 ms", "≤ 10", |of| (of.proof_ms, of.proof_ms <= 10.0)),
    ];
    for (name, target, value) in rows {
        let _ = write!(text, "\n| {name} | {target} |");
        for measured in all {
            let (value, is_met) = value(measured);
            let places = usize::from(value < 100.0);
            let _ = write!(text, " **{value:.places$}** | {} |", verdict(is_met));
        }
    }
    text.push('\n');
    text
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_the_fields_of_dates_have_it() {
        assert_eq!(
            [0, 951_782_400_000, 1_798_761_599_999].map(day),
            ["1970-01-01", "2000-02-29", "2026-12-31"]
        );
    }

    #[test]
    fn what_an_address_cannot_hold_is_encoded() {
        assert_eq!(encoded("https://a person"), "https%3A%2F%2Fa%20person");
    }
}
