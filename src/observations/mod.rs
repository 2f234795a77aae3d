//! Observations: identifiers, flux, noise, constraints, selections and batches; the same for every survey and for the simulator.

mod grid;

pub use grid::Grid;
