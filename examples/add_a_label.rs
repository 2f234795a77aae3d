//! One label more: only the recipe names it.
//!
//! Simulated stars get an [α/Fe] that deepens their spectrum around the magnesium triplet (517 nm). The
//! recipe's emulator and constraints name `alpha_fe`; standardisation, prior, fit, covariances and the
//! catalogue's columns follow.
//!
//! `cargo run --release --example add_a_label`

mod support;

use photosphere::error::Result;
use photosphere::infer::FitOptions;
use photosphere::model::Registry;
use photosphere::observations::hash64;
use photosphere::table::Table;

/// [α/Fe] of a star: the usual trend with [Fe/H], and a uniform scatter of ±0.2 dex that depends on the
/// identifier.
fn alpha_fe(id: i64, feh: f64) -> f64 {
    let uniform = hash64(id, 17) as f64 / u64::MAX as f64;
    0.1 - 0.2 * feh + 0.4 * (uniform - 0.5)
}

/// Simulated stars whose flux at 512 and 522 nm falls with [α/Fe], with a measured `alpha_fe` (±0.02 dex) and
/// the true one.
fn survey(n_stars: usize, first_star: u64) -> Result<Table> {
    let table = support::survey(n_stars, first_star)?;
    let ids = table.column("source_id")?.to_i64()?;
    let feh = table.column("true_feh")?.to_f64()?;
    let truth: Vec<f64> = ids.iter().zip(feh).map(|(&id, feh)| alpha_fe(id, feh)).collect();
    let error = 0.02;
    let measured = ids.iter().zip(&truth).map(|(&id, value)| {
        let uniform = hash64(id, 18) as f64 / u64::MAX as f64;
        value + error * 12.0_f64.sqrt() * (uniform - 0.5)
    });
    let measured: Vec<f64> = measured.collect();
    let deepened: Vec<bool> = support::band_names(&table).iter().map(|name| name == "xp_512" || name == "xp_522").collect();
    let table = support::scale_flux(table, |star, w| if deepened[w] { (-0.5 * truth[star]).exp() } else { 1.0 })?;
    let n = truth.len();
    let table = support::with_column(table, "alpha_fe", "dex", "measured [alpha/Fe]", measured)?;
    let table = support::with_column(table, "alpha_fe_error", "dex", "its error", vec![error; n])?;
    support::with_column(table, "true_alpha_fe", "dex", "true [alpha/Fe]", truth)
}

fn main() -> Result<()> {
    let mut recipe = support::short_recipe(40)?;
    // In a recipe file: labels = ["teff", "feh", "logg", "alpha_fe"] in the emulator, and "alpha_fe" in
    // data.constraints.
    let labels = ["teff", "feh", "logg", "alpha_fe"];
    recipe.effects[0].insert("labels".into(), toml::Value::from(labels.to_vec()));
    recipe.data.constraints.push("alpha_fe".into());

    let trained = support::train_on(survey(3000, 0)?, &recipe, &Registry::standard())?;
    let (estimates, truth) = support::fit_all(&trained, survey(500, 1_000_000)?, &FitOptions::default())?;
    let catalogue = estimates.to_table(trained.id())?;
    for name in ["alpha_fe", "alpha_fe_error"] {
        let schema = &catalogue.column(name)?.schema;
        println!("catalogue column {} [{}]: {}", schema.name, schema.unit, schema.description);
    }

    let (fitted, error) = (catalogue.column("alpha_fe")?.to_f64()?, catalogue.column("alpha_fe_error")?.to_f64()?);
    let truth = truth.column("true_alpha_fe")?.to_f64()?;
    let precise: Vec<usize> = (0..fitted.len()).filter(|&star| error[star] < 0.1).collect();
    let pick = |values: &[f64]| -> Vec<f64> { precise.iter().map(|&star| values[star]).collect() };
    println!(
        "{} of {} new stars with an error below 0.1 dex; correlation of fitted and true [alpha/Fe]: {:.2}",
        precise.len(),
        fitted.len(),
        support::correlation(&pick(&fitted), &pick(&truth))
    );
    Ok(())
}
