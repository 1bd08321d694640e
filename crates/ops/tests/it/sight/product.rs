//! What the replays ask of the product beside requests: settings, marks, windows, and the work of timers.

use domain::{Millis, admins::Role, federations::Federation, findings::Rule};
use ops::{
    behaviour::{self, EditRules},
    brakes::{self, NewMark, NewWindow},
};

use super::attacks::Attack;
use crate::support::House;

/// The rules that tell of an attack: its own first, and those that tell of a stranger.
pub fn finds(attack: Attack) -> Vec<Rule> {
    let own = match attack {
        Attack::MassDeactivation | Attack::MassDeletion | Attack::SlowDeactivation => {
            &[Rule::MassRemoval][..]
        }
        Attack::GroupByPatch | Attack::GroupByPut | Attack::GroupByDelete => &[Rule::GroupEmptied],
        Attack::Addresses | Attack::ExternalIds => &[Rule::MassRewrite],
        Attack::Privilege => &[Rule::PrivilegedAdd],
        Attack::NewDomain => &[Rule::NewIdentity],
        Attack::Creations => &[Rule::CreateBurst],
        Attack::Enumeration => &[Rule::Enumeration],
        Attack::Dormant => &[Rule::DormantKey],
        Attack::Probing => &[Rule::ManyDenials],
        Attack::Canary => &[Rule::CanaryResource],
        Attack::OldKey => &[Rule::EndedKeyUsed, Rule::TwoHolders],
        Attack::Protected => &[Rule::ProtectedChange],
        Attack::TwoHolders | Attack::QuietWrite => &[],
    };
    [own, &[Rule::NewNetwork, Rule::NewAgent, Rule::TwoNetworks]].concat()
}

/// The rules of the federation, where they are not the defaults: a key is asleep after two weeks, because a replay
/// has no time for more.
pub async fn set_up(house: &House, federation: &Federation) {
    let mut rules = federation.behaviour;
    rules.a7.days = 14;
    let edit = EditRules { rules, reason: String::new(), version: federation.version };
    behaviour::set(&house.admin(), &federation.slug, edit).await.unwrap();
}

/// What a process does before it ends.
pub async fn before_end(house: &House) {
    behaviour::flush(&house.keyward).await.unwrap();
}

/// One round of every timer; that of silence and of what is held comes less often.
pub async fn sweep(house: &House, is_slow: bool) {
    behaviour::flush(&house.keyward).await.unwrap();
    if is_slow {
        behaviour::sweep(&house.keyward, "node").await.unwrap();
        brakes::sweep(&house.keyward).await.unwrap();
    }
}

/// A window for planned removals, asked for by one person and approved by another.
pub async fn open_window(house: &House, federation: &Federation, most: u32, until_ms: Millis) {
    let begins_ms = ops::Clock::now_ms(&*house.clock);
    let new = NewWindow {
        ceiling: i64::from(most),
        begins_ms,
        ends_ms: until_ms,
        reason: "the lay-off that was announced".to_owned(),
    };
    let window =
        brakes::plan(&house.person(Role::Operator(vec![federation.slug.clone()])), &federation.slug, new)
            .await
            .unwrap();
    brakes::agree(&house.admin(), &federation.slug, &window.id).await.unwrap();
}

/// Marks a user or group.
pub async fn mark(house: &House, federation: &Federation, id: &str, kind: &str) {
    let new =
        NewMark { resource: id.to_owned(), kind: kind.to_owned(), reason: "for the replays".to_owned() };
    brakes::mark(&house.admin(), &federation.slug, new).await.unwrap();
}
