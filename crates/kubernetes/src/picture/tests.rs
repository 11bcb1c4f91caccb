mod stage;

mod endpoints;
mod own_pods;
mod revisions;
mod vying;
