//! What a fault is: from where the walk stopped, the records around it, and what the log says of its end.

use super::{Class, Examiner, Fault, Sealed, Stop, place};
use crate::{
    audit::{entry::Entry, merkle},
    hex,
};

/// How far away a record is looked for that stands in another's place.
const REACH: i64 = 512;

impl Examiner<'_> {
    pub(super) fn fault(&self, sealed: &Sealed) -> Option<Fault> {
        let head = match sealed {
            Sealed::Head { seq, .. } => *seq,
            Sealed::End { to, .. } | Sealed::Torn { to } => *to,
        };
        match (&self.stop, &self.now) {
            (Some(Stop::Root { size, by, note }), _) => {
                Some(self.other_root(*size, by.as_deref(), note.as_deref()))
            }
            (Some(Stop::Gap { expected }), Some(now)) => Some(Self::gap(*expected, now, head)),
            (Some(Stop::Link), Some(now)) => Some(self.link(now, sealed)),
            (Some(Stop::Content), Some(now)) => Some(content(now)),
            (Some(_), None) | (None, _) => self.end(sealed),
        }
    }

    fn gap(expected: i64, now: &Entry, head: i64) -> Fault {
        let found = now.seq;
        if found < expected {
            let told = if found < 1 {
                format!("a record stands at place {found}, which is none")
            } else {
                format!("record {found} stands there twice")
            };
            return fault(Class::Insertion, (found, found), 0, &told);
        }
        if expected > head && now.sound().is_none() {
            let told = format!("record {found} was put in after the end of the log, record {head}");
            return fault(Class::Insertion, (found, found), 0, &told);
        }
        let lost = found - expected;
        let told = if lost == 1 {
            format!("record {expected} is missing: the next record found is {found}")
        } else {
            format!(
                "records {expected} to {} are missing, {lost} of them: the next record found is {found}",
                found - 1
            )
        };
        fault(Class::Deletion, (expected, found - 1), lost, &told)
    }

    /// The record does not continue the one before it.
    fn link(&self, now: &Entry, sealed: &Sealed) -> Fault {
        let seq = now.seq;
        if now.sound().is_some() {
            if let Sealed::Head { seq: head, .. } = sealed
                && seq > *head
            {
                let told = format!("record {seq} was put in after the end of the log, record {head}");
                return fault(Class::Insertion, (seq, seq), 0, &told);
            }
            let goes_on = match (&self.next, sealed) {
                (Some(next), _) => next.prev_hash == now.hash,
                (None, Sealed::Head { hash, .. } | Sealed::End { hash, .. }) => now.hash == *hash,
                (None, Sealed::Torn { .. }) => true,
            };
            // What follows was written after another record than the one that stands before it.
            if goes_on && seq > self.first {
                let told = format!(
                    "record {} is not as it was written: record {seq} continues another one, so it was changed and its \
                     hash computed anew",
                    seq - 1
                );
                return fault(Class::Edit, (seq - 1, seq - 1), 0, &told);
            }
            let told =
                format!("record {seq} is forged: it is sound by itself, and continues no record of this log");
            return fault(Class::Forgery, (seq, seq), 0, &told);
        }
        let stored = merkle::parse(&now.hash);
        if stored == Some(now.computed_as(seq, &hex(&self.last))) {
            let told =
                format!("record {seq} is not as it was written: its link to record {} was changed", seq - 1);
            return fault(Class::Edit, (seq, seq), 0, &told);
        }
        let was = (1..=REACH)
            .flat_map(|by| [seq + by, seq - by])
            .find(|was| *was > 0 && stored == Some(now.computed_as(*was, &now.prev_hash)));
        match was {
            Some(was)
                if was == seq - 1 && self.before.as_ref().is_some_and(|before| before.hash != now.hash) =>
            {
                let told =
                    format!("record {was} was put in: what was written as record {was} stands behind it");
                fault(Class::Insertion, (was, was), 0, &told)
            }
            Some(was) if was < seq => {
                let told = format!(
                    "record {seq} stands there twice: it was written as record {was}, which stands in its place too"
                );
                fault(Class::Insertion, (seq, seq), 0, &told)
            }
            Some(was) => self.came_from(now, was),
            None => content(now),
        }
    }

    /// A record that was written later stands here.
    fn came_from(&self, now: &Entry, was: i64) -> Fault {
        let seq = now.seq;
        let holds = |entry: &Entry, was: i64| {
            merkle::parse(&entry.hash) == Some(entry.computed_as(was, &entry.prev_hash))
        };
        // What follows moved up as well: something was taken out, and the places were counted anew.
        let by = was - seq;
        if self.next.as_ref().is_some_and(|next| next.seq == seq + 1 && holds(next, next.seq + by)) {
            let told = format!(
                "record {seq} is missing: what stands there was written as record {was}, and so was all that follows, {by} \
                 further on"
            );
            return fault(Class::Deletion, (seq, was - 1), by, &told);
        }
        let told = format!("record {seq} was reordered: what stands there was written as record {was}");
        fault(Class::Reorder, (seq, was), 0, &told)
    }

    /// The root is another one than that of a checkpoint over so many records.
    fn other_root(&self, size: i64, by: Option<&str>, note: Option<&str>) -> Fault {
        if let Some(note) = note
            && !self.trust.keys.is_empty()
            && !self.trust.has_signed(note)
        {
            let told = format!(
                "the checkpoint over {size} records beside the log is not signed by the key: it is forged"
            );
            return fault(Class::Forgery, (size, size), 0, &told);
        }
        let by = by.unwrap_or("the signed checkpoint beside the log");
        let has_own = self.signed.iter().map(|(_, note)| note).chain(self.beside.values().flatten());
        let has_own = note.is_some() || has_own.into_iter().any(|note| self.trust.has_signed(note));
        if self.fits == 0 && !has_own {
            let told = format!(
                "the whole log was replaced: nothing that vouches for it fits, first of all {by}, over {size} records"
            );
            return fault(Class::Replaced, (1, size), size, &told);
        }
        let from = self.fits + 1;
        let told = format!(
            "records were forged between record {from} and record {size}: their hashes fit each other, and not what {by} \
             vouches for"
        );
        fault(Class::Forgery, (from, size), 0, &told)
    }

    /// Every record fits the one before: does the log end where it should?
    fn end(&self, sealed: &Sealed) -> Option<Fault> {
        let last = place(self.frontier.size());
        let far = self.trust.points.last().map(|point| (place(point.size), point.by.as_str()));
        let beside = self
            .beside
            .iter()
            .next_back()
            .filter(|(_, notes)| notes.iter().any(|note| self.trust.has_signed(note)));
        let beside = beside.map(|(size, _)| (place(*size), "the signed checkpoint beside the log"));
        let far =
            far.into_iter().chain(beside).max_by_key(|(size, _)| *size).filter(|(size, _)| *size > last);
        match sealed {
            Sealed::Head { seq, hash, rows } => {
                if let Some((size, by)) = far.filter(|(size, _)| size >= seq) {
                    return Some(cut(last, size, by, *seq > last));
                }
                if *seq > last {
                    return Some(cut(last, *seq, "the head", true));
                }
                if *seq < last {
                    let told = format!(
                        "records {} to {last} were put in after the end of the log, record {seq}",
                        seq + 1
                    );
                    return Some(fault(Class::Insertion, (seq + 1, last), 0, &told));
                }
                if *rows != last - self.first + 1 {
                    let told =
                        format!("the table has {rows} rows for {last} records: some stand there twice");
                    return Some(fault(Class::Insertion, (self.first, last), 0, &told));
                }
                self.head_fits(hash, last)
            }
            Sealed::End { to, head, hash, root } => {
                if *to > last {
                    return Some(cut(last, *to, "the last line of the file", true));
                }
                if let Some((size, by)) = far.filter(|(size, _)| size > head) {
                    return Some(cut(*head, size, by, false));
                }
                if *root != Some(self.frontier.root()) {
                    let told = format!(
                        "the root over {last} records is not the one that the last line of the file names"
                    );
                    return Some(fault(Class::Forgery, (self.fits + 1, last), 0, &told));
                }
                self.head_fits(hash, last)
            }
            Sealed::Torn { to } => {
                let told = format!(
                    "the file ends after record {last} and has no last line; its first line says record {to}"
                );
                Some(fault(Class::Truncation, (last + 1, (*to).max(last + 1)), (to - last).max(0), &told))
            }
        }
        .or_else(|| self.unsigned())
    }

    fn head_fits(&self, hash: &str, last: i64) -> Option<Fault> {
        if hash == hex(&self.last) {
            return None;
        }
        let from = (self.fits + 1).min(last.max(1));
        let told = format!(
            "record {last} is the last, and is not the one that the head names: records were forged from record {from} on, \
             or later"
        );
        Some(fault(Class::Forgery, (from, last), 0, &told))
    }

    /// A checkpoint that fits and that nobody signed was put beside the log.
    fn unsigned(&self) -> Option<Fault> {
        let (size, note) = self.signed.as_ref().filter(|_| !self.trust.keys.is_empty())?;
        if self.trust.has_signed(note) {
            return None;
        }
        let told = format!(
            "the checkpoint over {size} records beside the log is not signed by the key: it is forged"
        );
        Some(fault(Class::Forgery, (*size, *size), 0, &told))
    }
}

fn content(now: &Entry) -> Fault {
    let told = format!("record {} is not as it was written: its content does not fit its hash", now.seq);
    fault(Class::Edit, (now.seq, now.seq), 0, &told)
}

/// The end is missing; `is_torn` when the log itself says that there was more.
fn cut(last: i64, size: i64, by: &str, is_torn: bool) -> Fault {
    let lost = size - last;
    let (class, what) = if is_torn {
        (Class::Truncation, "the end was cut off")
    } else {
        (Class::Rollback, "it was rolled back")
    };
    let told = format!(
        "the log ends at record {last}, and {by} vouches for {size}: {what}, {lost} records are lost"
    );
    fault(class, (last + 1, size), lost, &told)
}

fn fault(class: Class, (from, to): (i64, i64), lost: i64, told: &str) -> Fault {
    Fault { class, from, to, lost, told: format!("{}: {told}", class.as_str()) }
}
