//! `ModelEndpoint` from an API server: the same reader as for files, with paths in place of lines.

use serde_json::Value;

use crate::endpoint::{API_VERSION, ModelEndpoint};
use crate::fault::Faults;
use crate::read::{Report, Spot};
use crate::yaml::Node;

impl ModelEndpoint {
    /// Reads an object as an API server gives it, with `metadata` and `spec`; `status` is passed over.
    ///
    /// How far knobs of `autoscaling` may go is not looked at: that depends on the ConfigMap and on the Deployment's
    /// annotations, and one that is refused there leaves the last good one in force, while a fault here is one of the
    /// whole endpoint.
    ///
    /// # Errors
    /// Everything that is wrong, each with its path, in the order in which it was found. Fields that are part of
    /// `ModelEndpoint` and not served say `NotYetSupported` (see [`Fault::is_not_yet_supported`](crate::Fault::is_not_yet_supported)).
    pub fn from_object(object: &Value) -> Result<Self, Faults> {
        let root = Node::of_json(object);
        let report = Report::new(None);
        let spot = Spot::root(&root, &report);
        let mut endpoint = None;
        if let Some(mut envelope) = spot.clone().fields() {
            for (name, expected) in [("apiVersion", API_VERSION), ("kind", "ModelEndpoint")] {
                match envelope.get(name) {
                    Some(spot) if spot.plain() == Some(expected) => {}
                    Some(spot) => spot.refuse(expected),
                    None => envelope.refuse_field(name, "missing", expected),
                }
            }
            endpoint = Self::read(spot);
        }
        let faults = report.faults.take();
        // Without a fault there is always one to give.
        endpoint.filter(|_| faults.is_empty()).ok_or(Faults(faults))
    }
}

#[cfg(test)]
mod tests;
