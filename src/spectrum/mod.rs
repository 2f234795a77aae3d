//! Spectra: what happens to flux between star and instrument, and from a spectrum as it was observed to one
//! on a common grid: rest frame, vacuum or air, resampling, arms joined, pseudo-continuum. Knows no
//! surveys.

pub mod continuum;
mod doppler;
pub mod extinction_law;
mod grid;
mod join;
mod medium;
mod resample;
mod resolution;
mod windows;

pub use doppler::{Doppler, LARGEST_VELOCITY, SPEED_OF_LIGHT};
pub use grid::{PixelGrid, Spacing, pixel_bounds};
pub use join::Joined;
pub use medium::Medium;
pub use resample::{Resampled, Resampler, Variance};
pub use resolution::{FWHM_OF_SIGMA, ResolutionMatrix};
pub use windows::{Frame, Window, named_windows, window_names};
