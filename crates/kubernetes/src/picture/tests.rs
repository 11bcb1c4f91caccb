mod stage;

mod endpoints;
mod kserve;
mod own_pods;
mod revisions;
mod vying;
