//! Stacks of the platform (docs/spec/api.md 4.21): the setting `stack` of an app names one of them.

use api::stacks::STACKS_PATH;
use axum::Json;
use axum::extract::State;
use domain::access::{Action, Resource, needs};

use super::operation::{Operation, get};
use crate::Controller;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(STACKS_PATH, needs(Action::Read, Resource::Account), "Lists the stacks of the platform", list)
            .gives::<api::stacks::Stacks>(200),
    ]
}

/// `GET /v2/stacks/`, by name.
async fn list(State(controller): State<Controller>) -> Json<api::stacks::Stacks> {
    let all = &controller.settings.stacks;
    let show = |(name, stack): (&domain::stacks::StackName, &domain::stacks::Stack)| api::stacks::Stack {
        name: name.to_string(),
        default: name == all.default_name(),
        toolchains: stack.toolchains.keys().cloned().collect(),
    };
    Json(api::stacks::Stacks { stacks: all.iter().map(show).collect() })
}
