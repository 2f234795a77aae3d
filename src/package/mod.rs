//! What a saved model is: a folder whose `model.toml` says of what kind it is, and what every kind can do.
//!
//! Commands that work on a model know this room alone: [`Kinds`] finds the room that reads the folder,
//! [`Package::estimator`] gives what makes a catalogue from observations. A new family of models is a room of
//! its own that implements [`Kind`] and [`Estimator`] (and [`Trainable`], if recipes train it), and one line
//! where the program's kinds are listed.

mod estimator;
mod folder;
mod guide;
mod kinds;
mod request;
mod training;

pub use estimator::{Estimated, Estimator, FitStage, Reached};
pub use folder::MODEL_FOLDER;
pub use guide::Guide;
pub use kinds::{Kind, Kinds, Package, kind_of};
pub use request::{Request, StartFrom, read_toml};
pub use training::{Check, Report, Trainable, Trained, TrainingContext, no_ensembles};
