//! What the residuals of fitted stars say of their catalogue: does it belong to the model?
//!
//! The whitened residual r of a star at its optimum is (1 − H) n for noise n, H = J A⁻¹ Jᵀ with the whitened
//! Jacobian J and the curvature A of −½ ln P in all its terms: smaller than the noise, since the parameters
//! have taken up a part. An offset z of some data along the direction D (a band that is 0.05 mag too faint, a
//! parallax that is 0.03 mas too small) leaves (1 − H) D z of itself. So the score Dᵀ r of a star has the
//! mean M z and the variance M = Dᵀ (1 − H) D, whatever the star's parameters; sums of both over stars tell z
//! with its error, without a second fit. Where parallaxes and priors that entered are true, they are among
//! the data (their rows of J and their residuals), and the same holds.
//!
//! | file | concept |
//! |---|---|
//! | `groups` | which entries of a data vector have an offset in common |
//! | `responses` | scores and M, star by star |
//! | `sums` | sums over stars and over catalogues |
//! | `pairs` | unresolved pairs, which are not a zero point of all bands |
//! | `offsets` | offsets of the groups, alone and together |
//! | `zero_points` | zero points of all groups with a prior, and their file |
//! | `check` | what is beyond expectation, in words |

mod check;
mod groups;
mod offsets;
mod pairs;
mod responses;
mod sums;
#[cfg(test)]
mod tests;
mod zero_points;

pub use check::CatalogueCheck;
pub use groups::Groups;
pub use offsets::{LEAST_ERRORS, LEAST_OFFSET, LEAST_STARS, Offset};
pub use pairs::{PairShares, USUAL_SHARE};
pub(crate) use responses::packed;
pub use responses::{MAGNITUDE, Mark, Products, Responses};
pub use sums::ResidualSums;
pub use zero_points::{Held, LARGEST, ZeroPoint, ZeroPointStep, ZeroPoints};
