//! Training of pixel networks: every pixel is a small problem of its own.
//!
//! | file | concept |
//! |---|---|
//! | `loss` | the loss of a pixel and its gradient in double precision |
//! | `shared` | what all pixels share: samples in strips, products of their labels |
//! | `pass` | a network's fluxes and gradients at all samples |
//! | `normal_equations`, `two_layers` | Gauss–Newton equations from products of rows |
//! | `levenberg_marquardt` | the optimiser of a pixel |
//! | `adam` | Adam as published |
//! | `committee` | the mean of networks from different starts |
//! | `label_errors` | labels of the training stars in error, found in turn with the networks |
//! | `options`, `trainer` | choices, and the training of all pixels |
//! | `checkpoint` | finished pixels in a file |
//! | `history` | mean losses of the iterations |

mod adam;
mod checkpoint;
mod committee;
mod history;
mod label_errors;
#[cfg(test)]
mod label_errors_tests;
mod levenberg_marquardt;
mod loss;
#[cfg(test)]
mod loss_tests;
mod normal_equations;
#[cfg(test)]
mod normal_tests;
mod options;
mod pass;
mod shared;
mod trainer;
#[cfg(test)]
mod trainer_tests;
#[cfg(test)]
mod two_layer_tests;
mod two_layers;

pub use adam::AdamOptions;
pub use checkpoint::Checkpoint;
pub use history::HistoryRow;
pub(crate) use history::round_history;
pub use label_errors::{FreedLabels, LabelErrors};
pub(crate) use label_errors::{free_labels, label_rounds, weakened};
pub use levenberg_marquardt::Iteration;
pub use loss::{Loss, PixelTask, loss_and_gradient};
pub use options::{Optimiser, TrainingOptions};
pub use trainer::{PixelResult, Place, Training, TrainingSet, train};
