//! The order of steps from what is behind a Service to what should be. Pure; `drive` takes them.
//!
//! Whoever is in the path goes out of it only after somebody else is in it: while both are, both are right. Each step is
//! right after any other, so whoever finds a change half done goes on from there.
//!
//! On the way to the activators the selector is not just removed: first it is made to select nobody. Then Kubernetes'
//! own controllers take the pods out of their slices, and once they have, whatever they still write from an older view of
//! the Service names no pod. Without a selector they keep nothing any more, so what they leave is deleted; it would else
//! stand there for good.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::shapes::{Family, is_like};

/// What a Service selects that is to select nobody. No pod has this label.
pub(crate) const NOBODY: (&str, &str) = ("rouse.dev/selects", "nobody");

/// Labels by which pods are selected.
pub(crate) type Labels = BTreeMap<String, String>;

/// What should be behind a Service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    /// Activators: these slices of ours.
    Activators(BTreeMap<Family, EndpointSlice>),
    /// The pods with these labels.
    Pods(Labels),
    /// These slices of ours beside whatever stands there: of a Service that is not ours.
    Beside(BTreeMap<Family, EndpointSlice>),
    /// Nothing of ours beside whatever stands there.
    Left,
}

/// What is behind a Service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Behind {
    pub(crate) selects: Selects,
    /// Our slices.
    pub(crate) ours: BTreeMap<Family, EndpointSlice>,
    /// Slices of Kubernetes' own controllers.
    pub(crate) theirs: Vec<Theirs>,
    /// They may have left an Endpoints object too: they keep one as long as there is a selector.
    pub(crate) leftovers: bool,
}

impl Behind {
    /// The controllers have seen that nobody is selected: they keep a slice without anybody then.
    fn emptied(&self) -> bool {
        !self.theirs.is_empty() && !self.theirs.iter().any(|slice| slice.names_any)
    }
}

/// What a Service selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selects {
    /// It has no selector.
    Nothing,
    /// It has one that no pod has the labels of.
    Nobody,
    /// These pods.
    Pods(Labels),
}

impl Selects {
    pub(crate) fn of(service: &Service) -> Self {
        match service.spec.as_ref().and_then(|spec| spec.selector.as_ref()).filter(|labels| !labels.is_empty()) {
            None => Self::Nothing,
            Some(labels) if labels.contains_key(NOBODY.0) => Self::Nobody,
            Some(labels) => Self::Pods(labels.clone()),
        }
    }

    /// The labels of it.
    pub(crate) fn labels(&self) -> Labels {
        match self {
            Self::Nothing => Labels::new(),
            Self::Nobody => Labels::from([(NOBODY.0.to_owned(), NOBODY.1.to_owned())]),
            Self::Pods(labels) => labels.clone(),
        }
    }
}

/// A slice of one of Kubernetes' own controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Theirs {
    pub(crate) name: String,
    /// It names somebody.
    pub(crate) names_any: bool,
    /// It names somebody who is ready.
    pub(crate) names_ready: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write our slice of this family as wanted.
    Write(Family),
    /// Let the Service select this.
    Select(Selects),
    /// Wait until the controllers' slices are there and name nobody. If that does not come, they do not work, and write nothing either.
    AwaitNobody,
    /// Wait until the controllers' slices name somebody who is ready.
    AwaitReady,
    /// Delete the Endpoints object of the Service's name, if there is one.
    DeleteEndpoints,
    /// Delete a slice of the controllers.
    DeleteTheirs(String),
    /// Delete our slice of this family.
    DeleteOurs(Family),
    /// Nothing: it is as wanted.
    Rest,
}

/// The next step. `waited`: it has been waited long enough for the controllers to take somebody out.
pub(crate) fn next(wanted: &Wanted, is: &Behind, waited: bool) -> Step {
    match wanted {
        Wanted::Activators(slices) => to_activators(slices, is, waited),
        Wanted::Pods(labels) => to_pods(labels, is, waited),
        Wanted::Beside(slices) => beside(slices, is),
        Wanted::Left => leave(is),
    }
}

fn beside(slices: &BTreeMap<Family, EndpointSlice>, is: &Behind) -> Step {
    let differs =
        |(family, slice): &(&Family, &EndpointSlice)| !is.ours.get(family).is_some_and(|ours| is_like(ours, slice));
    if let Some((family, _)) = slices.iter().find(differs) {
        return Step::Write(*family);
    }
    match is.ours.keys().find(|family| !slices.contains_key(family)) {
        Some(family) => Step::DeleteOurs(*family),
        None => Step::Rest,
    }
}

fn to_activators(slices: &BTreeMap<Family, EndpointSlice>, is: &Behind, waited: bool) -> Step {
    let differs =
        |(family, slice): &(&Family, &EndpointSlice)| !is.ours.get(family).is_some_and(|ours| is_like(ours, slice));
    if let Some((family, _)) = slices.iter().find(differs) {
        return Step::Write(*family);
    }
    match &is.selects {
        Selects::Pods(_) => return Step::Select(Selects::Nobody),
        Selects::Nobody if !waited && !is.emptied() => return Step::AwaitNobody,
        Selects::Nobody => return Step::Select(Selects::Nothing),
        Selects::Nothing => {}
    }
    // Before the slices: they are what tells whoever comes after a change that was cut short that something was left.
    if is.leftovers {
        return Step::DeleteEndpoints;
    }
    if let Some(slice) = is.theirs.first() {
        return Step::DeleteTheirs(slice.name.clone());
    }
    match is.ours.keys().find(|family| !slices.contains_key(family)) {
        Some(family) => Step::DeleteOurs(*family),
        None => Step::Rest,
    }
}

fn to_pods(labels: &Labels, is: &Behind, waited: bool) -> Step {
    match &is.selects {
        Selects::Pods(selected) if selected == labels => {}
        // What the controllers name may be of the other selector for a while yet, and could pass for what is waited for.
        Selects::Pods(_) if !is.ours.is_empty() => return Step::Select(Selects::Nobody),
        Selects::Nobody if !waited && !is.emptied() => return Step::AwaitNobody,
        Selects::Pods(_) | Selects::Nobody | Selects::Nothing => return Step::Select(Selects::Pods(labels.clone())),
    }
    leave(is)
}

/// To others, once somebody of theirs is ready.
fn leave(is: &Behind) -> Step {
    match is.ours.keys().next() {
        None => Step::Rest,
        Some(_) if !is.theirs.iter().any(|slice| slice.names_ready) => Step::AwaitReady,
        Some(family) => Step::DeleteOurs(*family),
    }
}

#[cfg(test)]
mod tests;
