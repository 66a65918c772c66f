//! Commands that configure: domain ↔ protobuf.

use super::DecodeError;
use super::command::required;
use super::pb::meta::v1 as pb;
use crate::domain::registry::{GroupId, GroupRef, RegistryId};
use crate::domain::text::{Description, DisplayName};
use crate::state::command::{CreateRegistry, UpdateRegistry};

/// A limit as it travels: what does not fit is no limit.
pub(super) fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn name(text: &str, message: &'static str) -> Result<DisplayName, DecodeError> {
    text.parse().map_err(|_| DecodeError::field(message, "name"))
}

fn description(text: Option<String>, message: &'static str) -> Result<Option<Description>, DecodeError> {
    text.map(|text| text.parse()).transpose().map_err(|_| DecodeError::field(message, "description"))
}

fn text(description: Option<&Description>) -> Option<String> {
    description.map(|text| text.as_str().to_owned())
}

pub(super) fn create_registry_to(create: &CreateRegistry) -> pb::CreateRegistry {
    let group = match &create.group {
        GroupRef::Id(id) => pb::create_registry::Group::GroupId(id.0),
        GroupRef::Path(path) => pb::create_registry::Group::GroupPath(path.as_str().to_owned()),
    };
    pb::CreateRegistry {
        group: Some(group),
        create_group: create.create_group,
        name: create.name.as_str().to_owned(),
        description: text(create.description.as_ref()),
        at_most: create.at_most as u64,
    }
}

pub(super) fn create_registry_from(m: pb::CreateRegistry) -> Result<CreateRegistry, DecodeError> {
    const NAME: &str = "CreateRegistry";
    let invalid = DecodeError::field(NAME, "group");
    let group = match required(m.group, NAME, "group")? {
        pb::create_registry::Group::GroupId(id) => GroupRef::Id(GroupId::from_number(id).ok_or(invalid)?),
        pb::create_registry::Group::GroupPath(path) => GroupRef::Path(path.parse().map_err(|_| invalid)?),
    };
    Ok(CreateRegistry {
        group,
        create_group: m.create_group,
        name: name(&m.name, NAME)?,
        description: description(m.description, NAME)?,
        at_most: count(m.at_most),
    })
}

pub(super) fn update_registry_to(update: &UpdateRegistry) -> pb::UpdateRegistry {
    let description = update.description.as_ref();
    pb::UpdateRegistry {
        id: update.id.0,
        name: update.name.as_ref().map(|name| name.as_str().to_owned()),
        description: description.map(|new| pb::NewDescription { text: text(new.as_ref()) }),
        anonymous_pull: update.anonymous_pull,
    }
}

pub(super) fn update_registry_from(m: pb::UpdateRegistry) -> Result<UpdateRegistry, DecodeError> {
    const NAME: &str = "UpdateRegistry";
    Ok(UpdateRegistry {
        id: RegistryId(m.id),
        name: m.name.map(|text| name(&text, NAME)).transpose()?,
        description: m.description.map(|new| description(new.text, NAME)).transpose()?,
        anonymous_pull: m.anonymous_pull,
    })
}
