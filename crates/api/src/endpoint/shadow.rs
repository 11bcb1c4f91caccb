//! `shadow` from YAML.

use units::Percent;

use super::routing::read_short;
use super::{Autoscaling, Shadow, TrafficTarget, bounds};
use crate::read::{NameRule, Spot};

/// `targets`: whom none may name; `None` if they could not be read.
pub(super) fn read_shadows(spot: &Spot<'_>, targets: Option<&[TrafficTarget]>) -> Option<Vec<Shadow>> {
    let mut seen: Vec<String> = Vec::new();
    let shadows = spot.entries(bounds::SHADOWS)?.into_iter().map(|spot| {
        let mut fields = spot.fields()?;
        let revision = fields.need("revision", "the name of a Deployment").and_then(|spot| {
            let name = spot.name(NameRule::Subdomain)?;
            if targets.into_iter().flatten().any(|target| target.name() == name) {
                spot.refuse(bounds::SHADOW_IS_NO_TARGET);
            } else if seen.contains(&name) {
                spot.refuse("each revision once");
            }
            seen.push(name.clone());
            Some(name)
        });
        let percent = fields.get("percent").map_or(Some(100), |spot| spot.small::<u8>(bounds::PERCENT));
        let wake = fields.get("wake").map_or(Some(false), |spot| spot.boolean());
        let compare = fields.get("compare").map(read_compare);
        fields.done();
        Some(Shadow {
            target: TrafficTarget {
                revision: revision.unwrap_or_default(),
                inference_service: None,
                percent: Percent::default(),
                tag: None,
                autoscaling: Autoscaling::default(),
            },
            percent: percent.and_then(Percent::new).unwrap_or_default(),
            wake: wake.unwrap_or_default(),
            compare: compare.flatten(),
        })
    });
    Some(shadows.flatten().collect())
}

fn read_compare(spot: Spot<'_>) -> Option<compare::Rules> {
    let mut fields = spot.fields()?;
    let defaults = compare::Rules::default();
    let tolerance = fields.get("tolerance").map_or(Some(defaults.tolerance), |spot| {
        let tolerance = spot.number()?.parse().ok().filter(|number| bounds::TOLERANCE.contains(number));
        if tolerance.is_none() {
            spot.refuse(format!("a number from {} to {}", bounds::TOLERANCE.start(), bounds::TOLERANCE.end()));
        }
        tolerance
    });
    let ignore = fields.get("ignore").map_or(Some(Vec::new()), |spot| {
        let pointers = spot.entries(bounds::IGNORED)?.into_iter().map(|spot| read_pointer(&spot));
        Some(pointers.flatten().collect())
    });
    fields.done();
    Some(compare::Rules { tolerance: tolerance?, ignore: ignore? })
}

fn read_pointer(spot: &Spot<'_>) -> Option<String> {
    let pointer = read_short(spot)?;
    if !pointer.starts_with('/') {
        spot.refuse(bounds::POINTER);
        return None;
    }
    Some(pointer)
}
