//! Forward models: [`Parameter`]s, [`Effect`]s, their [`Registry`], the [`ForwardModel`] that composes them,
//! and its directory on disk. Knows no data files.

mod calibration;
mod check;
mod closed_form;
pub mod contract;
mod derived;
mod directory;
mod distance;
mod effect;
mod emulator;
mod extinction;
mod extinction_law;
mod forward;
mod parameter;
mod registry;
mod role;
mod second_star;

pub use calibration::{Calibration, CalibrationRegion};
pub(crate) use check::{check_grid, check_held, check_kelvin, check_measured};
pub use closed_form::ClosedForm;
pub use derived::Derived;
pub use directory::{EnsembleCard, EnsembleMember, FORMAT, ModelCard};
pub use distance::Distance;
pub use effect::{Effect, FluxJet, StarParameters};
pub use emulator::{Activation, Emulator};
pub use extinction::{CURVE_VARIATION, Extinction, LN_CURVE};
pub use extinction_law::ExtinctionLaw;
pub use forward::ForwardModel;
pub use parameter::{GaussianPrior, Parameter, ParameterSpace, Transform};
pub use registry::{AnyEffect, Registry};
pub use role::Role;
pub use second_star::SecondStar;
