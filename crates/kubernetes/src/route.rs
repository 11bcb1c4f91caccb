//! Which way requests take to an endpoint: what is behind its Services.
//!
//! `shapes` says what a Service and our slices look like, `seen` which way requests take by what was seen, `plan` in which
//! order a way is changed, and `drive` changes it. Whether the activators know the route before they are put into it is for
//! whoever orders it to see to.

mod drive;
mod plan;
pub(crate) mod seen;
pub(crate) mod shapes;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use platform::{Route, RouteError, RouteOrder};
use tokio::time::timeout;
use units::EndpointKey;

use crate::actuator::Hands;
use crate::names::services_of;

use self::drive::Drive;
use self::plan::{Labels, Wanted};
use self::shapes::{Family, beside, families_of, slice_of};

/// An order that has not come to its end by then is ordered anew, if it is still wanted.
const PATIENCE: Duration = Duration::from_secs(15);

/// What an order wants, of every Service of the endpoint.
enum Goal {
    Activators { addresses: Vec<IpAddr>, own_port: u16 },
    Pods(Labels),
}

impl Goal {
    /// Of a Service of the endpoint.
    fn of(&self, service: &Service) -> Result<Wanted, RouteError> {
        match self {
            Self::Pods(labels) => Ok(Wanted::Pods(labels.clone())),
            Self::Activators { addresses, own_port } => {
                Self::slices(service, addresses, *own_port).map(Wanted::Activators)
            }
        }
    }

    /// Of a Service of KServe's.
    fn beside(&self, service: &Service, endpoint: &EndpointKey, uid: &str) -> Result<Wanted, RouteError> {
        let Self::Activators { addresses, own_port } = self else { return Ok(Wanted::Left) };
        let slices = Self::slices(service, addresses, *own_port)?;
        let of_endpoint = |(family, slice)| (family, beside(slice, endpoint, uid));
        Ok(Wanted::Beside(slices.into_iter().map(of_endpoint).collect()))
    }

    fn slices(
        service: &Service,
        addresses: &[IpAddr],
        own_port: u16,
    ) -> Result<BTreeMap<Family, EndpointSlice>, RouteError> {
        let slices: BTreeMap<_, _> = families_of(service)
            .into_iter()
            .filter(|family| addresses.iter().any(|address| family.has(address)))
            .map(|family| (family, slice_of(service, family, addresses, own_port)))
            .collect();
        if slices.is_empty() {
            let name = service.metadata.name.as_deref().unwrap_or_default();
            return Err(RouteError { why: format!("no activator has an address of a family that Service {name} has") });
        }
        Ok(slices)
    }
}

impl Hands {
    /// Changes which way requests take. All Services of the endpoint go the same way.
    pub(crate) async fn order_route(&self, order: RouteOrder) -> Result<(), RouteError> {
        let late = || RouteError { why: format!("it was not done within {PATIENCE:?}") };
        timeout(PATIENCE, self.change_route(&order)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn change_route(&self, order: &RouteOrder) -> Result<(), RouteError> {
        let Some(object) = self.cluster.world.endpoint(&order.endpoint) else {
            return Err(RouteError { why: "the endpoint does not exist".to_owned() });
        };
        let Ok(spec) = &object.spec else {
            return Err(RouteError { why: "the endpoint has faults".to_owned() });
        };
        let found = self.cluster.world.findings(&order.endpoint);
        let spec = found.as_ref().and_then(|found| found.resolved.as_ref()).unwrap_or(spec);
        let goal = match &order.route {
            Route::Proxied { through } => self.activators(through, object.status.activator_port)?,
            Route::Direct => self.pods(spec)?,
            Route::Changing { .. } => return Err(RouteError { why: "a change is not to be ordered".to_owned() }),
        };
        let mut ends = Vec::new();
        for name in services_of(spec) {
            // A thousand new endpoints would otherwise ask for what is not there a thousand times a second, and hold up the
            // API server in making it.
            if self.cluster.world.knows_of_no_service(&order.endpoint.namespace, &name) {
                ends.push(Err(RouteError { why: format!("Service {name} does not exist yet") }));
                continue;
            }
            let drive = Drive::new(self, order.epoch, Some(&object.uid), &order.endpoint.namespace, &name);
            ends.push(drive.run(|service| goal.of(service)).await);
        }
        for name in found.iter().flat_map(|found| &found.beside) {
            let drive = Drive::new(self, order.epoch, None, &order.endpoint.namespace, name);
            ends.push(drive.run(|service| goal.beside(service, &order.endpoint, &object.uid)).await);
        }
        // That one cannot be changed keeps no other from it.
        ends.into_iter().collect()
    }

    fn activators(&self, through: &[Arc<str>], own_port: Option<u16>) -> Result<Goal, RouteError> {
        let Some(own_port) = own_port else {
            return Err(RouteError { why: "the endpoint has no port of its own on the activators yet".to_owned() });
        };
        let addresses: Vec<IpAddr> =
            self.cluster.world.addresses_of(through).into_iter().flat_map(|(_, addresses)| addresses).collect();
        if addresses.is_empty() {
            return Err(RouteError { why: "none of the activators has an address".to_owned() });
        }
        Ok(Goal::Activators { addresses, own_port })
    }

    /// The pods of the one revision that an endpoint has if it may go direct.
    fn pods(&self, spec: &api::ModelEndpoint) -> Result<Goal, RouteError> {
        let mut revisions = spec.revisions();
        let (Some(revision), None) = (revisions.next(), revisions.next()) else {
            return Err(RouteError { why: "of several revisions an activator has to choose".to_owned() });
        };
        let Some(deployment) = self.cluster.world.deployment(&revision) else {
            return Err(RouteError { why: format!("Deployment {revision} does not exist") });
        };
        let Some(labels) = deployment.match_labels() else {
            let why = format!("Deployment {revision} selects its pods by expressions, which a Service cannot");
            return Err(RouteError { why });
        };
        Ok(Goal::Pods(labels.iter().map(|(label, value)| (label.to_string(), value.to_string())).collect()))
    }
}

#[cfg(test)]
mod tests;
