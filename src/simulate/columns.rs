//! The observation file of a simulated survey: columns and metadata, the same as of real data, and the truth
//! in columns of its own.

use super::catalogue_errors::Measurement;
use super::config::SurveyConfig;
use super::near_infrared::INFRARED_BANDS;
use super::spectral_energy::Labels;
use super::truth::{MEAN_R_V, Sky, Star};
use crate::error::{Error, Result};
use crate::noise::triangle;
use crate::quantity::{COVARIANCE_UNIT, FLUX_UNIT, xp_sample_name};
use crate::survey::xp::DEFAULT_WAVELENGTHS;
use crate::table::{Column, ColumnSchema, Table, Values};

/// Number of values of the packed XP covariance.
pub(super) const COVARIANCE_LENGTH: usize = triangle::length(DEFAULT_WAVELENGTHS.len());

/// What a survey measures of a star besides its flux.
pub(super) struct Observed {
    pub star: Star,
    pub parallax: Measurement,
    /// T_eff (K), [Fe/H], log g.
    pub labels: [Measurement; 3],
    pub extinction: Measurement,
}

impl Observed {
    /// The star's identifier.
    pub fn source_id(&self) -> i64 {
        self.star.identity.source_id
    }
}

/// Observed fluxes of many stars, flattened star by star; missing bands are NaN.
pub(super) struct Fluxes {
    /// `[N, 66]`, 1e-18 W m⁻² nm⁻¹.
    pub flux: Vec<f32>,
    pub flux_error: Vec<f32>,
    /// Row-wise upper triangles of the XP covariance `[N, 1891]`.
    pub xp_covariance: Vec<f32>,
}

/// The table of a survey.
pub(super) fn table(stars: &[Observed], fluxes: Fluxes, sky: &Sky, config: &SurveyConfig) -> Result<Table> {
    let n_wavelengths = sky.wavelengths().len();
    let lists = |name: &str, unit: &str, ucd: &str, description: &str, values: Vec<f32>, length: usize| {
        Column::fixed(ColumnSchema::new(name, unit, description).with_ucd(ucd), Values::Float32(values), length)
    };
    let flux = [
        lists("flux", FLUX_UNIT, "phot.flux.density", "Flux at the wavelengths of the metadata", fluxes.flux, n_wavelengths),
        lists(
            "flux_error",
            FLUX_UNIT,
            "stat.error;phot.flux.density",
            "Standard error of flux",
            fluxes.flux_error,
            n_wavelengths,
        ),
        lists(
            "xp_covariance_triu",
            COVARIANCE_UNIT,
            "stat.covariance;phot.flux.density",
            "Covariance of the 61 XP fluxes, row-wise upper triangle, with the inflation of eq. 2 of Zhang et al. (2023)",
            fluxes.xp_covariance,
            COVARIANCE_LENGTH,
        ),
    ];
    let mut table = catalogue(stars, flux.into(), sky, config)?;
    let bands = DEFAULT_WAVELENGTHS.into_iter().map(xp_sample_name);
    let bands: Vec<String> = bands.chain(INFRARED_BANDS.iter().map(|band| band.name.to_owned())).collect();
    for (key, value) in
        [("wavelengths", json(&sky.wavelengths())?), ("bands", json(&bands)?), ("flux_unit", FLUX_UNIT.to_owned())]
    {
        table.metadata.insert(key.to_owned(), value);
    }
    Ok(table)
}

/// Identifiers and positions, these columns of fluxes or magnitudes, what the catalogues measure, and the
/// truth.
pub(super) fn catalogue(stars: &[Observed], fluxes: Vec<Column>, sky: &Sky, config: &SurveyConfig) -> Result<Table> {
    let numbers = |name: &str, unit: &str, ucd: &str, description: &str, value: &dyn Fn(&Observed) -> f64| {
        let schema = ColumnSchema::new(name, unit, description).with_ucd(ucd);
        Column::nullable(schema, stars.iter().map(value).collect())
    };
    let measured = |name: &str, unit: &str, ucd: &str, what: &str, of: &dyn Fn(&Observed) -> Measurement| {
        let error = (format!("{name}_error"), format!("stat.error;{ucd}"), format!("Standard error of {name}"));
        [
            numbers(name, unit, ucd, what, &|star| of(star).value),
            numbers(&error.0, unit, &error.1, &error.2, &|star| of(star).error),
        ]
    };
    let binaries = Values::Bool(stars.iter().map(|star| star.star.is_binary).collect());
    let mut columns = vec![
        id_column(stars),
        numbers("ra", "deg", "pos.eq.ra;meta.main", "Right ascension", &|star| star.star.identity.ra),
        numbers("dec", "deg", "pos.eq.dec;meta.main", "Declination", &|star| star.star.identity.dec),
        numbers("phot_g_mean_mag", "mag", "phot.mag;em.opt", "Apparent G magnitude, approximate", &|star| star.star.g),
    ];
    columns.extend(fluxes);
    columns.extend(measured("parallax", "mas", "pos.parallax.trig", "Parallax", &|star| star.parallax));
    columns.extend(measured("teff", "K", "phys.temperature.effective", "Effective temperature", &|star| star.labels[0]));
    columns.extend(measured("feh", "", "phys.abund.Fe", "Iron abundance [Fe/H] in dex", &|star| star.labels[1]));
    columns.extend(measured("logg", "", "phys.gravity", "log10 of the surface gravity in cm/s^2", &|star| star.labels[2]));
    columns.extend(measured("extinction", "mag", "phot.color.excess", "Reddening E(B-V)", &|star| star.extinction));
    columns.extend([
        numbers("true_teff", "K", "phys.temperature.effective", "True effective temperature", &|star| {
            1e3 * star.star.labels.teff
        }),
        numbers("true_feh", "", "phys.abund.Fe", "True [Fe/H] in dex", &|star| star.star.labels.feh),
        numbers("true_logg", "", "phys.gravity", "True log10 of the surface gravity", &|star| star.star.labels.logg),
        numbers("true_parallax", "mas", "pos.parallax", "True parallax", &|star| star.star.parallax),
        numbers("true_extinction", "mag", "phot.color.excess", "True reddening E(B-V)", &|star| star.star.extinction),
        numbers("true_xi", "", "", "True (R_V - 3.1) / scatter, zero without scatter", &|star| star.star.xi),
        Column::scalar(ColumnSchema::new("true_is_binary", "", "Whether two stars add up to this one"), binaries),
    ]);
    if !config.are_twins() {
        let of_second = |star: &Observed, value: &dyn Fn(&Labels) -> f64| {
            star.star.companion.as_ref().map_or(f64::NAN, |(labels, _)| value(labels))
        };
        let ratio = |star: &Observed| star.star.companion.as_ref().map_or(f64::NAN, |(_, mass_ratio)| *mass_ratio);
        columns.extend([
            numbers(
                "true_mass_ratio",
                "",
                "phys.mass;arith.ratio",
                "True mass of the second star over that of the first",
                &ratio,
            ),
            numbers(
                "true_companion_teff",
                "K",
                "phys.temperature.effective",
                "True effective temperature of the second star",
                &|star| of_second(star, &|labels| 1e3 * labels.teff),
            ),
            numbers("true_companion_logg", "", "phys.gravity", "True log10 of the surface gravity of the second star", &|star| {
                of_second(star, &|labels| labels.logg)
            }),
        ]);
    }
    let mut table = Table::new(columns)?;
    for (key, value) in [
        ("extinction_law", format!("CCM89, R_V = {MEAN_R_V}; optical depth = E(B-V) R")),
        ("true_extinction_curve", json(&sky.mean_curve())?),
        ("simulation", json(config)?),
        ("seed", config.seed.to_string()),
        ("origin", format!("simulated by photosphere {}; no real star", env!("CARGO_PKG_VERSION"))),
    ] {
        table.metadata.insert(key.to_owned(), value);
    }
    Ok(table)
}

/// The identifiers of the stars.
pub(super) fn id_column(stars: &[Observed]) -> Column {
    let schema = ColumnSchema::new("source_id", "", "Identifier of the star").with_ucd("meta.id;meta.main");
    Column::scalar(schema, Values::Int64(stars.iter().map(Observed::source_id).collect()))
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::data("metadata of a simulated survey").found(error.to_string()).source(error))
}
