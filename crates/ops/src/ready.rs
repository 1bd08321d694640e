//! Reading one resource: from memory while nothing that its answer shows has changed.
//!
//! What is kept is whatever the edge makes of a resource, so that it is made once and not for each
//! request. The right of the key is checked and the request recorded every time. Pages of resources
//! are put together of the same: [`crate::listing::list_ready`].

use std::sync::Arc;

use domain::{audit::Action, scopes::ResourceKind};
use scim::ResourceType;
use store::cache::{Kind, Mark, Moment};

use crate::{
    Cx, Error, ScimClient,
    groups::{self, Group},
    listing::Found,
    scim_client::Asked,
    scoped::{self, ceilings},
    users::{self, User},
};

/// A user that shows more groups than this is read every time: each of them is one more thing that
/// it depends on.
const MOST_GROUPS: usize = 64;

/// One user, as `make` answers it; `make` also says how many bytes that takes.
///
/// # Errors
/// NotFound; Forbidden by the scope.
pub async fn user<T, F>(cx: &Cx<ScimClient>, asked: &Asked, id: &str, make: F) -> Result<Arc<T>, Error>
where
    T: Send + Sync + 'static,
    F: FnOnce(User) -> (T, usize) + Send,
{
    let found = async {
        ceilings::admit_read(cx, ResourceKind::Users).await?;
        if scoped::answers_differ(&cx.actor.scope, ResourceType::User) {
            let mut reader = cx.read().await?;
            let user = Box::pin(users::load(cx, &mut reader.conn(), id)).await?;
            return Ok(Arc::new(make(user).0));
        }
        let (store, federation_id) = (&cx.keyward.store, cx.federation_id());
        if let Some(ready) = store.fresh().await?.find::<T>(Kind::User, Some(federation_id), id) {
            return Ok(ready);
        }
        let moment = moment(cx);
        let mut reader = cx.read().await?;
        let user = Box::pin(users::load(cx, &mut reader.conn(), id)).await?;
        drop(reader);
        Ok(kept_user(cx, moment, user, make))
    };
    cx.answered(asked, Action::UserRead, found.await).await
}

/// One group, as `make` answers it; `make` also says how many bytes that takes.
///
/// # Errors
/// NotFound; Forbidden by the scope.
pub async fn group<T, F>(cx: &Cx<ScimClient>, asked: &Asked, id: &str, make: F) -> Result<Arc<T>, Error>
where
    T: Send + Sync + 'static,
    F: FnOnce(Group) -> (T, usize) + Send,
{
    let found = async {
        ceilings::admit_read(cx, ResourceKind::Groups).await?;
        if scoped::answers_differ(&cx.actor.scope, ResourceType::Group) {
            let mut reader = cx.read().await?;
            let group = Box::pin(groups::load(cx, &mut reader.view().await?.conn(), id)).await?;
            return Ok(Arc::new(make(group).0));
        }
        let (store, federation_id) = (&cx.keyward.store, cx.federation_id());
        if let Some(ready) = store.fresh().await?.find::<T>(Kind::Group, Some(federation_id), id) {
            return Ok(ready);
        }
        let moment = moment(cx);
        let mut reader = cx.read().await?;
        let group = Box::pin(groups::load(cx, &mut reader.view().await?.conn(), id)).await?;
        drop(reader);
        Ok(kept_group(cx, moment, group, make))
    };
    cx.answered(asked, Action::GroupRead, found.await).await
}

/// A document about the federation, as `make` makes it of the settings and schemas of the context; it also
/// says how many bytes that takes. Nothing is recorded.
///
/// # Errors
/// Unavailable when Postgres does not say whether other nodes changed something.
pub async fn document<T, F>(cx: &Cx<ScimClient>, name: &'static str, make: F) -> Result<Arc<T>, Error>
where
    T: Send + Sync + 'static,
    F: FnOnce() -> (T, usize) + Send,
{
    let (store, federation_id) = (&cx.keyward.store, cx.federation_id());
    if let Some(ready) = store.fresh().await?.find::<T>(Kind::Document, Some(federation_id), name) {
        return Ok(ready);
    }
    let ticket = moment(cx).ticket(Kind::Document, Some(federation_id), name);
    let (ready, bytes) = make();
    let ready = Arc::new(ready);
    if let Some(ticket) = ticket {
        store.cache().keep(ticket, &[Mark::Settings(federation_id)], Arc::clone(&ready), bytes);
    }
    Ok(ready)
}

/// The moment before a reading. What is made of it is made with settings and schemas that were read
/// when the key was accepted: when these have changed since, nothing is kept.
pub(crate) fn moment(cx: &Cx<ScimClient>) -> Moment {
    cx.keyward.store.cache().moment(cx.actor.proof.as_ref())
}

/// What is made of a resource that was read after `moment`, kept until something changes that it shows.
pub(crate) fn kept<T, F>(cx: &Cx<ScimClient>, moment: Moment, found: Found, make: F) -> Arc<T>
where
    T: Send + Sync + 'static,
    F: FnOnce(Found) -> (T, usize),
{
    match found {
        Found::User(user) => kept_user(cx, moment, user, |user| make(Found::User(user))),
        Found::Group(group) => kept_group(cx, moment, group, |group| make(Found::Group(group))),
    }
}

fn kept_user<T, F>(cx: &Cx<ScimClient>, moment: Moment, user: User, make: F) -> Arc<T>
where
    T: Send + Sync + 'static,
    F: FnOnce(User) -> (T, usize),
{
    let federation_id = cx.federation_id();
    let ticket = moment.ticket(Kind::User, Some(federation_id), user.id.as_str());
    let groups: Vec<String> = user.groups.iter().map(|group| group.value.clone()).collect();
    let (ready, bytes) = make(user);
    let ready = Arc::new(ready);
    if let Some(ticket) = ticket.filter(|_| groups.len() <= MOST_GROUPS) {
        let names = groups.iter().map(|id| Mark::GroupName(federation_id, id));
        let marks: Vec<Mark<'_>> =
            [Mark::Settings(federation_id), Mark::Nesting(federation_id)].into_iter().chain(names).collect();
        cx.keyward.store.cache().keep(ticket, &marks, Arc::clone(&ready), bytes);
    }
    ready
}

fn kept_group<T, F>(cx: &Cx<ScimClient>, moment: Moment, group: Group, make: F) -> Arc<T>
where
    T: Send + Sync + 'static,
    F: FnOnce(Group) -> (T, usize),
{
    let federation_id = cx.federation_id();
    let ticket = moment.ticket(Kind::Group, Some(federation_id), group.id.as_str());
    let (ready, bytes) = make(group);
    let ready = Arc::new(ready);
    if let Some(ticket) = ticket {
        // It shows the names of its members, whoever they are.
        let marks = [Mark::Settings(federation_id), Mark::Nesting(federation_id), Mark::Names(federation_id)];
        cx.keyward.store.cache().keep(ticket, &marks, Arc::clone(&ready), bytes);
    }
    ready
}
