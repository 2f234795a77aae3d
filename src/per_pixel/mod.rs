//! Spectra with a small model per pixel (DD-Payne: Ting et al. 2017; Xiang et al. 2019; Zhang et al. 2024):
//! from labels to normalised flux, held to the label gradients of stellar physics. On the processor, without
//! tensors of burn.
//!
//! | file | concept |
//! |---|---|
//! | `labels` | names, units and ranges; labels scaled to ±½ |
//! | `tensor_file` | named arrays in safetensors |
//! | `library`, `library_file` | spectra and label gradients of a synthesis at reference labels |
//! | `library_agreement`, `library_pixels` | fluxes held against gradients; pixels that are narrower than the training's |
//! | `space_file`, `family` | labels and wavelengths of a model in its file; of which family a file is |
//! | `activation`, `network`, `network_file` | one small network per pixel, its named tensors, the published layout |
//! | `polynomial` | a polynomial per pixel, in closed form |
//! | `joint` | one network for all pixels |
//! | `spectra` | spectra with known labels |
//! | `regularisation` | how strongly labels are held to physics |
//! | `train` | training, a pixel at a time |
//! | `engine` | what fits need of a model of pixels; emulated spectra |
//! | `diagnosis` | do labels come from their own lines? |
//! | `fit` | all labels from all pixels of a spectrum, with velocity and continuum |
//! | `strip_rows` | arithmetic on rows of strips |
//! | `pixel_map` | a linear map from numbers that all pixels share |
//! | `network_engine` | networks in single precision, lanes being pixels |

mod activation;
mod diagnosis;
mod engine;
mod family;
mod fit;
#[cfg(test)]
mod fit_tests;
#[cfg(test)]
mod honesty_tests;
pub mod joint;
mod labels;
mod library;
mod library_agreement;
mod library_file;
mod library_pixels;
#[cfg(test)]
mod library_tests;
mod network;
mod network_engine;
mod network_file;
#[cfg(test)]
mod network_tests;
mod pixel_map;
pub mod polynomial;
mod regularisation;
mod space_file;
mod spectra;
mod strip_rows;
mod tensor_file;
pub mod train;

pub use activation::Activation;
pub use diagnosis::{Fidelity, Response, gradient_fidelity, gradient_fidelity_of, largest_error, responses};
pub use engine::{PixelModel, emulate, evaluate_all};
pub use family::Family;
pub use fit::{Ending, Nuisance, SpectrumEngine, SpectrumFitOptions, SpectrumFits, SpectrumFitter, Velocity, is_beside_labels};
pub use joint::{DenseLayer, JointEngine, JointNetwork};
pub use labels::{LabelSpace, canonical_name, is_abundance_ratio};
pub use library::GradientLibrary;
pub use library_agreement::Agreement;
pub use network::{Architecture, PixelNetworks};
pub use network_engine::NetworkEngine;
pub use network_file::{read_labels, write_labels};
pub use polynomial::{PixelPolynomials, PolynomialEngine, PolynomialOptions};
pub use regularisation::Regularisation;
pub use spectra::LabelledSpectra;
