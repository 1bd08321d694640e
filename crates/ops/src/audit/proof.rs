//! The proof that one record is in the log.

use domain::{
    Millis,
    admins::Admin,
    audit::{merkle, proof::RecordProof},
};
use store::{Conn, checkpoints::CheckpointRow};

use super::open;
use crate::{Cx, Error};

/// A record with what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The record and its path.
    pub proof: RecordProof,
    /// The first checkpoint over it.
    pub checkpoint: CheckpointRow,
    /// The anchors that have this checkpoint, and when they were told last.
    pub anchors: Vec<(String, Millis)>,
}

/// The proof of a record that the viewer may see; `None` while no checkpoint is over it.
///
/// # Errors
/// As [`open`]; Conflict when the tree as it is kept does not lead to the checkpoint.
pub async fn prove(cx: &Cx<Admin>, seq: i64) -> Result<Option<Proof>, Error> {
    open(cx, seq).await?;
    let mut reader = cx.read().await?;
    let Some((proof, checkpoint)) = prove_in(&mut reader.conn(), seq).await? else { return Ok(None) };
    let mut anchors = Vec::new();
    for anchor in cx.keyward.anchors() {
        let row = store::checkpoints::anchor(&mut reader.conn(), anchor.name()).await?;
        if let Some((size, told_ms)) = row.and_then(|row| Some((row.size, row.told_ms?)))
            && size >= checkpoint.size
        {
            anchors.push((anchor.name().to_owned(), told_ms));
        }
    }
    Ok(Some(Proof { proof, checkpoint, anchors }))
}

/// The proof of a record of a database; `None` while no checkpoint is over it.
///
/// # Errors
/// NotFound without such a record; Conflict as [`prove`].
pub async fn prove_in(conn: &mut Conn<'_>, seq: i64) -> Result<Option<(RecordProof, CheckpointRow)>, Error> {
    let entry = store::checkpoints::entries(conn, seq, 1).await?.pop().filter(|entry| entry.seq == seq);
    let entry = entry.ok_or(Error::NotFound("audit record"))?;
    let Some(checkpoint) = store::checkpoints::over(conn, seq).await? else { return Ok(None) };
    let broken = || {
        Error::Conflict(format!(
            "record {seq} cannot be proven: the log does not lead to its checkpoint; run `keyward audit verify`"
        ))
    };
    let (index, size) = (u64::try_from(seq - 1), u64::try_from(checkpoint.size));
    let (Ok(index), Ok(size)) = (index, size) else { return Err(Error::NotFound("audit record")) };
    let path = merkle::inclusion(index, size).ok_or_else(broken)?;
    let path = store::checkpoints::hashes(conn, &path).await?.ok_or_else(broken)?;
    let proof = RecordProof { entry, path, note: checkpoint.note.clone() };
    proof.verify(&[]).map_err(|_| broken())?;
    Ok(Some((proof, checkpoint)))
}
