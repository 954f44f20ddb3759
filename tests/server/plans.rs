//! Periods and plans (chapter 3).

mod adjustments;
mod allowances;
mod burning;
mod features;
mod grants;
mod periods;
mod seats;
