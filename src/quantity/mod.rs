//! What the columns of files measure: the unit in which each quantity is used, what is possible for it, and
//! the way from a column as a file has it to numbers in that unit.
//!
//! ```text
//! column (unit of the file) ── Quantity::read ──► column (unit of the quantity; null: missing; ∞: beyond reason)
//! ```

mod append;
mod facts;
mod notices;
mod read;
mod reserved;
mod standard;

pub use append::{append, in_unit};
pub use facts::{Facts, GIANTS_BELOW, plain_symbol, symbol};
pub use notices::{Notices, say_other_capitals};
pub use read::Role;
pub use reserved::require_free_names;
pub use standard::{Quantity, is_declared_sentinel, is_sentinel};

/// The unit of flux in the files that this program writes, and of models of format 1.
pub const FLUX_UNIT: &str = "10**-18 W.m**-2.nm**-1";
/// Its square, the unit of covariances.
pub const COVARIANCE_UNIT: &str = "10**-36 W**2.m**-4.nm**-2";
/// A flux of this much, in [`FLUX_UNIT`], is none: Sirius has 1e8, the Sun 2e18.
pub const LARGEST_FLUX: f64 = 1e15;
/// How the names of XP samples among the fluxes begin.
pub const XP_SAMPLE: &str = "xp_";

/// The name of the XP sample at a wavelength in nm: `xp_392`.
pub fn xp_sample_name(wavelength: f64) -> String {
    format!("{XP_SAMPLE}{wavelength}")
}
