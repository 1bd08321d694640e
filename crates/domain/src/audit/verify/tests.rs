//! A log in memory, its checkpoints, and whoever changes it.

use std::sync::LazyLock;

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;

use super::*;
use crate::audit::{
    Action, ActorKind, ActorRef, AuditEvent, AuditRecord, ChainHead, Outcome,
    bundle::{self, End, Header, Line, Signed},
    note::signed,
    proof::{ProofFault, RecordProof},
};

const EVERY: i64 = 16;
const COUNT: i64 = 100;

#[derive(Clone)]
struct Log {
    key: SigningKey,
    entries: Vec<Entry>,
    head: ChainHead,
    /// Size and note.
    notes: Vec<(i64, String)>,
}

fn event(number: i64) -> AuditEvent {
    AuditEvent {
        at_ms: 1_700_000_000_000 + number,
        actor: ActorRef { kind: ActorKind::System, id: format!("node {number}"), name: "Keyward".to_owned() },
        action: Action::NodeStarted,
        outcome: Outcome::Done,
        reason: None,
        federation_id: None,
        key_id: None,
        target: Some(format!("target {number}")),
        source: None,
        request_id: format!("req {number}"),
        detail: "{\"a\":\"ä\"}".to_owned(),
    }
}

impl Log {
    /// Made once: signing is slow without optimization.
    fn of(count: i64) -> Self {
        static LOG: LazyLock<Log> = LazyLock::new(|| Log::with(SigningKey::from_bytes(&[1; 32]), COUNT, 0));
        assert_eq!(count, COUNT);
        LOG.clone()
    }

    fn with(key: SigningKey, count: i64, salt: i64) -> Self {
        let mut head = ChainHead::default();
        let records: Vec<AuditRecord> = (1..=count).map(|number| head.append(event(number + salt))).collect();
        let entries: Vec<Entry> = records.iter().map(Entry::from).collect();
        let mut log = Self { key, entries, head, notes: Vec::new() };
        log.notes = (1..=count)
            .filter(|size| size % EVERY == 0 || *size == count)
            .map(|size| (size, log.note(size)))
            .collect();
        log
    }

    fn verifier(&self) -> VerifierKey {
        VerifierKey::new("log.example/a", self.key.verifying_key().to_bytes()).unwrap()
    }

    fn frontier(&self, size: i64) -> Frontier {
        let mut frontier = Frontier::default();
        for entry in &self.entries[..usize::try_from(size).unwrap()] {
            frontier.push(entry.leaf().unwrap());
        }
        frontier
    }

    fn note(&self, size: i64) -> String {
        let root = self.frontier(size).root();
        let checkpoint =
            Checkpoint { origin: "log.example/a".to_owned(), size: u64::try_from(size).unwrap(), root };
        let text = checkpoint.text();
        signed(&text, &self.verifier(), &self.key.sign(text.as_bytes()).to_bytes())
    }

    fn trust(&self) -> Trust {
        let mut trust = Trust::new(vec![self.verifier()]);
        trust.add_anchor("the file", &self.notes.iter().map(|(_, note)| note.as_str()).collect::<String>());
        trust
    }

    fn examine(&self, trust: &Trust) -> Report {
        let mut examiner = Examiner::new(trust);
        self.notes.iter().for_each(|(_, note)| examiner.beside(note));
        for entry in &self.entries {
            if examiner.push(entry.clone()) {
                break;
            }
        }
        let rows = i64::try_from(self.entries.len()).unwrap();
        examiner.finish(&Sealed::Head { seq: self.head.seq, hash: self.head.hash.clone(), rows })
    }

    /// Hashes everything anew from a record on.
    fn recompute_from(&mut self, seq: i64) {
        let at = usize::try_from(seq - 1).unwrap();
        let mut prev = self.entries[at].prev_hash.clone();
        for entry in &mut self.entries[at..] {
            entry.prev_hash = prev;
            entry.hash = hex(&entry.computed());
            prev = entry.hash.clone();
        }
    }

    /// Lets the head fit what is there.
    fn fix_head(&mut self) {
        let last = self.entries.last();
        self.head =
            last.map_or_else(ChainHead::default, |last| ChainHead { seq: last.seq, hash: last.hash.clone() });
    }

    fn bundle(&self, from: i64, to: i64) -> Vec<String> {
        let before = self.frontier(from - 1);
        let index = |seq: i64| usize::try_from(seq - 1).unwrap();
        let header = Header {
            format: bundle::FORMAT.to_owned(),
            origin: "log.example/a".to_owned(),
            key: self.verifier().to_string(),
            from,
            to,
            head: COUNT,
            made_ms: 1,
            prev_hash: self.entries[index(from)].prev_hash.clone(),
            subtrees: before.roots().iter().map(|root| hex(root)).collect(),
        };
        let mut lines = vec![bundle::line(&Line::Header(header))];
        for seq in from..=to {
            lines.push(bundle::line(&Line::Record(Box::new(self.entries[index(seq)].clone()))));
            for (_, note) in self.notes.iter().filter(|(size, _)| *size == seq) {
                lines.push(bundle::line(&Line::Checkpoint(Signed { at_ms: 1, note: note.clone() })));
            }
        }
        let end = End::of(to - from + 1, self.entries[index(to)].hash.clone(), &self.frontier(to).root());
        lines.push(bundle::line(&Line::End(end)));
        lines
    }
}

fn check(lines: &[String], trust: &Trust) -> Report {
    let lines = lines.iter().map(|line| Ok(line.trim_end().to_owned()));
    bundle::check(lines, trust).unwrap().report
}

#[test]
fn a_whole_log_is_verified_only_as_far_as_an_anchor_vouches() {
    let log = Log::of(COUNT);
    let report = log.examine(&log.trust());
    assert_eq!(report.fault, None);
    assert_eq!((report.last, report.signed, report.unanchored_since()), (COUNT, Some(COUNT), None));
    assert!(report.words().contains("Verified: the file vouches for all 100 records"), "{}", report.words());

    let unanchored = log.examine(&Trust::new(vec![log.verifier()]));
    assert_eq!((unanchored.fault.as_ref(), unanchored.unanchored_since()), (None, Some(1)));
    assert!(unanchored.words().contains("Unanchored since record 1."), "{}", unanchored.words());
    assert!(!unanchored.words().to_lowercase().contains("verified"), "{}", unanchored.words());

    let mut part = Trust::new(vec![log.verifier()]);
    part.add_anchor("the file", &log.notes[1].1);
    let part = log.examine(&part);
    assert_eq!(part.unanchored_since(), Some(33));
    assert!(part.words().contains("Unanchored since record 33"), "{}", part.words());
}

#[test]
fn notes_of_another_key_vouch_for_nothing() {
    let log = Log::of(COUNT);
    let stranger = Log::with(SigningKey::from_bytes(&[2; 32]), COUNT, 7);
    let mut trust = Trust::new(vec![log.verifier()]);
    trust.add_anchor("the file", &stranger.notes.iter().map(|(_, note)| note.as_str()).collect::<String>());
    assert!(trust.is_unanchored());
    let report = log.examine(&trust);
    assert_eq!(
        (report.fault.as_ref(), report.ignored, report.anchored.as_ref()),
        (None, stranger.notes.len(), None)
    );
    assert!(report.words().contains("not signed by the key"));
}

type Tamper = fn(&mut Log);

#[expect(clippy::too_many_lines, reason = "a table")]
#[test]
fn every_class_is_named_with_its_place() {
    let cases: Vec<(Tamper, Class, (i64, i64), i64)> = vec![
        (|l| l.entries[6].target = None, Class::Edit, (7, 7), 0),
        (|l| l.entries[6].action = "no.such".to_owned(), Class::Edit, (7, 7), 0),
        (|l| l.entries[6].prev_hash = "f".repeat(64), Class::Edit, (7, 7), 0),
        (|l| l.entries[6].hash = "f".repeat(64), Class::Edit, (7, 7), 0),
        (|l| l.entries[99].at_ms += 1, Class::Edit, (100, 100), 0),
        (
            |l| {
                l.entries[6].target = None;
                l.entries[6].hash = hex(&l.entries[6].computed());
            },
            Class::Edit,
            (7, 7),
            0,
        ),
        (|l| drop(l.entries.remove(6)), Class::Deletion, (7, 7), 1),
        (|l| drop(l.entries.drain(..3)), Class::Deletion, (1, 3), 3),
        (
            |l| {
                l.entries.remove(6);
                l.entries.iter_mut().skip(6).for_each(|entry| entry.seq -= 1);
                l.fix_head();
            },
            Class::Deletion,
            (7, 7),
            1,
        ),
        (
            |l| {
                l.entries.swap(6, 40);
                (l.entries[6].seq, l.entries[40].seq) = (7, 41);
            },
            Class::Reorder,
            (7, 41),
            0,
        ),
        (
            |l| {
                l.entries.swap(6, 7);
                (l.entries[6].seq, l.entries[7].seq) = (7, 8);
            },
            Class::Reorder,
            (7, 8),
            0,
        ),
        (
            |l| {
                let copy = Entry { seq: 9, ..l.entries[6].clone() };
                l.entries[8] = copy;
            },
            Class::Insertion,
            (9, 9),
            0,
        ),
        (|l| l.entries.insert(7, l.entries[6].clone()), Class::Insertion, (7, 7), 0),
        (|l| l.entries.insert(0, Entry { seq: 0, ..l.entries[6].clone() }), Class::Insertion, (0, 0), 0),
        (|l| l.entries.push(Entry { seq: 140, ..l.entries[6].clone() }), Class::Insertion, (140, 140), 0),
        (|l| l.entries.truncate(99), Class::Truncation, (100, 100), 1),
        (|l| l.entries.truncate(40), Class::Truncation, (41, 100), 60),
        (|l| l.entries.clear(), Class::Truncation, (1, 100), 100),
        (
            |l| {
                l.entries.truncate(40);
                l.fix_head();
                l.notes.truncate(2);
            },
            Class::Rollback,
            (41, 100),
            60,
        ),
        (
            |l| {
                l.entries[49].target = None;
                l.recompute_from(50);
                l.fix_head();
            },
            Class::Forgery,
            (49, 64),
            0,
        ),
        (
            |l| {
                l.entries[4].target = None;
                l.recompute_from(5);
                l.fix_head();
            },
            Class::Forgery,
            (1, 16),
            0,
        ),
    ];
    for (number, (tamper, class, place, lost)) in cases.into_iter().enumerate() {
        let mut log = Log::of(COUNT);
        let trust = log.trust();
        tamper(&mut log);
        let fault = log.examine(&trust).fault.unwrap_or_else(|| panic!("case {number} was not found"));
        assert_eq!(
            (fault.class, (fault.from, fault.to), fault.lost),
            (class, place, lost),
            "case {number}: {}",
            fault.told
        );
    }
}

#[test]
fn a_log_that_is_another_one_is_told_from_one_that_was_changed() {
    let genuine = Log::of(COUNT);
    let forged = Log::with(SigningKey::from_bytes(&[9; 32]), COUNT, 1_000);
    let fault = forged.examine(&genuine.trust()).fault.unwrap();
    assert_eq!((fault.class, fault.from), (Class::Replaced, 1), "{}", fault.told);
}

#[test]
fn a_forged_checkpoint_beside_the_log_is_found() {
    let mut log = Log::of(COUNT);
    let keys = Trust::new(vec![log.verifier()]);
    let stranger = SigningKey::from_bytes(&[3; 32]);
    // It fits, and nobody signed it.
    let text = log.notes.last().unwrap().1.split("\n\n").next().unwrap().to_owned() + "\n";
    let verifier = log.verifier();
    log.notes = vec![(COUNT, signed(&text, &verifier, &stranger.sign(text.as_bytes()).to_bytes()))];
    let fault = log.examine(&keys).fault.unwrap();
    assert_eq!((fault.class, fault.from), (Class::Forgery, COUNT), "{}", fault.told);
}

#[test]
fn a_part_in_a_file_is_checked_like_the_whole() {
    let log = Log::of(COUNT);
    let trust = log.trust();
    for (from, to) in [(1, COUNT), (1, 50), (2, 2), (33, 70), (65, 100), (100, 100)] {
        let lines = log.bundle(from, to);
        let report = check(&lines, &trust);
        assert_eq!(report.fault, None, "{from} to {to}");
        assert_eq!((report.first, report.last), (from, to));
        // Each line that is taken out or doubled is missed, whatever it is, but for checkpoints.
        for at in 1..lines.len() {
            if lines[at].starts_with("{\"checkpoint") {
                continue;
            }
            let mut cut = lines.clone();
            cut.remove(at);
            assert!(check(&cut, &trust).fault.is_some(), "{from} to {to} without line {at}");
        }
    }
    let lines = log.bundle(33, 70);
    let bent = lines[0].replacen("\"subtrees\":[\"", "\"subtrees\":[\"0", 1);
    assert!(bundle::check([Ok(bent)].into_iter(), &trust).is_err(), "a hash of another length");
    let mut other = lines.clone();
    let root = hex(&log.frontier(32).roots()[0]);
    other[0] = other[0].replace(&root, &"0".repeat(64));
    assert_eq!(
        check(&other, &trust).fault.unwrap().class,
        Class::Forgery,
        "what stands before is not what it was"
    );
    assert!(bundle::check(std::iter::empty(), &trust).is_err());
    let mut garbled = lines;
    garbled[3] = "{}\n".to_owned();
    let garbled = garbled.iter().map(|line| Ok(line.clone()));
    assert_eq!(bundle::check(garbled, &trust), Err(bundle::BundleFault::Line(4)));
}

#[test]
fn the_proof_of_one_record_holds_and_breaks_with_anything_that_is_changed() {
    let log = Log::of(COUNT);
    let leaves: Vec<Hash> = log.entries.iter().map(|entry| entry.leaf().unwrap()).collect();
    let path = merkle::inclusion(41, 100).unwrap().into_iter().map(|stretch| {
        let roots: Vec<Hash> = stretch
            .places()
            .into_iter()
            .map(|place| {
                let from = usize::try_from(place.index << place.level).unwrap();
                let mut frontier = Frontier::default();
                leaves[from..from + (1 << place.level)].iter().for_each(|leaf| frontier.push(*leaf));
                frontier.root()
            })
            .collect();
        merkle::join(&roots)
    });
    let proof = RecordProof { entry: log.entries[41].clone(), path: path.collect(), note: log.note(100) };
    let keys = [log.verifier()];
    let text = proof.text();
    let again = RecordProof::parse(&text).unwrap();
    assert_eq!(again, proof);
    let proven = again.verify(&keys).unwrap();
    assert_eq!((proven.checkpoint.size, proven.is_signed), (100, true));
    assert!(!again.verify(&[]).unwrap().is_signed);
    let bent = |bend: fn(&mut RecordProof)| {
        let mut bent = proof.clone();
        bend(&mut bent);
        bent.verify(&keys)
    };
    assert_eq!(bent(|proof| proof.entry.target = None), Err(ProofFault::Record));
    assert_eq!(
        bent(|proof| {
            proof.entry.target = None;
            proof.entry.hash = hex(&proof.entry.computed());
        }),
        Err(ProofFault::Path)
    );
    assert_eq!(bent(|proof| proof.path.swap(0, 1)), Err(ProofFault::Path));
    assert_eq!(
        bent(|proof| proof.note = proof.note.replace("\n100\n", "\n101\n")),
        Err(ProofFault::Signature)
    );
    assert_eq!(
        proof.verify(&[VerifierKey::new("log.example/b", [1; 32]).unwrap()]),
        Err(ProofFault::Signature)
    );
    for text in
        ["", "c2sp.org/tlog-proof@v1\n", &text.replace("index 41", "index 42"), &text.replace("v1", "v2")]
    {
        assert_eq!(RecordProof::parse(text), Err(ProofFault::Form), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_changed_in_one_record_is_found_there(seq in 1..=COUNT, column in 0..15_usize, rehash: bool) {
        let mut log = Log::of(COUNT);
        let trust = log.trust();
        let entry = &mut log.entries[usize::try_from(seq - 1).unwrap()];
        match column {
            0 => entry.at_ms += 1,
            1 => entry.actor_kind.push('x'),
            2 => entry.actor_id.push('x'),
            3 => entry.actor_name.clear(),
            4 => entry.action.push('x'),
            5 => entry.outcome.push('x'),
            6 => entry.reason = Some(String::new()),
            7 => entry.federation_id = Some(String::new()),
            8 => entry.key_id = Some("x".to_owned()),
            9 => entry.target = None,
            10 => entry.source = Some("192.0.2.1".to_owned()),
            11 => entry.request_id.push(' '),
            12 => entry.detail = "{}".to_owned(),
            13 => entry.prev_hash = "0".repeat(63) + "1",
            _ => entry.hash.make_ascii_uppercase(),
        }
        if rehash {
            entry.hash = hex(&entry.computed());
        }
        let fault = log.examine(&trust).fault;
        let fault = fault.filter(|fault| fault.from <= seq && seq <= fault.to);
        prop_assert!(fault.is_some() || (rehash && column == 14), "{column} {rehash}");
    }
}
