//! Which way requests take to an endpoint: what is behind its Services.
//!
//! `shapes` says what a Service and our slices look like, `seen` which way requests take by what was seen.

pub(crate) mod seen;
pub(crate) mod shapes;

use platform::{RouteError, RouteOrder};

use crate::actuator::Hands;

impl Hands {
    pub(crate) async fn order_route(&self, order: RouteOrder) -> Result<(), RouteError> {
        Err(RouteError { why: format!("routes of {} are not changed here", order.endpoint) })
    }
}
