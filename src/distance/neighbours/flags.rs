//! Bits of `neighbour_flags` of a catalogue of distances by neighbours. Values below 8 leave reddening and
//! absolute magnitude good.

use crate::catalogue::flags::Flag;

pub const OTHER_BAND: i32 = 1;
pub const FEW_BANDS: i32 = 1 << 1;
pub const MAGNITUDES_NOT_SURROUNDED: i32 = 1 << 2;
pub const NOT_SURROUNDED: i32 = 1 << 3;
pub const FAR: i32 = 1 << 4;
pub const POOR_COLOURS: i32 = 1 << 5;
pub const FEW_CONTROLS: i32 = 1 << 6;
pub const FEW_MAGNITUDE_CONTROLS: i32 = 1 << 7;
pub const NO_LABELS: i32 = 1 << 8;
pub const NO_COLOUR: i32 = 1 << 9;
pub const NO_BAND: i32 = 1 << 10;
pub const UNCERTAIN_LABELS: i32 = 1 << 11;

/// Every bit.
pub const FLAGS: [Flag; 12] = [
    Flag::new(OTHER_BAND, "other_band", "absolute magnitude in a later one of luminosity_bands, the first has no magnitude"),
    Flag::new(FEW_BANDS, "few_bands", "reddening of one colour alone, which nothing tests"),
    Flag::new(
        MAGNITUDES_NOT_SURROUNDED,
        "magnitudes_not_surrounded",
        "labels outside the hull of the neighbours with parallaxes, absolute magnitude extrapolated",
    ),
    Flag::new(NOT_SURROUNDED, "not_surrounded", "labels outside the hull of the neighbours, intrinsic colours extrapolated"),
    Flag::new(FAR, "far", "nearest control farther than the option farthest_control"),
    Flag::new(POOR_COLOURS, "poor_colours", "chi2 of the colours less probable than the option least_probability"),
    Flag::new(FEW_CONTROLS, "few_controls", "too few controls, no reddening"),
    Flag::new(FEW_MAGNITUDE_CONTROLS, "few_magnitude_controls", "too few controls with parallaxes, no absolute magnitude"),
    Flag::new(NO_LABELS, "no_labels", "a label or its error missing or impossible, nothing estimated"),
    Flag::new(NO_COLOUR, "no_colour", "magnitudes of less than two bands, no reddening"),
    Flag::new(NO_BAND, "no_band", "no magnitude in any of luminosity_bands"),
    Flag::new(
        UNCERTAIN_LABELS,
        "uncertain_labels",
        "error of a label beyond the option largest_label_error, over which colours and magnitudes are no straight lines",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_bit() {
        let page = include_str!("../../../docs/src/distance.md");
        let (_, page) = page.split_once("`neighbour_flags`").unwrap();
        crate::catalogue::flags::tests::check(&FLAGS, page, |flag| format!("| {} | ", flag.bit()));
    }
}
