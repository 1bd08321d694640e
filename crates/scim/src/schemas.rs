//! The schemas of a federation: those of the standard, and what an admin registered.
//!
//! Everything that reads, filters or renders asks a [`Type`]: a resource type together with the schemas
//! that it is seen through. A caller without extensions passes the bare
//! [`ResourceType`], which stands for the schemas of the standard.

use crate::{
    error::ScimError,
    extension::{Extension, MAX_EXTENSIONS},
    schema::{ResourceType, SCHEMAS, Schema},
};

/// The schemas of a federation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schemas {
    extensions: Vec<Extension>,
}

static STANDARD: Schemas = Schemas { extensions: Vec::new() };

impl Schemas {
    /// The schemas of the standard, without any extension of an admin.
    pub fn standard() -> &'static Self {
        &STANDARD
    }

    /// The schemas of the standard and these.
    ///
    /// # Errors
    /// `uniqueness` when two have the same URN; `invalidValue` when there are more than
    /// [`MAX_EXTENSIONS`], or when a URN is also the path of an attribute of another one.
    pub fn with_extensions(extensions: Vec<Extension>) -> Result<Self, ScimError> {
        if extensions.len() > MAX_EXTENSIONS {
            return Err(ScimError::invalid_value(format!(
                "a federation has at most {MAX_EXTENSIONS} extensions of its own"
            )));
        }
        for (index, extension) in extensions.iter().enumerate() {
            let urn = &extension.schema().id;
            for other in extensions.iter().skip(index + 1) {
                if other.schema().is(urn) {
                    return Err(ScimError::uniqueness(format!("id: '{urn}' is registered already")));
                }
            }
            for other in &extensions {
                let path = urn.get(..other.schema().id.len()).filter(|head| other.schema().is(head));
                let name =
                    path.and_then(|head| urn.get(head.len()..)).and_then(|rest| rest.strip_prefix(':'));
                if name.is_some_and(|name| other.schema().attribute(name).is_some()) {
                    return Err(ScimError::invalid_value(format!(
                        "id: '{urn}' is also the path of an attribute of '{}'",
                        other.schema().id
                    )));
                }
            }
        }
        Ok(Self { extensions })
    }

    /// A resource type as these schemas have it.
    pub const fn of(&self, kind: ResourceType) -> Type<'_> {
        Type { kind, schemas: self }
    }

    /// Every resource type.
    pub fn types(&self) -> impl Iterator<Item = Type<'_>> {
        ResourceType::ALL.into_iter().map(|kind| self.of(kind))
    }

    /// What an admin registered, in the order of registration.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Every schema that is served, those of the standard first.
    pub fn all(&self) -> impl Iterator<Item = &Schema> {
        SCHEMAS.into_iter().chain(self.extensions.iter().map(Extension::schema))
    }

    /// The schema with this URN, in any case.
    pub fn named(&self, urn: &str) -> Option<&Schema> {
        self.all().find(|schema| schema.is(urn))
    }
}

/// A resource type and the schemas that it is seen through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type<'a> {
    /// The resource type.
    pub kind: ResourceType,
    /// The schemas.
    pub schemas: &'a Schemas,
}

impl<'a> Type<'a> {
    /// The core schema.
    pub const fn schema(self) -> &'static Schema {
        self.kind.schema()
    }

    /// The schemas that a resource of this type may add to the core one: those of the standard first.
    pub fn extensions(self) -> impl Iterator<Item = &'a Schema> {
        let own = self.own_extensions().map(Extension::schema);
        self.kind.extensions().iter().copied().chain(own)
    }

    /// The extensions of this type that an admin registered.
    pub(crate) fn own_extensions(self) -> impl Iterator<Item = &'a Extension> {
        self.schemas.extensions.iter().filter(move |extension| extension.kind() == self.kind)
    }

    /// The extension with this URN, in any case.
    pub fn extension(self, urn: &str) -> Option<&'a Schema> {
        self.extensions().find(|extension| extension.is(urn))
    }

    /// The core schema or the extension with this URN, in any case.
    pub fn named(self, urn: &str) -> Option<&'a Schema> {
        if self.schema().is(urn) { Some(self.schema()) } else { self.extension(urn) }
    }
}

impl From<ResourceType> for Type<'static> {
    fn from(kind: ResourceType) -> Self {
        STANDARD.of(kind)
    }
}
