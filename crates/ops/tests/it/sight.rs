//! Replays: five providers for thirty simulated days, and what becomes of a key that is stolen from each.

mod attacks;
mod chance;
mod dialects;
mod idp;
mod people;
mod product;
mod replay;
mod report;
mod traffic;
mod world;

use store::{Engine, testing::POSTGRES_VARIABLE};

#[test]
fn thirty_days_of_five_providers_raise_no_false_alarm_and_no_stolen_key_does_harm_unseen() {
    let months = replay::everything(Engine::Sqlite, 20);
    report::check(Engine::Sqlite, &months);
}

#[test]
fn the_same_holds_on_postgres() {
    if std::env::var_os(POSTGRES_VARIABLE).is_some() {
        // A copy of a database is dear there: five seeds of each attack, one of each provider.
        let months = replay::everything(Engine::Postgres, 5);
        report::check(Engine::Postgres, &months);
    }
}
