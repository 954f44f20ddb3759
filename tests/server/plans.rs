//! Periods and plans (chapter 3).

mod add_ons;
mod adjustments;
mod allowances;
mod anchors;
mod burning;
mod cancelling;
mod changes;
mod features;
mod grants;
mod overrides;
mod periods;
mod previews;
mod remedies;
mod repeats;
mod seats;
