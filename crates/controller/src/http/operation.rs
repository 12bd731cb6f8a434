//! An operation of the API: method, path, access rule, handler, types of request and response.
//!
//! Each module declares its operations beside their handlers. Routes, access checks, `Allow` and the OpenAPI document
//! are made from these rows alone, so no handler is reachable without a rule or a description.

use std::borrow::Cow;

use axum::handler::Handler;
use axum::http::StatusCode;
use axum::routing::{self, MethodRouter};
use domain::access::AccessRule;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::Controller;

/// One operation, made by [`get`], [`post`] or [`delete`] and completed by the methods below.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) rule: AccessRule,
    /// Purpose, as the description states it.
    pub(super) summary: &'static str,
    /// Routes this method, and no other, to the handler.
    pub(super) handler: MethodRouter<Controller>,
    /// Type of the request's body.
    pub(super) body: Option<TypeSchema>,
    /// Successful responses.
    pub(super) responses: Vec<(StatusCode, Content)>,
    /// Field of the response by which the paths below find the created resource.
    pub(super) key: Option<&'static str>,
}

/// Content of a successful response.
#[derive(Clone, Copy)]
pub(super) enum Content {
    Empty,
    /// JSON of no fixed type.
    Any,
    /// Lines of text.
    Lines,
    /// JSON values, each on a line of its own, without an end.
    Events(TypeSchema),
    One(TypeSchema),
    List(TypeSchema),
    Page(TypeSchema),
}

impl Content {
    /// Schema of the values in it.
    pub(super) fn schema(self) -> Option<TypeSchema> {
        match self {
            Self::Empty | Self::Any | Self::Lines => None,
            Self::Events(schema) | Self::One(schema) | Self::List(schema) | Self::Page(schema) => {
                Some(schema)
            }
        }
    }
}

/// Schema of a type of `api`.
#[derive(Clone, Copy)]
pub(super) struct TypeSchema {
    pub(super) name: fn() -> Cow<'static, str>,
    pub(super) schema: fn() -> RefOr<Schema>,
    /// Adds the named types that it refers to.
    pub(super) referenced: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl TypeSchema {
    pub(super) fn of<T: ToSchema>() -> Self {
        Self { name: T::name, schema: T::schema, referenced: T::schemas }
    }
}

/// A GET; HEAD comes with it.
pub(super) fn get<H: Handler<T, Controller>, T: 'static>(
    path: &'static str,
    rule: AccessRule,
    summary: &'static str,
    handler: H,
) -> Operation {
    Operation::new("GET", path, rule, summary, routing::get(handler))
}

/// A POST.
pub(super) fn post<H: Handler<T, Controller>, T: 'static>(
    path: &'static str,
    rule: AccessRule,
    summary: &'static str,
    handler: H,
) -> Operation {
    Operation::new("POST", path, rule, summary, routing::post(handler))
}

/// A DELETE, which responds with 204.
pub(super) fn delete<H: Handler<T, Controller>, T: 'static>(
    path: &'static str,
    rule: AccessRule,
    summary: &'static str,
    handler: H,
) -> Operation {
    Operation::new("DELETE", path, rule, summary, routing::delete(handler)).empty(204)
}

impl Operation {
    fn new(
        method: &'static str,
        path: &'static str,
        rule: AccessRule,
        summary: &'static str,
        handler: MethodRouter<Controller>,
    ) -> Self {
        Self { method, path, rule, summary, handler, body: None, responses: Vec::new(), key: None }
    }

    /// Takes a body of this type.
    pub(super) fn takes<T: ToSchema>(self) -> Self {
        Self { body: Some(TypeSchema::of::<T>()), ..self }
    }

    /// Responds with a value of this type.
    pub(super) fn gives<T: ToSchema>(self, status: u16) -> Self {
        self.responds(status, Content::One(TypeSchema::of::<T>()))
    }

    /// Responds with all values of a list.
    pub(super) fn list<T: ToSchema>(self) -> Self {
        self.responds(200, Content::List(TypeSchema::of::<T>()))
    }

    /// Responds with a page of a list.
    pub(super) fn page<T: ToSchema>(self) -> Self {
        self.responds(200, Content::Page(TypeSchema::of::<T>()))
    }

    /// Responds with JSON of no fixed type.
    pub(super) fn any(self) -> Self {
        self.responds(200, Content::Any)
    }

    /// Responds with lines of text.
    pub(super) fn lines(self) -> Self {
        self.responds(200, Content::Lines)
    }

    /// Responds with values as they come.
    pub(super) fn events<T: ToSchema>(self) -> Self {
        self.responds(200, Content::Events(TypeSchema::of::<T>()))
    }

    /// Responds without content.
    pub(super) fn empty(self, status: u16) -> Self {
        self.responds(status, Content::Empty)
    }

    /// Becomes a WebSocket.
    pub(super) fn websocket(self) -> Self {
        self.empty(101)
    }

    /// Names the field of the response by which the paths below find the created resource.
    pub(super) fn found_by(self, field: &'static str) -> Self {
        Self { key: Some(field), ..self }
    }

    /// Returns true if the operation answers JSON or nothing, which `Accept` must allow.
    pub(super) fn answers_json(&self) -> bool {
        let is_other = |(status, content): &(StatusCode, Content)| {
            *status == StatusCode::SWITCHING_PROTOCOLS
                || matches!(content, Content::Lines | Content::Events(_))
        };
        !self.responses.iter().any(is_other)
    }

    /// Method, path and access rule.
    pub(super) fn row(&self) -> (&'static str, &'static str, AccessRule) {
        (self.method, self.path, self.rule)
    }

    fn responds(mut self, status: u16, content: Content) -> Self {
        let status = StatusCode::from_u16(status).expect("each row has a status of HTTP");
        self.responses.push((status, content));
        self
    }
}
