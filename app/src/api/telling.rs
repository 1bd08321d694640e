//! What the pages of findings, cases, channels, compromises and hand-overs load.

use domain::{
    CaseId, KeyId,
    federations::Slug,
    findings::{Rule, Severity},
};
use ops::{
    cases::CaseView,
    channels::Channels,
    compromise::Consequences,
    configuration::Configuration,
    federations::FederationView,
    findings::{FindingView, Wanted, mutes::MuteView},
    hand_offs::LinkView,
    keys::KeyView,
    streams::StreamView,
};

use crate::{error::UiError, ssr::admin_cx};

/// The list of findings, and the federations to choose from.
pub struct FindingsPage {
    /// The worst first.
    pub findings: Vec<FindingView>,
    /// For the filter.
    pub federations: Vec<FederationView>,
    /// What is muted now.
    pub mutes: Vec<MuteView>,
}

/// The findings that a filter leaves. Words that mean nothing filter nothing.
///
/// # Errors
/// See [`ops::findings::list`].
pub async fn findings(
    federation: Option<&str>,
    rule: Option<&str>,
    least: Option<&str>,
    state: Option<&str>,
) -> Result<FindingsPage, UiError> {
    let cx = admin_cx()?;
    let wanted = Wanted {
        least: least.and_then(Severity::parse),
        rule: rule.and_then(Rule::parse),
        federation: federation.and_then(|slug| Slug::parse(slug).ok()),
        key_id: None,
        closed: state == Some("closed"),
        muted: state == Some("muted"),
    };
    Ok(FindingsPage {
        findings: ops::findings::list(&cx, &wanted).await?,
        federations: ops::federations::list(&cx).await?,
        mutes: ops::findings::mutes::list(&cx).await?,
    })
}

/// Every case that the reader may see.
///
/// # Errors
/// See [`ops::cases::list`].
pub async fn cases() -> Result<Vec<CaseView>, UiError> {
    Ok(ops::cases::list(&admin_cx()?).await?)
}

/// One case.
///
/// # Errors
/// See [`ops::cases::open`]; an id that cannot be one is not found.
pub async fn case(id: &str) -> Result<CaseView, UiError> {
    let id = CaseId::parse(id).ok_or_else(|| UiError::not_found("case"))?;
    Ok(ops::cases::open(&admin_cx()?, &id).await?)
}

/// The channels.
///
/// # Errors
/// See [`ops::channels::list`].
pub async fn channels() -> Result<Channels, UiError> {
    Ok(ops::channels::list(&admin_cx()?).await?)
}

/// What the configuration has decided.
///
/// # Errors
/// See [`ops::configuration::read`].
pub fn configuration() -> Result<Configuration, UiError> {
    Ok(ops::configuration::read(&admin_cx()?)?)
}

/// Where records go as they come, for those who may see the installation.
///
/// # Errors
/// See [`ops::streams::standing`].
pub async fn streams() -> Result<Option<Vec<StreamView>>, UiError> {
    Ok(ops::streams::standing(&admin_cx()?).await?)
}

/// What the report of a compromise would do.
///
/// # Errors
/// See [`ops::compromise::preview`].
pub async fn consequences(id: &str) -> Result<Consequences, UiError> {
    let id = KeyId::parse(id).ok_or_else(|| UiError::not_found("key"))?;
    Ok(ops::compromise::preview(&admin_cx()?, &id).await?)
}

/// What a hand-over link is.
///
/// # Errors
/// See [`ops::hand_offs::look`].
pub async fn link(token: &str) -> Result<LinkView, UiError> {
    Ok(ops::hand_offs::look(&admin_cx()?, token).await?)
}

/// A key and its hand-overs, the newest first.
///
/// # Errors
/// See [`ops::hand_offs::of_key`].
pub async fn hand_overs(id: &str) -> Result<(KeyView, Vec<domain::hand_offs::HandOff>), UiError> {
    let (cx, id) = (admin_cx()?, KeyId::parse(id).ok_or_else(|| UiError::not_found("key"))?);
    Ok((ops::keys::open(&cx, &id).await?, ops::hand_offs::of_key(&cx, &id).await?))
}
