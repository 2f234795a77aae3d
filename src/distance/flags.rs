//! Bits of `quality_flags` of a catalogue of distances. Values below 8 leave a distance good; "not converged"
//! and "not fitted" (bits 6 and 11) are at the places that they have in catalogues of fits, so that summaries
//! of runs count them alike.

use crate::catalogue::flags::{Flag, NOT_CONVERGED, NOT_FITTED};

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

/// Every bit of a catalogue of distances.
pub const FLAGS: [Flag; 16] = [
    Flag::new(NO_PARALLAX, "no_parallax", "no parallax"),
    Flag::new(NEGATIVE_EXTINCTION, "negative_extinction", "extinction negative, used where within 3 of its errors of zero"),
    Flag::new(
        ZERO_POINT_EXTRAPOLATED,
        "zero_point_extrapolated",
        "magnitude or colour outside the range of the zero point's recipe",
    ),
    Flag::new(DISAGREE, "disagree", "parallax and spectrum more than 5 sigma apart"),
    Flag::new(NO_ZERO_POINT, "no_zero_point", "zero point of the parallax not known, not corrected"),
    Flag::new(BAD_PARALLAX, "bad_parallax", "parallax or its error impossible, not used"),
    Flag::new(UNRESOLVED, "unresolved", "measurements too contradictory for the grid"),
    Flag::new(RANGE_LIMITED, "range_limited", "the density goes on beyond the range of distances, no distance given"),
    Flag::new(NO_ABSOLUTE_MAGNITUDE, "no_absolute_magnitude", "no absolute magnitude (or spectroscopic parallax) with an error"),
    Flag::new(NO_MAGNITUDE, "no_magnitude", "no magnitude"),
    Flag::new(NO_EXTINCTION, "no_extinction", "no extinction"),
    Flag::new(NO_DISTANCE, "no_distance", "no distance"),
    Flag::new(
        BAD_PHOTOMETRY,
        "bad_photometry",
        "a magnitude, extinction, absolute magnitude or spectroscopic parallax impossible, not used",
    ),
    Flag::new(PARALLAX_ALONE, "parallax_alone", "taken for a binary, distance from the parallax alone"),
    Flag::new(HIGH_RUWE, "high_ruwe", "RUWE above the limit"),
    Flag::new(NO_POSITION, "no_position", "no position for the Galactic prior, equal densities taken"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_threshold_is_that_in_words_and_the_page_has_every_bit() {
        let page = include_str!("../../docs/src/distance.md");
        crate::catalogue::flags::tests::check(&FLAGS, page, |flag| format!("| {} | ", flag.bit()));
        assert!(FLAGS[3].text.contains(&format!("{LARGEST_PULL} sigma")));
    }
}
