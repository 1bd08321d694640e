//! Every route of the dashboard, what is sent to it, and what each role is answered.

/// Statuses for an admin, a manager, the operator of the federation, and the operator of another.
pub(super) type Row = (&'static str, &'static str, &'static str, [u16; 4]);

pub(super) const FEDERATION: &str =
    "slug=new&name=New&vendor=okta&owners=a&max_age_days=90&overlap_hours=72&warn_days=14";
pub(super) const EDIT: &str =
    "version=1&name=Renamed&vendor=okta&owners=a&max_age_days=90&overlap_hours=72&warn_days=14";
pub(super) const KEY: &str =
    "federation=own&name=another&scope=read-only&lifetime_days=30&idempotency_token=t1";

pub(super) const CLIENT: &str = "version=1&jwks_uri=https%3A%2F%2Fid.example.com%2Fother";

pub(super) const TARGET: &str = "version=5&base_url=http%3A%2F%2F127.0.0.1%3A9%2Fv2&sign_in=bearer&secret=abc&timeout_ms=500&concurrency=1";

pub(super) const POLICY: &str =
    "version=4&max_age_days=90&overlap_hours=72&warn_days=14&automatic=no&rotate_before_days=20";

pub(super) const DEFAULTS: &str = "version=0&automatic=no&rotate_before_days=14&silence_cycles=3&least_silence_minutes=1500\
    &on_deadline=extend&windows=&jitter_minutes=60&max_open_per_vendor=10";

pub(super) const EXCEPTION: &str = "owner=legal&reason=renewal+of+the+contract&ends=2026-01-11";

pub(super) const APPROVAL: &str = "verdict=approve&until={until}&hash={hash}&reason=looked+at+it";

pub(super) const WINDOW: &str =
    "ceiling=5&begins=2026-01-01+00%3A00&ends=2026-01-01+12%3A00&reason=a+lay-off";

/// `{"id":"urn:example:a:User","attributes":[{"name":"badge","type":"string"}]}`
pub(super) const SCHEMA: &str = "resource_type=User&json=%7B%22id%22%3A%22urn%3Aexample%3Aa%3AUser%22%2C%22attributes%22%3A%5B%7B%22name%22%3A%22badge%22%2C%22type%22%3A%22string%22%7D%5D%7D";

pub(super) const DELIVERY: &str = "connector=webhook&name=Another&url=http%3A%2F%2F127.0.0.1%3A9%2F&credential=whsec_C2FVsBQIhrscChlQIMV%2Bb5sSYspob7oD";

pub(super) const DELIVERY_EDIT: &str =
    "version=01&connector=webhook&name=Renamed&url=http%3A%2F%2F127.0.0.1%3A9%2F";

pub(super) const CHANNEL: &str = "kind=webhook&name=hook&url=http%3A%2F%2F127.0.0.1%3A9%2F&least=medium";

pub(super) const ATTESTATION: &str = "period=2026-01&text=I+have+looked+at+it.&seen={seen}&confirmed=yes";

/// The order counts: what comes later stands on what came before.
pub(super) const ROUTES: &[Row] = &[
    ("GET", "/", "", [200, 200, 200, 200]),
    ("GET", "/federations", "", [200, 200, 200, 200]),
    ("GET", "/federations/new", "", [200, 403, 403, 403]),
    ("GET", "/federations/own", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/edit", "", [200, 403, 200, 404]),
    ("GET", "/federations/own/setup", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/target", "", [200, 403, 403, 404]),
    ("GET", "/federations/own/schemas", "", [200, 403, 200, 404]),
    ("GET", "/federations/own/delivery", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/delivery/new?connector=webhook", "", [200, 403, 200, 404]),
    ("GET", "/federations/own/delivery/{target}", "", [200, 403, 200, 404]),
    ("GET", "/federations/own/users", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/users?by=email&text=a", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/users/{user}", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/groups", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/groups/{user}", "", [404, 404, 404, 404]),
    ("GET", "/federations/own/blast", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/blast?key={key}&line=yes", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/blast?case={case}", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/undo", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/undo/{undo}", "", [200, 200, 200, 404]),
    ("GET", "/keys", "", [200, 200, 200, 200]),
    ("GET", "/keys/new", "", [200, 403, 200, 200]),
    ("GET", "/keys/new?federation=own", "", [200, 403, 200, 200]),
    ("GET", "/keys/{key}", "", [200, 200, 200, 404]),
    ("GET", "/keys/{key}/rotate", "", [200, 403, 200, 404]),
    ("GET", "/keys/{key}/revoke", "", [200, 403, 200, 404]),
    ("GET", "/keys/{client}/client", "", [200, 403, 200, 404]),
    ("GET", "/keys/{key}/hold", "", [200, 403, 200, 404]),
    ("GET", "/keys/{key}/scope", "", [200, 403, 200, 404]),
    ("GET", "/keys/{key}/tighten", "", [200, 403, 200, 404]),
    ("GET", "/rotation", "", [200, 200, 200, 200]),
    ("GET", "/rotation?federation=own", "", [200, 200, 200, 404]),
    ("GET", "/rotation/{rotation}", "", [200, 200, 200, 404]),
    ("GET", "/rotation/{rotation}/hold", "", [200, 403, 200, 404]),
    ("GET", "/rotation/{rotation}/release", "", [200, 403, 200, 404]),
    ("GET", "/rotation/{rotation}/finish", "", [200, 403, 200, 404]),
    ("GET", "/rotation/{rotation}/roll-back", "", [200, 403, 200, 404]),
    ("GET", "/rotation/{rotation}/nothing", "", [404, 404, 404, 404]),
    ("GET", "/federations/own/rotation", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/behaviour", "", [200, 200, 200, 404]),
    ("GET", "/settings/rotation", "", [200, 403, 403, 403]),
    ("GET", "/keys/{canary}/compromise", "", [200, 403, 200, 404]),
    ("GET", "/keys/{key}/hand-over", "", [200, 403, 200, 404]),
    ("GET", "/federations/own/canary", "", [200, 403, 200, 404]),
    ("GET", "/findings", "", [200, 200, 200, 200]),
    ("GET", "/findings?federation=own", "", [200, 200, 200, 404]),
    ("GET", "/cases", "", [200, 200, 200, 200]),
    ("GET", "/cases/{case}", "", [200, 200, 200, 404]),
    ("GET", "/cases/{braked}/held", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/brakes", "", [200, 200, 200, 404]),
    ("GET", "/federations/own/brakes/window", "", [200, 403, 200, 404]),
    ("GET", "/federations/own/brakes/mark", "", [200, 403, 403, 404]),
    ("GET", "/federations/own/brakes/allow", "", [200, 200, 403, 404]),
    ("GET", "/compliance", "", [200, 200, 200, 200]),
    ("GET", "/compliance?status=overdue&text=own", "", [200, 200, 200, 200]),
    ("GET", "/compliance/attestations", "", [200, 200, 403, 403]),
    ("GET", "/compliance/attestations/new?period=2026-01", "", [200, 200, 403, 403]),
    ("GET", "/compliance/attestations/{attestation}", "", [200, 200, 403, 403]),
    ("GET", "/compliance/attestations/nothing", "", [404, 404, 404, 404]),
    ("GET", "/compliance/evidence?period=2026-01", "", [200, 200, 403, 403]),
    ("GET", "/settings", "", [200, 200, 404, 404]),
    ("GET", "/settings/channels", "", [200, 200, 404, 404]),
    ("GET", "/hand-over/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "", [404, 404, 404, 404]),
    ("GET", "/usage", "", [200, 200, 200, 200]),
    ("GET", "/usage?federation=own", "", [200, 200, 200, 404]),
    ("GET", "/usage/live", "", [200, 200, 200, 200]),
    ("GET", "/usage/live?federation=own", "", [200, 200, 200, 404]),
    ("GET", "/usage/requests/req_0123456789012345678901", "", [404, 404, 404, 404]),
    ("GET", "/api/usage", "", [200, 200, 200, 200]),
    ("GET", "/api/usage?federation=own", "", [200, 200, 200, 404]),
    ("GET", "/api/usage?status=none", "", [400, 400, 400, 400]),
    ("GET", "/exports/usage?federation=own", "", [200, 200, 200, 404]),
    ("GET", "/exports/audit?federation=own&format=jsonl", "", [200, 200, 200, 404]),
    ("GET", "/exports/findings?federation=own&format=ocsf", "", [200, 200, 200, 404]),
    ("GET", "/exports/evidence?period=2026-01&format=json", "", [200, 200, 403, 403]),
    ("GET", "/exports/evidence?period=2026-01&format=word", "", [400, 400, 400, 400]),
    ("GET", "/exports/nothing", "", [404, 404, 404, 404]),
    // A stream does not end; what is refused does.
    ("GET", "/live/usage?status=none", "", [400, 400, 400, 400]),
    ("GET", "/audit", "", [200, 200, 200, 200]),
    ("GET", "/audit?federation=own", "", [200, 200, 200, 404]),
    ("GET", "/audit/1", "", [200, 200, 404, 404]),
    ("GET", "/audit/{seq}", "", [200, 200, 200, 404]),
    // No checkpoint is over it yet.
    ("GET", "/audit/{seq}/proof", "", [409, 409, 409, 404]),
    ("GET", "/api/search?text=own", "", [200, 200, 200, 200]),
    ("GET", "/api/keys/activity?key={key}", "", [200, 200, 200, 404]),
    // First of all: what is signed is the state that was seen.
    ("POST", "/compliance/attestations/new", ATTESTATION, [303, 303, 403, 403]),
    ("POST", "/audit/export", "first=1&last=1", [200, 200, 403, 403]),
    ("POST", "/federations/new", FEDERATION, [303, 403, 403, 403]),
    ("POST", "/federations/own/edit", EDIT, [303, 403, 303, 404]),
    ("POST", "/federations/own/pause", "", [303, 403, 303, 404]),
    ("POST", "/federations/own/resume", "", [303, 403, 303, 404]),
    // These are the rules already.
    ("POST", "/federations/own/behaviour", "version=4&r1.most=500", [409, 403, 409, 404]),
    ("POST", "/federations/own/rotation/preview", POLICY, [200, 200, 200, 404]),
    ("POST", "/federations/own/rotation", POLICY, [303, 403, 303, 404]),
    ("POST", "/federations/own/rotation/exceptions", EXCEPTION, [303, 403, 303, 404]),
    ("POST", "/federations/own/rotation/exceptions/{exception}/end", "", [303, 403, 303, 404]),
    ("POST", "/settings/rotation/preview", DEFAULTS, [200, 403, 403, 403]),
    ("POST", "/settings/rotation", DEFAULTS, [303, 403, 403, 403]),
    ("POST", "/rotation/clock", "", [409, 403, 403, 403]),
    ("POST", "/rotation/{rotation}/hold", "reason=not+today", [303, 403, 303, 404]),
    ("POST", "/rotation/{rotation}/release", "", [303, 403, 303, 404]),
    ("POST", "/rotation/{rotation}/finish", "reason=now", [409, 403, 409, 404]),
    ("POST", "/rotation/{rotation}/roll-back", "reason=later", [303, 403, 303, 404]),
    ("POST", "/keys/{key}/scope", "version=0&when=next&grant=users-read", [409, 403, 409, 404]),
    ("POST", "/keys/{key}/tighten", "version=0&when=now&grant=users-read", [409, 403, 409, 404]),
    ("POST", "/keys/{key}/hold", "reason=looking", [303, 403, 303, 404]),
    ("POST", "/keys/{key}/release", "", [303, 403, 303, 404]),
    (
        "POST",
        "/findings/close",
        "federation=own&finding={finding}&version=1&reason=known",
        [303, 403, 303, 404],
    ),
    ("POST", "/cases/{case}/blast", "", [303, 403, 303, 404]),
    ("POST", "/federations/own/undo", "plan=00", [409, 403, 409, 404]),
    ("POST", "/federations/own/undo/{undo}", "", [303, 403, 303, 404]),
    (
        "POST",
        "/findings/mute",
        "federation=own&rule=over-age&subject=&reason=known&days=3",
        [303, 403, 303, 404],
    ),
    (
        "POST",
        "/findings/mute",
        "federation=&rule=over-age&subject=&reason=known&days=3",
        [303, 403, 404, 404],
    ),
    ("POST", "/findings/unmute", "federation=own&mute=mut_0123456789012345678901", [404, 403, 404, 404]),
    ("POST", "/cases/{case}/note", "note=looked+into", [303, 403, 303, 404]),
    ("POST", "/cases/{case}/revoke", "", [303, 403, 303, 404]),
    ("POST", "/cases/{case}/close", "version=1&summary=Somebody+read+the+wiki.", [303, 403, 303, 404]),
    ("POST", "/keys/{canary}/compromise", "stop=hold&reason=seen", [303, 403, 303, 404]),
    ("POST", "/keys/{canary}/hand-over", "person=ana%40example.com", [409, 403, 409, 404]),
    ("POST", "/federations/own/canary", "name=bait&place=a+wiki", [200, 403, 200, 404]),
    ("POST", "/settings/channels", CHANNEL, [200, 403, 404, 404]),
    ("POST", "/settings/channels/{channel}/test", "", [303, 403, 404, 404]),
    ("POST", "/settings/channels/{channel}/remove", "", [303, 403, 404, 404]),
    ("POST", "/hand-over/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "", [404, 404, 404, 404]),
    // Nobody approves what a key of their own has asked for: the admin issued it.
    ("POST", "/cases/{braked}/held", APPROVAL, [403, 303, 403, 404]),
    ("POST", "/federations/own/brakes/window", WINDOW, [303, 403, 303, 404]),
    // Nor agrees to their own plan.
    ("POST", "/federations/own/brakes/window/{window}/agree", "", [403, 303, 403, 404]),
    ("POST", "/federations/own/brakes/window/{window}/end", "", [303, 303, 303, 404]),
    ("POST", "/federations/own/brakes/mark", "resource=nobody&kind=canary&reason=bait", [422, 403, 403, 404]),
    ("POST", "/federations/own/brakes/mark/{marked}/remove", "reason=over", [303, 403, 403, 404]),
    (
        "POST",
        "/federations/own/brakes/allow",
        "kind=domain&value=partner.example&reason=merger",
        [303, 303, 403, 404],
    ),
    ("POST", "/federations/own/target", TARGET, [303, 403, 403, 404]),
    ("POST", "/federations/own/target/test", "", [303, 403, 409, 404]),
    ("POST", "/federations/own/target/probe", "", [303, 403, 409, 404]),
    ("POST", "/federations/own/target/quirks", "", [409, 403, 403, 404]),
    ("POST", "/federations/own/target/approve", "type=User&id=nobody", [409, 403, 409, 404]),
    ("POST", "/federations/own/target/embedded", "version=6", [303, 403, 403, 404]),
    ("POST", "/federations/own/schemas", SCHEMA, [303, 403, 303, 404]),
    ("POST", "/federations/own/schemas/remove", "urn=urn%3Aexample%3Aa%3AUser", [303, 403, 303, 404]),
    ("POST", "/federations/own/delivery/new", DELIVERY, [303, 403, 303, 404]),
    ("POST", "/federations/own/delivery/{target}", DELIVERY_EDIT, [303, 403, 303, 404]),
    ("POST", "/federations/own/delivery/{target}/later", "", [303, 403, 303, 404]),
    ("POST", "/federations/own/delivery/{target}/earlier", "", [303, 403, 303, 404]),
    ("POST", "/federations/own/delivery/{target}/test", "", [303, 403, 303, 404]),
    ("POST", "/federations/own/delivery/{target}/remove", "", [303, 403, 303, 404]),
    ("POST", "/keys/new", KEY, [200, 403, 200, 404]),
    ("POST", "/keys/{key}/rotate", "idempotency_token=t2", [200, 403, 200, 404]),
    ("POST", "/keys/{key}/revoke", "reason=leaked", [303, 403, 303, 404]),
    ("POST", "/keys/{client}/client", CLIENT, [303, 403, 303, 404]),
    ("POST", "/federations/own/archive", "", [303, 403, 403, 404]),
];
