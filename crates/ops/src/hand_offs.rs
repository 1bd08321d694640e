//! Assisted hand-offs: a link for one person, opened once, after sign-in, by a POST.
//!
//! The link goes by mail to its person. It opens for nobody else: the mail address of the sign-in must be
//! that of the link, and the role must allow to manage the keys of the federation, so that an address alone
//! gives nobody anything. What the link opens is sealed in the database and wiped when it is shown or over.

mod sweep;

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL};
use domain::{
    DeliveryId, FederationId, HandOffId, KeyId, Millis, RotationId, Secret,
    admins::{Admin, Right},
    audit::{Action, AuditEvent, Outcome},
    channels::mail_address,
    federations::Federation,
    findings::Rule,
    hand_offs::{HandOff, LINK_MS, LinkState},
    keys::{Key, KeyState},
    rotations::Stage,
};
use serde_json::json;
use store::{Change, Conn, hand_offs::StoredHandOff, keys::StoredKey};

use crate::{
    Cx, Error, Keyward,
    findings::{self, NewFinding},
    keys::Issued,
    notify,
    unit::detail,
    vault::{Place, Sealed},
};

pub(crate) use sweep::{not_mailed, sweep};

/// The most people that get a link at once.
const PEOPLE: usize = 5;

/// What is to be handed over.
pub struct MakeHandOff<'a> {
    /// Whose key it is.
    pub federation: &'a Federation,
    /// The rotation that waits for it.
    pub rotation_id: &'a RotationId,
    /// The delivery that it stands for.
    pub delivery_id: &'a DeliveryId,
    /// The successor.
    pub key_id: &'a KeyId,
    /// Its secret.
    pub secret: &'a Secret,
}

/// Makes a link for each owner of a federation who has a mail address, in the unit that begins or changes a
/// rotation. Links of the rotation that wait are over. Without any such owner a finding says so, and an
/// admin makes a link for somebody: see [`make_for`].
///
/// # Errors
/// When the database refuses, or the secret cannot be sealed.
pub async fn make(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    wanted: &MakeHandOff<'_>,
    now_ms: Millis,
) -> Result<Vec<HandOff>, Error> {
    let people: BTreeSet<String> =
        wanted.federation.owners.iter().filter_map(|owner| mail_address(owner)).take(PEOPLE).collect();
    store::hand_offs::close_unopened(conn, &wanted.federation.id, wanted.rotation_id, now_ms).await?;
    if people.is_empty() {
        // What it would have opened stays sealed under a link that nobody has.
        insert(conn, keyward, wanted, "", now_ms).await?;
        let new = NewFinding::new(
            keyward,
            Some(&wanted.federation.id),
            Rule::HandOffWaits,
            wanted.rotation_id.as_str(),
            "An owner of the federation takes over the new key and brings it to the provider.",
            "No owner has a mail address. Make a hand-over link for a person.",
        );
        let new = new.of_key(wanted.key_id).of_rotation(wanted.rotation_id);
        findings::raise(conn, &new, now_ms).await?;
        return Ok(Vec::new());
    }
    let mut made = Vec::new();
    for person in people {
        let (hand_off, token) = insert(conn, keyward, wanted, &person, now_ms).await?;
        notify::mail_link(conn, keyward, &hand_off, &token, now_ms).await?;
        made.push(hand_off);
    }
    if keyward.has_no_mail() {
        // The text of a link is nowhere but in its mail.
        let new = waits(keyward, &made, "No mail is set up, so nobody got a link. Make one for a person.");
        if let Some(new) = new {
            findings::raise(conn, &new, now_ms).await?;
        }
    }
    Ok(made)
}

/// The finding that nobody can open the links of a rotation.
fn waits(keyward: &Keyward, links: &[HandOff], came: impl Into<String>) -> Option<NewFinding> {
    let link = links.first()?;
    let new = NewFinding::new(
        keyward,
        Some(&link.federation_id),
        Rule::HandOffWaits,
        link.rotation_id.as_str(),
        "An owner of the federation takes over the new key and brings it to the provider.",
        came,
    );
    Some(new.of_key(&link.key_id).of_rotation(&link.rotation_id))
}

async fn insert(
    conn: &mut Conn<'_>,
    keyward: &Keyward,
    wanted: &MakeHandOff<'_>,
    person: &str,
    now_ms: Millis,
) -> Result<(HandOff, Secret), Error> {
    let id = HandOffId::new(now_ms, keyward.id_chance());
    let sealed = keyward
        .vault
        .seal(keyward.entropy.as_ref(), place(&id), wanted.secret.expose().as_bytes())
        .map_err(Error::Internal)?;
    let mut chance = zeroize::Zeroizing::new([0; 32]);
    keyward.entropy.fill(chance.as_mut());
    let token = Secret::new(BASE64_URL.encode(chance.as_slice()));
    let hand_off = HandOff {
        id,
        federation_id: wanted.federation.id.clone(),
        delivery_id: wanted.delivery_id.clone(),
        rotation_id: wanted.rotation_id.clone(),
        key_id: wanted.key_id.clone(),
        person: person.to_owned(),
        made_ms: now_ms,
        expires_ms: now_ms + LINK_MS,
        opened_ms: None,
        opened_by: None,
        closed_ms: None,
        version: 1,
    };
    let stored = StoredHandOff { hand_off: hand_off.clone(), sealed: sealed.text, data_key: sealed.data_key };
    store::hand_offs::insert(conn, &stored, &token_hash(keyward, token.expose())).await?;
    Ok((hand_off, token))
}

fn place(id: &HandOffId) -> Place<'_> {
    Place { table: "hand_offs", id: id.as_str(), column: "sealed", version: 1 }
}

/// The prefix keeps it apart from the hashes of keys.
fn token_hash(keyward: &Keyward, token: &str) -> String {
    keyward.vault.hash_key(&format!("hand-off {token}"))
}

/// Ends every hand-off of a rotation: its key was seen on the wire, or the rotation went on without it.
/// For the unit that says so.
///
/// # Errors
/// When the database refuses.
pub async fn close_of(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    rotation_id: &RotationId,
    now_ms: Millis,
) -> Result<(), Error> {
    store::hand_offs::close(conn, federation_id, rotation_id, now_ms).await?;
    let subject = rotation_id.as_str();
    findings::settle(conn, Some(federation_id), Rule::HandOffWaits, subject, "the key arrived", now_ms)
        .await?;
    Ok(())
}

/// A link that was made for a person.
pub struct MadeLink {
    /// The hand-off.
    pub hand_off: HandOff,
    /// The address that opens it, for its person only.
    pub link: Secret,
    /// Whether it goes by mail as well.
    pub is_mailed: bool,
}

/// Makes a link for a person while a rotation waits; the links that were there are over. The maker passes it
/// on where no mail is set up: it opens for nobody but the person.
///
/// # Errors
/// Invalid when it is no mail address; Conflict when nothing waits to be handed over; NotFound; Forbidden.
pub async fn make_for(cx: &Cx<Admin>, key_id: &KeyId, person: &str) -> Result<MadeLink, Error> {
    let (key, federation) = crate::keys::managed(cx, key_id, Action::HandOffMade).await?;
    let person = mail_address(person)
        .ok_or_else(|| Error::invalid("person", "the mail address of one person is expected"))?;
    let Some(rotation) = waiting_rotation(cx, &key).await? else {
        return Err(Error::Conflict(format!("{} waits for no hand-over", key.name)));
    };
    let waiting = {
        let mut reader = cx.read().await?;
        let all = store::hand_offs::of_rotation(&mut reader.conn(), &federation.id, &rotation).await?;
        if let Some(reason) = frozen(&mut reader.conn(), &federation.id, &rotation, &key, cx.now_ms()).await?
        {
            return Err(Error::Conflict(reason));
        }
        all.into_iter().rfind(|stored| stored.hand_off.key_id == key.id && !stored.sealed.is_empty())
    };
    let Some(waiting) = waiting else {
        return Err(Error::Conflict(format!(
            "the secret of {} was shown or delivered, and nobody can show it again; rotate once more",
            key.name
        )));
    };
    let sealed = Sealed { text: waiting.sealed, data_key: waiting.data_key };
    let secret = opened(&cx.keyward, &waiting.hand_off.id, &sealed)?;
    let event = AuditEvent {
        federation_id: Some(federation.id.clone()),
        key_id: Some(key.id.clone()),
        target: Some(person.clone()),
        detail: detail(&json!({ "rotation": rotation, "last_four": key.last_four })),
        ..cx.event(Action::HandOffMade)
    };
    let (keyward, now_ms) = (Arc::clone(&cx.keyward), cx.now_ms());
    let (hand_off, token) = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let fresh = store::hand_offs::by_id(conn, &federation.id, &waiting.hand_off.id).await?;
            if fresh.is_none_or(|fresh| fresh.sealed.is_empty()) {
                return Err(Error::Stale("this hand-over"));
            }
            store::hand_offs::close_unopened(conn, &federation.id, &rotation, now_ms).await?;
            let wanted = MakeHandOff {
                federation: &federation,
                rotation_id: &rotation,
                delivery_id: &waiting.hand_off.delivery_id,
                key_id: &key.id,
                secret: &secret,
            };
            let (hand_off, token) = insert(conn, &keyward, &wanted, &person, now_ms).await?;
            notify::mail_link(conn, &keyward, &hand_off, &token, now_ms).await?;
            let subject = rotation.as_str();
            let reason = "a link was made for a person";
            findings::settle(conn, Some(&federation.id), Rule::HandOffWaits, subject, reason, now_ms).await?;
            Ok(Change::new((hand_off, token), event.clone()))
        })
        .await?;
    Ok(MadeLink { link: link(&cx.keyward, &token), is_mailed: cx.keyward.can_mail(), hand_off })
}

/// Why a key is handed to nobody at the moment: it is held, or its rotation is.
async fn frozen(
    conn: &mut Conn<'_>,
    federation_id: &FederationId,
    rotation_id: &RotationId,
    key: &Key,
    now_ms: Millis,
) -> Result<Option<String>, Error> {
    if key.life.state(now_ms) == KeyState::Held {
        return Ok(Some(format!("{} is held; it is handed to nobody before it is released", key.name)));
    }
    let own = store::rotations::of_new_key(conn, federation_id, &key.id).await?;
    let is_held =
        own.is_some_and(|rotation| rotation.id == *rotation_id && matches!(rotation.stage, Stage::Held(_)));
    Ok(is_held.then(|| format!("the rotation to {} is held; release it first", key.name)))
}

/// The rotation that waits for a hand-over of a key.
async fn waiting_rotation(cx: &Cx<Admin>, key: &Key) -> Result<Option<RotationId>, Error> {
    let mut reader = cx.read().await?;
    let live = store::hand_offs::of_key(&mut reader.conn(), &key.federation_id, &key.id).await?;
    Ok(live.into_iter().rfind(|stored| !stored.sealed.is_empty()).map(|stored| stored.hand_off.rotation_id))
}

/// The address behind a link's text.
pub(crate) fn link(keyward: &Keyward, token: &Secret) -> Secret {
    Secret::new(format!("{}/hand-over/{}", keyward.settings.public_url, token.expose()))
}

fn opened(keyward: &Keyward, id: &HandOffId, sealed: &Sealed) -> Result<Secret, Error> {
    let bytes = keyward
        .vault
        .open(place(id), sealed)
        .map_err(|error| Error::Internal(format!("hand-off {id}: {error}")))?;
    let text = String::from_utf8(bytes.to_vec());
    text.map(Secret::new).map_err(|_| Error::Internal(format!("hand-off {id}: not a text")))
}

/// What a link is, for its person and whoever manages the federation's keys.
#[derive(Debug, Clone)]
pub struct LinkView {
    /// The hand-off.
    pub hand_off: HandOff,
    /// What can be done with it.
    pub state: LinkState,
    /// The key.
    pub key: Key,
    /// Its federation.
    pub federation: Federation,
    /// The SCIM base URL to paste beside it.
    pub base_url: String,
    /// Whether the viewer is its person.
    pub is_own: bool,
}

struct Found {
    stored: StoredHandOff,
    key: Key,
    federation: Federation,
}

async fn find(cx: &Cx<Admin>, token: &str) -> Result<Found, Error> {
    // Form before any look-up: 43 digits of base64url.
    if token.len() != 43 || BASE64_URL.decode(token).is_err() {
        return Err(Error::NotFound("hand-over"));
    }
    let hash = token_hash(&cx.keyward, token);
    let mut reader = cx.read().await?;
    let stored = store::hand_offs::by_token(&mut reader.conn(), &hash).await?;
    let stored = stored.ok_or(Error::NotFound("hand-over"))?;
    let found = store::keys::with_federation(&mut reader.conn(), &stored.hand_off.key_id).await?;
    let (StoredKey { key, .. }, federation) = found.ok_or(Error::NotFound("hand-over"))?;
    Ok(Found { stored, key, federation })
}

fn is_own(cx: &Cx<Admin>, hand_off: &HandOff) -> bool {
    let own = cx.actor.email.as_deref().and_then(mail_address);
    own.is_some_and(|address| address == hand_off.person)
}

/// Shows what a link is, and opens nothing.
///
/// # Errors
/// NotFound for any other text, and for whoever may not see the federation.
pub async fn look(cx: &Cx<Admin>, token: &str) -> Result<LinkView, Error> {
    let Found { stored, key, federation } = find(cx, token).await?;
    let is_own = is_own(cx, &stored.hand_off);
    if !cx.actor.role.may(Right::Read, Some(&federation.slug)) {
        return Err(Error::NotFound("hand-over"));
    }
    Ok(LinkView {
        state: stored.hand_off.state(cx.now_ms()),
        base_url: cx.keyward.base_url(&federation.slug),
        hand_off: stored.hand_off,
        key,
        federation,
        is_own,
    })
}

/// Opens a link: shows the key, once, to its person. The rotation is delivered by that.
///
/// # Errors
/// Forbidden for anybody else and without the right to manage the federation's keys; Conflict when it was
/// opened, is late or over; each of them recorded. NotFound for any other text.
pub async fn open(cx: &Cx<Admin>, token: &str) -> Result<Issued, Error> {
    let Found { stored, key, federation } = match find(cx, token).await {
        Ok(found) => found,
        Err(error) => {
            if matches!(error, Error::NotFound(_)) {
                cx.keyward.record_refusal(cx.event(Action::HandOffOpened), "there is no such link").await?;
            }
            return Err(error);
        }
    };
    let now_ms = cx.now_ms();
    let event = AuditEvent {
        federation_id: Some(federation.id.clone()),
        key_id: Some(key.id.clone()),
        target: Some(key.name.clone()),
        detail: detail(&json!({
            "hand_off": stored.hand_off.id, "rotation": stored.hand_off.rotation_id, "person": stored.hand_off.person,
            "last_four": key.last_four,
        })),
        ..cx.event(Action::HandOffOpened)
    };
    if !is_own(cx, &stored.hand_off) || !cx.actor.role.may(Right::ManageKeys, Some(&federation.slug)) {
        let reason = if is_own(cx, &stored.hand_off) {
            format!("the role {} does not allow this", cx.actor.role.as_str())
        } else {
            "this link is for another person".to_owned()
        };
        let refused = cx.forbid(event, reason).await;
        return if cx.actor.role.may(Right::Read, Some(&federation.slug)) {
            refused
        } else {
            refused.map_err(|error| {
                if matches!(error, Error::Forbidden(_)) { Error::NotFound("hand-over") } else { error }
            })
        };
    }
    if let Some(reason) = stored.hand_off.state(now_ms).refusal() {
        cx.keyward.record_refusal(event, reason).await?;
        return Err(Error::Conflict(reason.to_owned()));
    }
    if !key.life.state(now_ms).is_accepted() {
        let reason = "this key has ended; nothing is to be handed over any more";
        cx.keyward.record_refusal(event, reason).await?;
        return Err(Error::Conflict(reason.to_owned()));
    }
    {
        let (mut reader, link) = (cx.read().await?, &stored.hand_off);
        let held = frozen(&mut reader.conn(), &link.federation_id, &link.rotation_id, &key, now_ms).await?;
        drop(reader);
        if let Some(reason) = held {
            cx.keyward.record_refusal(event, &reason).await?;
            return Err(Error::Conflict(reason));
        }
    }
    let sealed = Sealed { text: stored.sealed.clone(), data_key: stored.data_key.clone() };
    let secret = opened(&cx.keyward, &stored.hand_off.id, &sealed)?;
    let (keyward, by, hand_off) = (Arc::clone(&cx.keyward), cx.actor.name.clone(), stored.hand_off);
    let unit_event = event.clone();
    let was_open = cx
        .keyward
        .commit(async move |conn: &mut Conn<'_>| {
            let fresh =
                store::keys::by_id(conn, &hand_off.key_id).await?.ok_or(Error::NotFound("hand-over"))?;
            let (federation_id, rotation_id) = (&hand_off.federation_id, &hand_off.rotation_id);
            if let Some(reason) = frozen(conn, federation_id, rotation_id, &fresh.key, now_ms).await? {
                return Err(Error::Conflict(reason));
            }
            if !store::hand_offs::open(conn, &hand_off, now_ms, &by).await? {
                return Ok(Change::nothing(false));
            }
            // The links of the other owners are over: one person brings one key.
            store::hand_offs::close_unopened(conn, &hand_off.federation_id, &hand_off.rotation_id, now_ms)
                .await?;
            let subject = hand_off.rotation_id.as_str();
            let federation_id = Some(&hand_off.federation_id);
            findings::settle(conn, federation_id, Rule::HandOffWaits, subject, "the link was opened", now_ms)
                .await?;
            let moved = crate::deliveries::handed_over(conn, &keyward, &hand_off, &by, now_ms).await?;
            Ok(Change::new(true, unit_event.clone()).with_events(moved))
        })
        .await?;
    if !was_open {
        let reason = "this link was opened before, and it opens once";
        let event = AuditEvent { outcome: Outcome::Refused, ..event };
        cx.keyward.record_refusal(event, reason).await?;
        return Err(Error::Conflict(reason.to_owned()));
    }
    let base_url = cx.keyward.base_url(&federation.slug);
    Ok(Issued { key, federation, base_url, secret: Some(secret) })
}

/// The hand-offs of a key that wait, or were opened, newest first; for whoever may see it.
///
/// # Errors
/// NotFound.
pub async fn of_key(cx: &Cx<Admin>, key_id: &KeyId) -> Result<Vec<HandOff>, Error> {
    let view = crate::keys::open(cx, key_id).await?;
    let mut reader = cx.read().await?;
    let found = store::hand_offs::of_key(&mut reader.conn(), &view.key.federation_id, key_id).await?;
    Ok(found.into_iter().rev().map(|stored| stored.hand_off).collect())
}
