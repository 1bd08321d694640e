//! The machine against a model that carries its effects out; as a table in `table`, and what is due when in
//! `turn`.

mod table;
mod turn;

use super::{
    Cause, Effect, Event, Half, Moments, Rotation, Stage, Step,
    cadence::{Basis, Cadence},
    evidence::{Evidence, Verdict, assess, forbids, needed, observe, quiet_since, successor_retires_ms},
    machine::apply,
    policy::{Effective, OnDeadline, RotationDefaults, RotationRules, due},
};
use crate::{
    DAY_MS, FederationId, HOUR_MS, KeyId, Millis, RotationId,
    federations::RotationPolicy,
    keys::{Key, KeyState, Life, Proof},
    scopes::Scope,
};

const MINUTE_MS: Millis = 60_000;

/// Numbers that look random and are the same for one seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// A federation in a model: its keys, and the rotation of two of them.
struct World {
    keys: Vec<Life>,
    old: usize,
    new: usize,
    rotation: Rotation,
    policy: Effective,
    now_ms: Millis,
    /// Whether the last event was a person's word that a key must end.
    on_purpose: bool,
}

fn rotation(now_ms: Millis) -> Rotation {
    Rotation {
        id: RotationId::new(1, [1; 10]),
        federation_id: FederationId::new(1, [1; 10]),
        old_key_id: KeyId::new(1, [1; 10]),
        new_key_id: KeyId::new(2, [1; 10]),
        stage: Stage::Open(Step::Issued),
        cause: Cause::Policy,
        begun_by: "Keyward".to_owned(),
        begun_ms: now_ms,
        since_ms: now_ms,
        deadline_ms: now_ms + 72 * HOUR_MS,
        extended: 0,
        moments: Moments::default(),
        note: String::new(),
        ended_ms: None,
        version: 1,
    }
}

fn policy() -> Effective {
    let rules = RotationRules { least_silence_minutes: Some(60), ..RotationRules::default() };
    rules.effective(RotationPolicy::default(), &RotationDefaults::default())
}

const CADENCE: Cadence = Cadence { gap_ms: 40 * MINUTE_MS, basis: Basis::Vendor };

impl World {
    fn new(dice: &mut Dice) -> Self {
        let now_ms = 1_000 * DAY_MS;
        let left_ms = [DAY_MS, 30 * DAY_MS, -DAY_MS][usize::try_from(dice.roll(3)).unwrap()];
        let first = Life {
            first_used_ms: Some(now_ms - DAY_MS),
            last_used_ms: Some(now_ms - HOUR_MS),
            first_work_ms: Some(now_ms - DAY_MS),
            ..Life::new(now_ms - 60 * DAY_MS, now_ms + left_ms)
        };
        let mut policy = policy();
        if dice.roll(3) == 0 {
            policy.on_deadline = OnDeadline::Retire;
        }
        let rotation = rotation(now_ms);
        let mut world =
            Self { keys: vec![first], old: 0, new: 0, rotation, policy, now_ms, on_purpose: false };
        world.begin(0);
        world
    }

    fn begin(&mut self, of: usize) {
        let retires_ms = self.now_ms + 72 * HOUR_MS;
        if self.keys[of].state(self.now_ms).is_accepted() {
            self.keys[of].retires_ms = Some(retires_ms);
        }
        self.keys.push(Life::new(self.now_ms, self.now_ms + 90 * DAY_MS));
        (self.old, self.new) = (of, self.keys.len() - 1);
        self.rotation = rotation(self.now_ms);
    }

    fn accepted(&self) -> usize {
        self.keys.iter().filter(|life| life.state(self.now_ms).is_accepted()).count()
    }

    fn at(&self, half: Half) -> usize {
        match half {
            Half::Old => self.old,
            Half::New => self.new,
        }
    }

    /// Applies an event and carries its effects out, as an operation does.
    fn happen(&mut self, event: Event) -> bool {
        let (old, new) = (self.keys[self.old].state(self.now_ms), self.keys[self.new].state(self.now_ms));
        let before = self.rotation.stage;
        let Ok(next) = apply(before, event) else { return false };
        if forbids(event, old, new).is_some() || (next.stage == before && next.effects.is_empty()) {
            return false;
        }
        self.on_purpose = matches!(event, Event::Revoke { .. } | Event::Compromised { .. });
        self.rotation.moments.note(event, self.keys[self.old].last_used_ms, self.now_ms);
        self.rotation.stage = next.stage;
        let mut begins = None;
        for effect in next.effects {
            match effect {
                Effect::RetireOld => self.keys[self.old].retired_ms = Some(self.now_ms),
                Effect::Revoke { half } => {
                    let at = self.at(half);
                    self.keys[at].revoked_ms = Some(self.now_ms);
                }
                Effect::HoldKey { half } => {
                    let at = self.at(half);
                    if self.keys[at].state(self.now_ms).opens() {
                        self.keys[at].held_ms = Some(self.now_ms);
                    }
                }
                Effect::RestoreOld => {
                    let life = &mut self.keys[self.old];
                    let is_over = life.state(self.now_ms).is_accepted() && self.now_ms >= life.expires_ms;
                    life.retires_ms = is_over.then_some(self.now_ms + 72 * HOUR_MS);
                }
                Effect::Extend => self.rotation.deadline_ms = self.now_ms + 72 * HOUR_MS,
                Effect::Begin { half } => begins = Some(self.at(half)),
                Effect::Deliver
                | Effect::Promote
                | Effect::Withdraw
                | Effect::Raise { .. }
                | Effect::Settle { .. }
                | Effect::OpenCase => {}
            }
        }
        self.keys[self.new].retires_ms =
            successor_retires_ms(&self.rotation, &self.keys[self.new], self.now_ms);
        if let Some(of) = begins {
            self.begin(of);
        }
        true
    }

    /// What the scheduler does: one event after the other until nothing is left to say.
    fn settle(&mut self) {
        for _ in 0..8 {
            let evidence = Evidence {
                old: &self.keys[self.old],
                new: &self.keys[self.new],
                cadence: CADENCE,
                is_live: true,
                promotion_due: false,
                trusts_time: true,
            };
            let Some(event) = observe(&self.rotation, &evidence, &self.policy, self.now_ms) else { return };
            let before = self.accepted();
            let old = self.keys[self.old];
            let is_proven = self.rotation.stage.step().is_some_and(Step::is_proven);
            assert!(
                event != Event::Deadline { may_retire: true }
                    || is_proven
                    || old.last_used_ms.is_none_or(|at_ms| self.now_ms - at_ms >= 72 * HOUR_MS),
                "a deadline without proof kills the only key in use"
            );
            assert!(
                self.happen(event),
                "{event:?} was seen at {:?} and changes nothing",
                self.rotation.stage
            );
            let after = self.accepted();
            assert!(after > 0 || before == 0, "{event:?} left no key, at {:?}", self.rotation.stage);
        }
        panic!("the scheduler does not come to rest at {:?}", self.rotation.stage);
    }

    fn present(&mut self, at: usize, is_work: bool) {
        let now_ms = self.now_ms;
        let life = &mut self.keys[at];
        if life.state(now_ms).opens() {
            life.first_used_ms = life.first_used_ms.or(Some(now_ms));
            life.last_used_ms = Some(now_ms);
            if is_work {
                life.first_work_ms = life.first_work_ms.or(Some(now_ms));
            }
        }
    }

    /// Something happens: time, the consumer, or a person.
    fn live(&mut self, dice: &mut Dice) {
        let before = self.accepted();
        self.on_purpose = false;
        match dice.roll(10) {
            0..=2 => {
                let steps = [MINUTE_MS, 45 * MINUTE_MS, 5 * HOUR_MS, 80 * HOUR_MS, 100 * DAY_MS];
                self.now_ms += steps[usize::try_from(dice.roll(5)).unwrap()];
            }
            3 => self.present(self.old, dice.roll(2) == 0),
            4 | 5 => self.present(self.new, dice.roll(2) == 0),
            6 => {
                self.happen(Event::Delivered);
            }
            _ => {
                let event = Event::ALL[usize::try_from(dice.roll(16)).unwrap()];
                self.happen(event);
                let (after, on_purpose) = (self.accepted(), self.on_purpose);
                assert!(after > 0 || before == 0 || on_purpose, "{event:?} left no key");
            }
        }
        assert!(self.accepted() <= 2, "{} keys are accepted", self.accepted());
        self.settle();
        assert!(self.accepted() <= 2, "{} keys are accepted", self.accepted());
    }
}

#[test]
fn no_sequence_of_events_leaves_a_federation_without_a_key_or_with_three() {
    let (mut retired, mut rolled_back, mut anew) = (0, 0, 0);
    for seed in 0..100_000 {
        let mut dice = Dice(seed);
        let ran = std::panic::catch_unwind(move || {
            let mut world = World::new(&mut dice);
            for _ in 0..14 {
                world.live(&mut dice);
            }
            (world.rotation.stage, world.keys.len())
        });
        let (stage, keys) = ran.unwrap_or_else(|_| panic!("seed {seed}"));
        retired += u32::from(stage == Stage::Retired);
        rolled_back += u32::from(stage == Stage::RolledBack);
        anew += u32::from(keys > 2);
    }
    // The walk goes everywhere: else it would show nothing.
    assert!(retired > 5_000 && rolled_back > 5_000 && anew > 5_000, "{retired} {rolled_back} {anew}");
}

fn seen(world: &World, is_live: bool, trusts_time: bool) -> Option<Event> {
    let (old, new) = (&world.keys[world.old], &world.keys[world.new]);
    let evidence = Evidence { old, new, cadence: CADENCE, is_live, promotion_due: false, trusts_time };
    observe(&world.rotation, &evidence, &world.policy, world.now_ms)
}

/// A rotation whose successor works and whose old key was used now.
fn proven() -> World {
    let mut world = World::new(&mut Dice(1));
    world.policy = policy();
    world.keys[0].expires_ms = world.now_ms + 10 * DAY_MS;
    world.keys[0].retires_ms = Some(world.rotation.deadline_ms);
    world.present(world.old, true);
    world.present(world.new, true);
    world.settle();
    assert_eq!(world.rotation.stage, Stage::Open(Step::InUse));
    world
}

#[test]
fn a_connection_test_is_not_use() {
    let mut world = World::new(&mut Dice(1));
    world.present(world.new, false);
    world.settle();
    assert_eq!(world.rotation.stage, Stage::Open(Step::Tested));
    // Silence of the old key proves nothing before the new one has worked.
    world.now_ms += 40 * HOUR_MS;
    world.settle();
    assert_eq!(world.rotation.stage, Stage::Open(Step::Tested));
}

#[test]
fn the_old_key_retires_after_the_silence_that_is_needed_and_not_before() {
    let mut world = proven();
    let needed = needed(&world.rotation.moments, CADENCE, &world.policy);
    assert_eq!(needed, 120 * MINUTE_MS);
    world.now_ms += 40 * MINUTE_MS;
    world.settle();
    assert_eq!(world.rotation.stage, Stage::Open(Step::Draining));
    world.now_ms += 80 * MINUTE_MS - 1;
    world.settle();
    assert_eq!(world.rotation.stage, Stage::Open(Step::Draining));
    world.now_ms += 1;
    assert_eq!(seen(&world, false, true), None, "silence of a paused federation says nothing");
    assert_eq!(seen(&world, true, false), None, "nor does silence by a time that nobody trusts");
    world.settle();
    assert_eq!(world.rotation.stage, Stage::Retired);
}

#[test]
fn nothing_retires_while_the_target_gives_out_the_old_key() {
    let mut world = proven();
    world.policy.on_deadline = OnDeadline::Retire;
    let evidence = |world: &World, promotion_due| {
        let (old, new) = (world.keys[0], world.keys[1]);
        let evidence = Evidence {
            old: &old,
            new: &new,
            cadence: CADENCE,
            is_live: true,
            promotion_due,
            trusts_time: true,
        };
        let event = observe(&world.rotation, &evidence, &world.policy, world.now_ms);
        (event, assess(&world.rotation, &evidence, &world.policy, world.now_ms).0)
    };
    world.now_ms += 30 * HOUR_MS;
    assert!(world.now_ms < world.rotation.deadline_ms);
    assert_eq!(evidence(&world, false).0, Some(Event::Drained));
    assert_eq!(evidence(&world, true), (None, Verdict::WaitsForTarget));
    world.now_ms = world.rotation.deadline_ms;
    assert_eq!(evidence(&world, true).0, Some(Event::Deadline { may_retire: false }));
}

#[test]
fn an_old_key_that_comes_back_is_waited_for_longer_than_it_was_silent() {
    let mut world = proven();
    for _ in 0..3 {
        world.now_ms += 100 * MINUTE_MS;
        world.settle();
        assert_eq!(world.rotation.stage, Stage::Open(Step::Draining));
        world.present(world.old, true);
        world.settle();
        assert_eq!(world.rotation.stage, Stage::Open(Step::InUse));
    }
    assert_eq!(world.rotation.moments.returns, 3);
    let longest = world.rotation.moments.longest_return_ms;
    assert_eq!(longest, Some(100 * MINUTE_MS));
    assert_eq!(needed(&world.rotation.moments, CADENCE, &world.policy), 300 * MINUTE_MS);
}

#[test]
fn silence_counts_from_when_somebody_watched() {
    let mut world = proven();
    world.now_ms += 3 * HOUR_MS;
    world.rotation.moments.watched_from_ms = Some(world.now_ms);
    let (old, new) = (&world.keys[0], &world.keys[1]);
    let evidence =
        Evidence { old, new, cadence: CADENCE, is_live: true, promotion_due: false, trusts_time: true };
    assert_eq!(quiet_since(&world.rotation, &evidence), Some(world.now_ms));
    assert_eq!(seen(&world, true, true), None);
    let (verdict, next_ms) = assess(&world.rotation, &evidence, &world.policy, world.now_ms);
    assert_eq!((verdict, next_ms), (Verdict::BothInUse, Some(world.now_ms + 2 * HOUR_MS)));
}

#[test]
fn a_deadline_without_proof_extends_and_only_the_policy_retires() {
    let mut world = World::new(&mut Dice(1));
    world.policy = policy();
    world.keys[0] = Life { first_used_ms: Some(1), ..Life::new(0, world.now_ms + DAY_MS) };
    world.keys[0].retires_ms = Some(world.rotation.deadline_ms);
    for _ in 0..20 {
        world.now_ms += 73 * HOUR_MS;
        world.settle();
        assert_eq!(world.rotation.stage, Stage::Stalled(Step::Issued));
        assert_eq!(world.keys[0].state(world.now_ms), KeyState::Retiring, "its own time is long over");
    }
    world.policy.on_deadline = OnDeadline::Retire;
    world.now_ms += 73 * HOUR_MS;
    world.settle();
    assert_eq!(world.rotation.stage, Stage::Stalled(Step::Issued), "nobody has the successor");
    world.happen(Event::Delivered);
    world.now_ms += 4 * DAY_MS;
    world.settle();
    assert_eq!(world.rotation.stage, Stage::Retired);
}

/// What is seen of a rotation whose consumer has a rhythm of its own.
fn next(world: &World, cadence: Cadence) -> Option<Event> {
    let (old, new) = (&world.keys[world.old], &world.keys[world.new]);
    let evidence = Evidence { old, new, cadence, is_live: true, promotion_due: false, trusts_time: true };
    observe(&world.rotation, &evidence, &world.policy, world.now_ms)
}

#[test]
fn a_deadline_without_proof_never_ends_the_key_that_is_in_use() {
    let mut world = World::new(&mut Dice(1));
    world.policy = policy();
    world.policy.on_deadline = OnDeadline::Retire;
    world.keys[0] = Life { first_used_ms: Some(1), ..Life::new(0, world.now_ms + 90 * DAY_MS) };
    world.keys[0].retires_ms = Some(world.rotation.deadline_ms);
    world.happen(Event::Delivered);
    for _ in 0..10 {
        world.now_ms += 71 * HOUR_MS;
        world.present(world.old, true);
        world.now_ms += 2 * HOUR_MS;
        world.settle();
        assert_eq!(world.rotation.stage, Stage::Stalled(Step::Delivered));
    }
    // Silent for a whole overlap, and still within the rhythm of a consumer that comes once a week.
    world.now_ms = world.rotation.deadline_ms.max(world.now_ms + 73 * HOUR_MS);
    let weekly = Cadence { gap_ms: 7 * DAY_MS, basis: Basis::Learned { cycles: 4 } };
    assert_eq!(next(&world, weekly), Some(Event::Deadline { may_retire: false }));
    assert_eq!(seen(&world, false, true), Some(Event::Deadline { may_retire: false }), "it is paused");
    world.keys[0].held_ms = Some(world.now_ms);
    assert_eq!(seen(&world, true, true), Some(Event::Deadline { may_retire: false }), "it is held off");
    world.keys[0].held_ms = None;
    world.settle();
    assert_eq!(world.rotation.stage, Stage::Retired, "nobody uses either");
}

#[test]
fn a_successor_that_works_does_not_end_by_time_while_its_rotation_is_open() {
    let monthly = Cadence { gap_ms: 31 * DAY_MS, basis: Basis::Learned { cycles: 3 } };
    let mut world = proven();
    let (begun_ms, mut hours) = (world.now_ms, 0);
    // The old key comes back every three weeks, for half a year.
    while world.now_ms < begun_ms + 180 * DAY_MS {
        world.now_ms += HOUR_MS;
        hours += 1;
        if hours % (21 * 24) == 0 {
            world.present(world.old, true);
        }
        while let Some(event) = next(&world, monthly) {
            assert!(world.happen(event), "{event:?} at {:?}", world.rotation.stage);
        }
        assert!(world.keys[world.new].state(world.now_ms).opens(), "day {}", hours / 24);
        assert!(!world.rotation.stage.has_ended(), "{:?}", world.rotation.stage);
    }
    // When it ends, it leaves a key that works, whose time is over: a successor is due at once.
    while !world.rotation.stage.has_ended() {
        world.now_ms += DAY_MS;
        while let Some(event) = next(&world, monthly) {
            assert!(world.happen(event));
        }
    }
    assert_eq!(world.rotation.stage, Stage::Retired);
    assert_eq!(world.keys[world.new].state(world.now_ms), KeyState::Retiring);
    assert_eq!(
        due(&key(world.keys[world.new]), &world.policy, world.now_ms).map(|due| due.at_ms),
        Some(world.now_ms)
    );
}

#[test]
fn a_successor_whose_time_is_not_over_keeps_it_when_the_rotation_ends() {
    let mut world = proven();
    let expires_ms = world.keys[1].expires_ms;
    world.now_ms = expires_ms - DAY_MS;
    world.present(world.old, true);
    world.settle();
    assert_eq!(world.keys[1].state(world.now_ms), KeyState::Retiring, "its last day");
    let mut world = proven();
    world.now_ms += 2 * HOUR_MS;
    world.settle();
    assert_eq!(world.rotation.stage, Stage::Retired);
    assert_eq!((world.keys[1].retires_ms, world.keys[1].expires_ms), (None, expires_ms));
}

#[test]
fn the_silence_that_is_needed_ends_before_the_successor_is_due_itself() {
    let monthly = Cadence { gap_ms: 31 * DAY_MS, basis: Basis::Learned { cycles: 3 } };
    assert_eq!(needed(&Moments::default(), monthly, &policy()), (90 - 14) * DAY_MS);
    let mut short = policy();
    short.max_age_ms = 30 * DAY_MS;
    let needed = needed(&Moments::default(), monthly, &short);
    assert!(needed > 31 * DAY_MS, "never less than one cycle: {needed}");
}

#[test]
fn a_held_key_is_not_silent_and_a_compromised_one_is_not_waited_for() {
    let mut world = proven();
    world.keys[0].held_ms = Some(world.now_ms);
    world.now_ms += 30 * HOUR_MS;
    assert_eq!(seen(&world, true, true), None);
    // Its consumer took the successor up because of the compromise.
    world.rotation.moments.compromised_ms = world.rotation.moments.used_ms.map(|used_ms| used_ms - 1);
    assert_eq!(seen(&world, true, true), Some(Event::Drained));
    // It was on its way before: what has not moved yet has the time to do so.
    world.rotation.moments.compromised_ms = Some(world.now_ms);
    assert_eq!(seen(&world, true, true), None);
    world.now_ms += 120 * MINUTE_MS - 1;
    assert_eq!(seen(&world, true, true), None);
    world.now_ms += 1;
    assert_eq!(seen(&world, true, false), None, "by a time that nobody trusts");
    assert_eq!(seen(&world, true, true), Some(Event::Drained));
}

#[test]
fn an_old_key_in_use_that_is_in_wrong_hands_is_held_and_only_a_silent_one_is_revoked() {
    let mut world = proven();
    let compromised = Event::Compromised { half: Half::Old };
    assert!(world.happen(compromised));
    assert_eq!(world.rotation.stage, Stage::Open(Step::InUse));
    assert_eq!(world.keys[0].state(world.now_ms), KeyState::Held);
    world.now_ms += 100 * MINUTE_MS;
    world.settle();
    assert_eq!(world.keys[0].state(world.now_ms), KeyState::Held, "a part of the consumer may still have it");
    world.now_ms += 20 * MINUTE_MS;
    world.settle();
    assert_eq!((world.rotation.stage, world.accepted()), (Stage::Retired, 1));

    let mut world = proven();
    world.now_ms += 40 * MINUTE_MS;
    world.settle();
    assert_eq!(world.rotation.stage, Stage::Open(Step::Draining));
    assert!(world.happen(compromised));
    assert_eq!(world.keys[0].state(world.now_ms), KeyState::Revoked);
}

#[test]
fn a_successor_in_wrong_hands_never_ends_an_old_key_that_is_not_silent() {
    let mut world = proven();
    assert!(world.happen(Event::Compromised { half: Half::New }));
    let states: Vec<KeyState> = world.keys.iter().map(|life| life.state(world.now_ms)).collect();
    assert_eq!(states, [KeyState::Retiring, KeyState::Revoked, KeyState::Unused]);
    assert_eq!((world.old, world.new), (0, 2), "the old key gets another successor");

    let mut world = proven();
    world.now_ms += 40 * MINUTE_MS;
    world.settle();
    assert!(world.happen(Event::Compromised { half: Half::New }));
    let states: Vec<KeyState> = world.keys.iter().map(|life| life.state(world.now_ms)).collect();
    assert_eq!(states, [KeyState::Retired, KeyState::Held, KeyState::Unused]);
    assert_eq!((world.old, world.new), (1, 2));
}

#[test]
fn a_rotation_that_is_rolled_back_after_the_key_s_own_time_cuts_nobody_off() {
    let mut world = World::new(&mut Dice(1));
    world.policy = policy();
    world.keys[0] = Life { first_used_ms: Some(1), ..Life::new(0, world.now_ms + DAY_MS) };
    world.keys[0].retires_ms = Some(world.rotation.deadline_ms);
    world.now_ms += 2 * DAY_MS;
    assert!(world.happen(Event::RollBack));
    assert_eq!(world.keys[0].state(world.now_ms), KeyState::Retiring);
    // And it is due at once.
    let key = key(world.keys[0]);
    let due = due(&key, &world.policy, world.now_ms).unwrap();
    assert_eq!((due.at_ms, due.cause), (world.now_ms, Cause::Expiry));
}

fn key(life: Life) -> Key {
    Key {
        id: KeyId::new(1, [1; 10]),
        federation_id: FederationId::new(1, [1; 10]),
        name: "okta".to_owned(),
        last_four: "abcd".to_owned(),
        proof: Proof::Static,
        scope: Scope::full_directory(),
        next_scope: None,
        justification: None,
        life,
        predecessor_id: None,
        successor_id: None,
        issued_by: "a".to_owned(),
        revoked_by: None,
        held_by: None,
        held_reason: None,
        last_used_source: None,
        last_used_agent: None,
        canary: false,
        uses: 1,
        version: 1,
    }
}
