//! Catalogues: what every estimate of stars has, whatever made it (identifier, parameters, covariance,
//! quality flags), and the table that is written. Knows no method and no model.

mod estimates;
pub mod flags;

pub use estimates::{CatalogueColumns, Estimates, packed};
