//! Reading one resource: from memory while nothing that its answer shows has changed.
//!
//! What is kept is whatever the edge makes of a resource, so that it is made once and not for each
//! request. The right of the key is checked and the request recorded every time.

use std::sync::Arc;

use domain::{
    audit::Action,
    scopes::{ResourceKind, Verb},
};
use store::cache::{Kind, Mark};

use crate::{
    Cx, Error, ScimClient,
    groups::{self, Group},
    scim_client::Asked,
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
        cx.admit(Verb::Read, ResourceKind::Users)?;
        let (store, federation_id) = (&cx.keyward.store, cx.federation_id());
        if let Some((ready, _)) = store.cached::<T>(Kind::User, Some(federation_id), id).await? {
            return Ok(ready);
        }
        let ticket = store.cache().ticket(Kind::User, Some(federation_id), id);
        let mut reader = cx.read().await?;
        let user = Box::pin(users::load(cx, &mut reader.conn(), id)).await?;
        drop(reader);
        let groups: Vec<String> = user.groups.iter().map(|group| group.value.clone()).collect();
        let (ready, bytes) = make(user);
        let ready = Arc::new(ready);
        if let Some(ticket) = ticket.filter(|_| groups.len() <= MOST_GROUPS) {
            let names = groups.iter().map(|id| Mark::GroupName(federation_id, id));
            let marks: Vec<Mark<'_>> = [Mark::Settings(federation_id), Mark::Nesting(federation_id)]
                .into_iter()
                .chain(names)
                .collect();
            store.cache().keep(ticket, &marks, Arc::clone(&ready), bytes);
        }
        Ok(ready)
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
        cx.admit(Verb::Read, ResourceKind::Groups)?;
        let (store, federation_id) = (&cx.keyward.store, cx.federation_id());
        if let Some((ready, _)) = store.cached::<T>(Kind::Group, Some(federation_id), id).await? {
            return Ok(ready);
        }
        let ticket = store.cache().ticket(Kind::Group, Some(federation_id), id);
        let mut reader = cx.read().await?;
        let group = Box::pin(groups::load(cx, &mut reader.conn(), id)).await?;
        drop(reader);
        let (ready, bytes) = make(group);
        let ready = Arc::new(ready);
        if let Some(ticket) = ticket {
            // It shows the names of its members, whoever they are.
            let marks =
                [Mark::Settings(federation_id), Mark::Nesting(federation_id), Mark::Names(federation_id)];
            store.cache().keep(ticket, &marks, Arc::clone(&ready), bytes);
        }
        Ok(ready)
    };
    cx.answered(asked, Action::GroupRead, found.await).await
}
