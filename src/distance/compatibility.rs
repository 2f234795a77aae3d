//! Catalogues with the column names, units and senses of flags of the published ones. Columns of the papers'
//! tables that a catalogue of distances has no numbers for (radial velocities, say) are copied from the input
//! where it has them by those names.

use super::magnitude::distance_fraction;
use super::star::{Estimate, Star};
use crate::error::Result;
use crate::statistics::Measured;
use crate::table::{Column, ColumnSchema, Table, Values};
use std::str::FromStr;

/// Whose names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaperNames {
    /// Li et al. 2025, table 1: `BINARY_FLAG` is 1 for single stars and 0 for binaries; `DIST` is of the
    /// spectrum alone, in kpc.
    Specdis,
    /// Xiang et al. 2021, table 1: `binary_flag` is 1 for binaries, 0 for single stars, −9 where it is not
    /// known.
    ObStars,
}

impl FromStr for PaperNames {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "specdis" => Ok(Self::Specdis),
            "ob-stars" => Ok(Self::ObStars),
            _ => Err("expected specdis or ob-stars".into()),
        }
    }
}

impl std::fmt::Display for PaperNames {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Specdis => "specdis",
            Self::ObStars => "ob-stars",
        })
    }
}

/// Part of a catalogue: where it comes from, and what was found.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub input: &'a Table,
    pub ids: &'a [i64],
    pub stars: &'a [Star],
    pub estimates: &'a [Estimate],
}

impl PaperNames {
    /// Columns of the input that the paper's table has too.
    fn copied(self) -> &'static [&'static str] {
        match self {
            Self::Specdis => &["TARGETID", "PMRA", "PMRA_ERR", "PMDEC", "PMDEC_ERR", "VRAD", "EBV"],
            Self::ObStars => &["specid", "fitsname", "uniqflag", "star_id", "rv", "rv_err", "ebv", "ebv_err", "em_flag"],
        }
    }

    /// The table.
    ///
    /// # Errors
    /// When two columns would have the same name.
    pub fn table(self, rows: &Rows<'_>) -> Result<Table> {
        let mut table = Table::with_rows(rows.ids.len());
        for name in self.copied() {
            if let Some(column) = rows.input.get_in_any_case(name) {
                let mut column = column.clone();
                (*name).clone_into(&mut column.schema.name);
                table.push(column)?;
            }
        }
        match self {
            Self::Specdis => rows.specdis(&mut table)?,
            Self::ObStars => rows.ob_stars(&mut table)?,
        }
        Ok(table)
    }
}

/// A paper's column of numbers: name, unit, description.
type Named = (&'static str, &'static str, &'static str);

impl Rows<'_> {
    fn push(&self, table: &mut Table, (name, unit, text): Named, of: impl Fn(&Star, &Estimate) -> Option<f64>) -> Result<()> {
        let pairs = self.stars.iter().zip(self.estimates);
        let finite = |value: f64| if value.is_finite() { value } else { f64::NAN };
        let values = pairs.map(|(star, estimate)| of(star, estimate).map_or(f64::NAN, finite)).collect();
        table.push(Column::nullable(ColumnSchema::new(name, unit, text), values))
    }

    fn flag(&self, table: &mut Table, (name, text): (&str, &str), of: impl Fn(Option<bool>) -> Option<i32>) -> Result<()> {
        let flags: Vec<Option<i32>> = self.estimates.iter().map(|estimate| of(estimate.is_binary)).collect();
        let values = Values::Int32(flags.iter().map(|flag| flag.unwrap_or_default()).collect());
        let valid = flags.iter().map(Option::is_some).collect();
        table.push(Column { valid: Some(valid), ..Column::scalar(ColumnSchema::new(name, "", text), values) })
    }

    fn identifiers(&self, table: &mut Table, name: &str) -> Result<()> {
        table.push(Column::scalar(ColumnSchema::new(name, "", "Gaia source ID"), Values::Int64(self.ids.to_vec())))
    }

    fn specdis(&self, table: &mut Table) -> Result<()> {
        self.identifiers(table, "SOURCE_ID")?;
        // ln d of the spectrum alone, and its error as a magnitude.
        let spectrum = |star: &Estimate| {
            let parallax = star.spectroscopic_parallax?;
            let distance = parallax.value.recip();
            let fraction = parallax.error / parallax.value;
            let error = distance * distance_fraction(fraction / super::magnitude::LN_DISTANCE_PER_MAGNITUDE);
            Some(Measured { value: distance, error })
        };
        let geometric = "G absolute magnitude derived by parallax";
        self.push(table, ("RA", "deg", "right ascension"), |star, _| Some(star.position[0]))?;
        self.push(table, ("DEC", "deg", "declination"), |star, _| Some(star.position[1]))?;
        self.push(table, ("DIST", "kpc", "heliocentric distance derived from MG_NN"), |_, star| Some(spectrum(star)?.value))?;
        self.push(table, ("DISTERR", "kpc", "uncertainty of distance"), |_, star| Some(spectrum(star)?.error))?;
        self.push(table, ("MG_NN", "mag", "predicted G absolute magnitude"), |_, star| Some(star.absolute_magnitude?.value))?;
        self.push(table, ("MG_GEO", "mag", geometric), |_, star| Some(star.geometric_magnitude?.value))?;
        self.push(table, ("PARALLAX", "mas", "parallax before zero point correction"), |star, _| Some(star.parallax.value))?;
        self.push(table, ("PARALLAX_ERR", "mas", "uncertainty in parallax"), |star, _| Some(star.parallax.error))?;
        self.push(table, ("PARALLAX_ZPC", "mas", "zero point, to be subtracted"), |_, star| Some(star.zero_point))?;
        self.push(table, ("A_G", "mag", "dust correction"), |star, _| Some(star.extinction.value))?;
        self.push(table, ("RUWE", "", "RUWE"), |star, _| Some(star.ruwe))?;
        self.push(table, ("APS", "", "astrometric_params_solved"), |star, _| Some(star.astrometry.params_solved))?;
        self.push(table, ("NEUIA", "um**-1", "nu_eff_used_in_astrometry"), |star, _| Some(star.astrometry.effective_wavenumber))?;
        self.push(table, ("P_color", "um**-1", "pseudocolour"), |star, _| Some(star.astrometry.pseudocolour))?;
        self.push(table, ("ECL_LAT", "deg", "ecliptic latitude"), |star, _| Some(star.astrometry.ecliptic_latitude))?;
        let text = "1 for single stars, 0 for binaries (null: not known)";
        self.flag(table, ("BINARY_FLAG", text), |is_binary| is_binary.map(|is_binary| i32::from(!is_binary)))?;
        self.push(table, ("BINARY_POSSIBILITY", "", "binary possibility"), |_, star| star.binary_probability)
    }

    fn ob_stars(&self, table: &mut Table) -> Result<()> {
        self.identifiers(table, "gaia_id")?;
        self.push(table, ("ra", "deg", "right ascension"), |star, _| Some(star.position[0]))?;
        self.push(table, ("dec", "deg", "declination"), |star, _| Some(star.position[1]))?;
        self.push(table, ("snr_g", "", "signal-to-noise ratio of the spectrum"), |star, _| Some(star.snr))?;
        self.push(table, ("M_Ks", "mag", "absolute magnitude of the spectrum"), |_, star| Some(star.absolute_magnitude?.value))?;
        self.push(table, ("M_Ks_err", "mag", "uncertainty in M_Ks"), |_, star| Some(star.absolute_magnitude?.error))?;
        self.push(table, ("M_Ks_geo", "mag", "geometric absolute magnitude"), |_, star| Some(star.geometric_magnitude?.value))?;
        self.push(table, ("M_Ks_geo_err", "mag", "uncertainty in M_Ks_geo"), |_, star| Some(star.geometric_magnitude?.error))?;
        self.push(table, ("dis", "kpc", "distance at the mode"), |_, star| Some(star.posterior?.mode))?;
        self.push(table, ("dis_low", "kpc", "16th percentile"), |_, star| Some(star.posterior?.percentiles[0]))?;
        self.push(table, ("dis_high", "kpc", "84th percentile"), |_, star| Some(star.posterior?.percentiles[2]))?;
        self.push(table, ("logdis", "", "mean of log10 distance in kpc"), |_, star| Some(star.posterior?.log10.value))?;
        self.push(table, ("logdis_err", "", "uncertainty in logdis"), |_, star| Some(star.posterior?.log10.error))?;
        let text = "excess of the spectro-photometric parallax over the astrometric one";
        self.push(table, ("snr_dparallax", "", text), |_, star| star.parallax_excess)?;
        let text = "1 = binary, 0 = single, -9 = unknown";
        self.flag(table, ("binary_flag", text), |is_binary| Some(is_binary.map_or(-9, i32::from)))?;
        self.push(table, ("parallax", "mas", "parallax"), |star, _| Some(star.parallax.value))?;
        self.push(table, ("parallax_error", "mas", "uncertainty in parallax"), |star, _| Some(star.parallax.error))?;
        self.push(table, ("parallax_offset", "mas", "offset subtracted from the parallax"), |_, star| Some(star.zero_point))?;
        self.push(table, ("ruwe", "", "RUWE"), |star, _| Some(star.ruwe))?;
        for (axis, name) in ["X", "Y", "Z"].into_iter().enumerate() {
            let named: Named = (name, "kpc", "Galactic Cartesian position, of the Galactic centre");
            self.push(table, named, |_, star| Some(star.galactocentric?[axis]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::{DistanceEstimator, DistanceOptions};

    #[test]
    fn senses_of_flags_are_the_papers() {
        let mut estimator = DistanceEstimator::new(DistanceOptions::default()).unwrap();
        let good = crate::distance::simulated::stars_at(&[1.0], 0.2, 1)[0];
        let mut estimates = [estimator.estimate(&good); 3];
        for (estimate, is_binary) in estimates.iter_mut().zip([Some(true), Some(false), None]) {
            estimate.is_binary = is_binary;
        }
        let input = Table::with_rows(3);
        let rows = Rows { input: &input, ids: &[1, 2, 3], stars: &[good; 3], estimates: &estimates };
        let flags = |names: PaperNames, name: &str| {
            let table = names.table(&rows).unwrap();
            table.column(name).unwrap().to_f64().unwrap()
        };
        let specdis = flags(PaperNames::Specdis, "BINARY_FLAG");
        assert!(specdis[..2] == [0.0, 1.0] && specdis[2].is_nan());
        assert_eq!(flags(PaperNames::ObStars, "binary_flag"), [1.0, 0.0, -9.0]);
        // DIST is 1/ϖ_s, its error 10^(0.2σ) − 1 of it.
        let spectroscopic = estimates[0].spectroscopic_parallax.unwrap();
        assert!((flags(PaperNames::Specdis, "DIST")[0] * spectroscopic.value - 1.0).abs() < 1e-12);
        let error = flags(PaperNames::Specdis, "DISTERR")[0] * spectroscopic.value;
        assert!((error - (spectroscopic.error / spectroscopic.value).exp_m1()).abs() < 1e-12);
        for names in [PaperNames::Specdis, PaperNames::ObStars] {
            assert_eq!(names.to_string().parse(), Ok(names));
        }
    }
}
