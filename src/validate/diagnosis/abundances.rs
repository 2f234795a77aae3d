//! Kiel diagram and abundance planes of a catalogue.

use super::stars::AbundanceStars;
use crate::per_pixel::{canonical_name, is_abundance_ratio};
use crate::quantity::symbol;
use crate::validate::figure::{AbundancePlane, AbundancePlanes, SampleDiagram};
use crate::validate::report::Report;

/// Error of [X/Fe] up to which a star is in its plane, in dex, where nothing else is asked for.
pub const LARGEST_ERROR: f64 = 0.2;

/// [Fe/H] and [X/Fe] of stars.
type Points = (Vec<f64>, Vec<f64>);

/// The sections of both; what the model's labels do not hold is said. `largest_error` is that of an abundance
/// in its plane.
pub fn sections_of_abundances(report: &mut Report, stars: &AbundanceStars<'_>, largest_error: f64) {
    kiel(report, stars);
    planes(report, stars, largest_error);
}

fn kiel(report: &mut Report, stars: &AbundanceStars<'_>) {
    let has = |name: &str| stars.label(name);
    let none = || vec![f64::NAN; stars.len()];
    match (has("teff"), has("logg"), has("feh")) {
        (Some(teff), Some(logg), feh) => {
            report.section("Kiel diagram", stars.described());
            report.figure(
                "Stars of the catalogue, coloured by metallicity, and their number",
                SampleDiagram { teff: &teff, logg: &logg, feh: &feh.unwrap_or_else(none) }.figure().named("kiel"),
            );
        }
        _ => {
            report.section("Kiel diagram", "None: the model, or the catalogue, has no T_eff or no log g.");
        }
    }
}

fn planes(report: &mut Report, stars: &AbundanceStars<'_>, largest_error: f64) {
    let Some(feh) = stars.label("feh") else {
        report.section("Abundance planes", "None: the model, or the catalogue, has no [Fe/H].");
        return;
    };
    let ratios: Vec<usize> = (0..stars.space.len()).filter(|&k| is_abundance_ratio(&stars.space.names[k])).collect();
    if ratios.is_empty() {
        report.section("Abundance planes", "None: the model has no abundance ratios [X/Fe].");
        return;
    }
    // Stars that do not tell an abundance would fill its plane with noise.
    let told = |k: usize| -> Points {
        let is_told = |i: &usize| stars.errors[[*i, k]] <= largest_error && (feh[*i] + stars.labels[[*i, k]]).is_finite();
        (0..stars.len()).filter(is_told).map(|i| (feh[i], stars.labels[[i, k]])).unzip()
    };
    let values: Vec<(usize, Points)> = ratios.iter().map(|&k| (k, told(k))).collect();
    let name = |k: usize| symbol(&canonical_name(&stars.space.names[k])).into_owned();
    let absent: Vec<String> = values.iter().filter(|(_, (x, _))| x.is_empty()).map(|(k, _)| name(*k)).collect();
    let absent = match absent.is_empty() {
        true => String::new(),
        false => format!(" No star tells {}.", absent.join(", ")),
    };
    report.section(
        "Abundance planes",
        format!(
            "{} A star is in the plane of an element where its error is {largest_error} dex or less.{absent} Left of each pair: numbers of stars, \
             in logarithmic colours. Right: the share of each bin in its column of [Fe/H], where a column has 10 stars; without it the \
             numbers of stars of each metallicity hide the sequences.",
            stars.described()
        ),
    );
    let elements: Vec<AbundancePlane<'_>> = (values.iter())
        .filter(|(_, (x, _))| !x.is_empty())
        .map(|(k, (feh, ratio))| AbundancePlane { name: name(*k).into(), feh, ratio })
        .collect();
    report.figure(
        "Abundance ratios against [Fe/H] (dex). Lines: medians of the columns",
        AbundancePlanes { elements: &elements }.figure(),
    );
}
