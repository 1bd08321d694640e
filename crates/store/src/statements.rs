//! Every statement of the crate, so that a test can prepare each on both databases.

/// Defines statements as constants and lists them in `ALL`.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

pub(crate) use statements;

/// The beginning of a statement about several pairs of a federation and an id: their list follows, and `FROM wanted
/// CROSS JOIN` the table, so that SQLite looks each of them up in its index.
pub(crate) const WANTED: &str = "WITH wanted (of_federation, of_id) AS (";

/// Every statement: module, name, text.
pub fn all_statements() -> Vec<(&'static str, &'static str, &'static str)> {
    let modules = [
        ("attestations", crate::attestations::ALL),
        ("audit", crate::audit::ALL),
        ("behaviours", crate::behaviours::ALL),
        ("brakes", crate::brakes::ALL),
        ("calls", crate::calls::ALL),
        ("cases", crate::cases::ALL),
        ("channels", crate::channels::ALL),
        ("checkpoints", crate::checkpoints::ALL),
        ("counters", crate::counters::ALL),
        ("deliveries", crate::deliveries::ALL),
        ("extensions", crate::extensions::ALL),
        ("federations", crate::federations::ALL),
        ("findings", crate::findings::ALL),
        ("groups", crate::groups::ALL),
        ("hand_offs", crate::hand_offs::ALL),
        ("held", crate::held::ALL),
        ("idempotency", crate::idempotency::ALL),
        ("installation", crate::installation::ALL),
        ("journal", crate::journal::ALL),
        ("keys", crate::keys::ALL),
        ("key_briefs", crate::keys::briefs::ALL),
        ("leases", crate::leases::ALL),
        ("links", crate::links::ALL),
        ("members", crate::members::ALL),
        ("oauth", crate::oauth::ALL),
        ("outbox", crate::outbox::ALL),
        ("policies", crate::policies::ALL),
        ("protected", crate::protected::ALL),
        ("rotations", crate::rotations::ALL),
        ("sessions", crate::sessions::ALL),
        ("undos", crate::undos::ALL),
        ("upstreams", crate::upstreams::ALL),
        ("usage", crate::usage::ALL),
        ("usage_search", crate::usage::search::ALL),
        ("seals", crate::seals::ALL),
        ("feed", crate::feed::ALL),
        ("mutes", crate::mutes::ALL),
        ("streams", crate::streams::ALL),
        ("users", crate::users::ALL),
        ("windows", crate::windows::ALL),
    ];
    modules
        .into_iter()
        .flat_map(|(module, statements)| statements.iter().map(move |(name, sql)| (module, *name, *sql)))
        .collect()
}
