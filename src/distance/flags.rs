//! Bits of `quality_flags` of a catalogue of distances. Values below 8 leave a distance good; "not converged"
//! and "not fitted" (bits 6 and 11) are at the places that they have in catalogues of fits, so that summaries
//! of runs count them alike.

use crate::catalogue::flags::{NOT_CONVERGED, NOT_FITTED};

pub const NO_PARALLAX: i32 = 1;
pub const NEGATIVE_EXTINCTION: i32 = 1 << 1;
pub const ZERO_POINT_EXTRAPOLATED: i32 = 1 << 2;
pub const DISAGREE: i32 = 1 << 3;
pub const NO_ZERO_POINT: i32 = 1 << 4;
pub const BAD_PARALLAX: i32 = 1 << 5;
pub const UNRESOLVED: i32 = NOT_CONVERGED;
pub const RANGE_LIMITED: i32 = 1 << 7;
pub const NO_ABSOLUTE_MAGNITUDE: i32 = 1 << 8;
pub const NO_MAGNITUDE: i32 = 1 << 9;
pub const NO_EXTINCTION: i32 = 1 << 10;
pub const NO_DISTANCE: i32 = NOT_FITTED;
pub const BAD_PHOTOMETRY: i32 = 1 << 12;
pub const PARALLAX_ALONE: i32 = 1 << 13;
pub const HIGH_RUWE: i32 = 1 << 14;
pub const NO_POSITION: i32 = 1 << 15;

/// Parallax and spectrum disagree where they are further apart than this many of their errors.
pub const LARGEST_PULL: f64 = 5.0;

/// Meaning of every bit, for the column's description and the documentation.
pub const DESCRIPTION: &str = "bit 0: no parallax; 1: extinction negative, used where within 3 of its errors of zero; \
2: magnitude or colour outside the range of the zero point's recipe; 3: parallax and spectrum more than 5 sigma apart; \
4: zero point of the parallax not known, not corrected; 5: parallax or its error impossible, not used; \
6: measurements too contradictory for the grid; 7: the density goes on beyond the range of distances, no distance given; \
8: no absolute magnitude (or spectroscopic parallax) with an error; 9: no magnitude; 10: no extinction; 11: no distance; \
12: a magnitude, extinction, absolute magnitude or spectroscopic parallax impossible, not used; \
13: taken for a binary, distance from the parallax alone; 14: RUWE above the limit; \
15: no position for the Galactic prior, equal densities taken. Below 8: the basic cut";
