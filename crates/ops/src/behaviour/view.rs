//! What is expected of a federation and of its keys, for people.

use domain::{
    Millis,
    admins::{Admin, Right},
    behaviour::{Patience, Profile, is_expected, patience},
    federations::{Federation, Slug},
    keys::Key,
};

use super::read;
use crate::{
    Cx, Error,
    findings::{self, FindingView, Wanted},
};

/// What is expected of a federation.
#[derive(Debug, Clone)]
pub struct BehaviourView {
    /// The federation with its rules.
    pub federation: Federation,
    /// What was learned of it as a whole.
    pub profile: Profile,
    /// Whether enough was learned for what is compared with it.
    pub is_learned: bool,
    /// How long it may be silent.
    pub patience: Patience,
    /// Its keys that are in use, with what was learned of them.
    pub keys: Vec<KeyBehaviour>,
    /// Its open findings.
    pub findings: Vec<FindingView>,
    /// Whether the viewer may set the rules.
    pub may_set: bool,
    /// The time of the view.
    pub now_ms: Millis,
}

/// What is expected of a key.
#[derive(Debug, Clone)]
pub struct KeyBehaviour {
    /// The key.
    pub key: Key,
    /// What was learned of it.
    pub profile: Profile,
    /// Whether that is enough.
    pub is_learned: bool,
    /// How long it may be silent; `None` while nobody expects it to speak by itself.
    pub patience: Option<Patience>,
}

/// What is expected of a federation, as far as this node knows.
///
/// # Errors
/// NotFound for a federation that the viewer may not see.
pub async fn view(cx: &Cx<Admin>, slug: &Slug) -> Result<BehaviourView, Error> {
    let now_ms = cx.now_ms();
    let mut reader = cx.read().await?;
    let federation = store::federations::by_slug(&mut reader.conn(), slug).await?;
    let federation = federation.filter(|_| cx.actor.role.may(Right::Read, Some(slug)));
    let federation = federation.ok_or(Error::NotFound("federation"))?;
    let kept = store::behaviours::profiles(&mut reader.conn(), &federation.id).await?;
    let keys = store::keys::of_federation(&mut reader.conn(), &federation.id).await?;
    drop(reader);
    let memory = &cx.keyward.behaviour;
    let of = |key: Option<&Key>| {
        let key_id = key.map(|key| &key.id);
        memory.seen(&federation.id, key_id).unwrap_or_else(|| {
            kept.iter().find(|kept| kept.key_id.as_ref() == key_id).map_or_else(Profile::default, read)
        })
    };
    let learning = federation.behaviour.learning;
    let profile = of(None);
    let keys = keys
        .into_iter()
        .filter(|key| key.life.state(now_ms).is_accepted() && !key.canary)
        .map(|key| {
            let profile = of(Some(&key));
            let speaks = key.successor_id.is_none() && key.life.state(now_ms).opens();
            let patience = (speaks && is_expected(&profile, &federation.behaviour, now_ms))
                .then(|| patience(&profile, &federation.behaviour, federation.vendor, now_ms));
            KeyBehaviour { is_learned: profile.is_learned(learning, now_ms), profile, key, patience }
        })
        .collect();
    let wanted = Wanted { federation: Some(slug.clone()), ..Wanted::default() };
    Ok(BehaviourView {
        is_learned: profile.is_learned(learning, now_ms),
        patience: patience(&profile, &federation.behaviour, federation.vendor, now_ms),
        findings: findings::list(cx, &wanted).await?,
        may_set: cx.actor.role.may(Right::RunFederation, Some(slug)),
        profile,
        keys,
        federation,
        now_ms,
    })
}

/// The rhythm of a federation: when it was heard last, and how long it may be silent.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// Its last request that was let in and answered.
    pub last_ms: Option<Millis>,
    /// How long it may be silent.
    pub patience: Patience,
}

/// The rhythm of a federation, as far as this node knows.
///
/// # Errors
/// NotFound for a federation that the viewer may not see.
pub async fn rhythm(cx: &Cx<Admin>, slug: &Slug) -> Result<Rhythm, Error> {
    let mut reader = cx.read().await?;
    let federation = crate::federations::find(cx, &mut reader.conn(), slug).await?;
    let profile = if let Some(seen) = cx.keyward.behaviour.seen(&federation.id, None) {
        seen
    } else {
        let kept = store::behaviours::profiles(&mut reader.conn(), &federation.id).await?;
        kept.iter().find(|kept| kept.key_id.is_none()).map_or_else(Profile::default, read)
    };
    let patience = patience(&profile, &federation.behaviour, federation.vendor, cx.now_ms());
    Ok(Rhythm { last_ms: profile.last_ms, patience })
}
