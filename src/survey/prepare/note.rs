//! What was wrong with a star's input: one bit each.

use std::collections::BTreeMap;

/// A remark on a star's input data; the value is the bit's position in the column `input_notes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    SpectrumUnusable = 0,
    BpMissing = 1,
    RpMissing = 2,
    CorrelationsMissing = 3,
    MagnitudeInvalid = 4,
    Crowded = 5,
    ParallaxInvalid = 6,
    LabelInvalid = 7,
    ExtinctionInvalid = 8,
    NoFlux = 9,
    NoFreedom = 10,
    SpectrumUnreadable = 11,
    FiberBad = 12,
    ArmMissing = 13,
    BadPixels = 14,
    VelocityMissing = 15,
    VelocityInvalid = 16,
    NoOverlap = 17,
    ContinuumUnknown = 18,
    FloorNotIncluded = 19,
    LevelsDiffer = 20,
    FluxImpossible = 21,
}

impl Note {
    /// All notes, by bit.
    pub const ALL: [Self; 22] = [
        Self::SpectrumUnusable,
        Self::BpMissing,
        Self::RpMissing,
        Self::CorrelationsMissing,
        Self::MagnitudeInvalid,
        Self::Crowded,
        Self::ParallaxInvalid,
        Self::LabelInvalid,
        Self::ExtinctionInvalid,
        Self::NoFlux,
        Self::NoFreedom,
        Self::SpectrumUnreadable,
        Self::FiberBad,
        Self::ArmMissing,
        Self::BadPixels,
        Self::VelocityMissing,
        Self::VelocityInvalid,
        Self::NoOverlap,
        Self::ContinuumUnknown,
        Self::FloorNotIncluded,
        Self::LevelsDiffer,
        Self::FluxImpossible,
    ];

    /// The bit in `input_notes`.
    pub const fn bit(self) -> i32 {
        1 << self as i32
    }

    /// What the bit means.
    pub const fn description(self) -> &'static str {
        match self {
            Self::SpectrumUnusable => "the XP spectrum cannot be used; its fluxes are missing",
            Self::BpMissing => "no BP spectrum",
            Self::RpMissing => "no RP spectrum",
            Self::CorrelationsMissing => "XP coefficients or samples without correlations, taken as uncorrelated",
            Self::MagnitudeInvalid => "a magnitude beyond reason or without a positive finite error; the band is missing",
            Self::Crowded => "a band dropped by the crowding cut",
            Self::ParallaxInvalid => {
                "a parallax beyond reason, without a positive finite error, or without the bias to be subtracted; it is missing"
            }
            Self::LabelInvalid => "a label beyond reason or without a positive finite error; it is missing",
            Self::ExtinctionInvalid => "an extinction beyond reason or without a positive finite error; it is missing",
            Self::NoFlux => "no flux at all",
            Self::NoFreedom => "an XP solution without degrees of freedom (one or two transits): its errors are formal ones",
            Self::SpectrumUnreadable => "wavelengths, flux and errors of the spectrum do not fit together; it has no flux",
            Self::FiberBad => "the survey flags the fibre as bad",
            Self::ArmMissing => "an arm of the spectrum without a good pixel",
            Self::BadPixels => {
                "pixels that no mask covers with a flux or an inverse variance that is none (not finite, -9999 and its like, beyond reason, a negative inverse variance); they are missing"
            }
            Self::VelocityMissing => "no radial velocity",
            Self::VelocityInvalid => "a radial velocity beyond reason, warned of, or too uncertain; it is not used",
            Self::NoOverlap => "no overlap of the spectrum with the grid",
            Self::ContinuumUnknown => "pixels without a positive pseudo-continuum; they are missing",
            Self::LevelsDiffer => "exposures whose levels differ by more than a half; they were brought to that of the first",
            Self::FluxImpossible => {
                "a magnitude, an error or a spectrum with numbers that are stated and impossible (bit 10 of quality_flags)"
            }
            Self::FloorNotIncluded => {
                "an error of a magnitude below the floor that its table is said to have added (included_error_floor); it is taken as it is"
            }
        }
    }

    /// `{"bit": "meaning"}` for the file's metadata.
    pub(in crate::survey) fn legend() -> String {
        serde_json::json!(Self::ALL.map(|note| (note as i32, note.description())).into_iter().collect::<BTreeMap<_, _>>())
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_know_the_bit_of_impossible_fluxes() {
        assert_eq!(i64::from(Note::FluxImpossible.bit()), crate::observations::columns::IMPOSSIBLE_FLUX);
        assert_eq!(crate::survey::prepare::NOTES_COLUMN, crate::observations::columns::NOTES);
    }

    #[test]
    fn bits_are_distinct_and_the_legend_is_json() {
        assert_eq!(Note::ALL.iter().fold(0, |bits, note| bits | note.bit()), (1 << Note::ALL.len()) - 1);
        let legend: BTreeMap<String, String> = serde_json::from_str(&Note::legend()).unwrap();
        assert_eq!(legend["5"], Note::Crowded.description());
    }
}
