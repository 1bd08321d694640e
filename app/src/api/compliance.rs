//! What the pages of compliance load.

use domain::{
    AttestationId,
    compliance::{Period, Status, evidence::Pack},
    federations::Vendor,
};
use ops::compliance::{
    Board, Filter,
    attestations::{self, Brief, Draft, Signed},
    evidence,
};

use crate::{
    error::UiError,
    ssr::{admin_cx, now_ms},
};

/// The board, by the words of an address. A word that is none narrows nothing.
///
/// # Errors
/// See [`ops::compliance::board`].
pub async fn board(
    status: Option<&str>,
    vendor: Option<&str>,
    owner: Option<String>,
    text: Option<String>,
    after: Option<&str>,
) -> Result<(Board, Filter), UiError> {
    let filter = Filter {
        status: status.and_then(Status::parse),
        vendor: vendor.and_then(|vendor| Vendor::parse(vendor).ok()),
        owner,
        text,
    };
    let board = ops::compliance::board(&admin_cx()?, &filter, after).await?;
    Ok((board, filter))
}

/// What was signed, the last first.
///
/// # Errors
/// See [`attestations::list`].
pub async fn attestations(before: Option<&str>) -> Result<Vec<Brief>, UiError> {
    let before = before.and_then(AttestationId::parse);
    Ok(attestations::list(&admin_cx()?, before.as_ref()).await?)
}

/// One attestation.
///
/// # Errors
/// See [`attestations::open`]; an id that cannot be one is not found.
pub async fn attestation(id: &str) -> Result<Signed, UiError> {
    let id = AttestationId::parse(id).ok_or_else(|| UiError::not_found("attestation"))?;
    Ok(attestations::open(&admin_cx()?, &id).await?)
}

/// The period of an address; without one, the first that is offered: the quarter of today.
fn period_of(period: Option<String>) -> String {
    let today = || Period::offered(now_ms()).into_iter().next().map(|period| period.label);
    period.or_else(today).unwrap_or_default()
}

/// What would be signed for a period.
///
/// # Errors
/// See [`attestations::draft`].
pub async fn draft(period: Option<String>) -> Result<Draft, UiError> {
    Ok(attestations::draft(&admin_cx()?, &period_of(period)).await?)
}

/// What the records show for a period.
///
/// # Errors
/// See [`evidence::pack`].
pub async fn evidence(period: Option<String>) -> Result<Pack, UiError> {
    Ok(evidence::pack(&admin_cx()?, &period_of(period)).await?)
}
