//! New physics in one file, outside the crate: warm dust around stars.
//!
//! [`WarmDust`] adds the thermal emission of dust of one temperature to the star's own infrared spectrum. It
//! declares a parameter of the star (the ratio of dust to star at 4.6 µm) and a global weight (ln of the
//! dust's temperature, learned with everything else). Registered, it keeps the contract, trains, fits, and is
//! a column of the catalogue.
//!
//! `cargo run --release --example custom_effect`

mod support;

use photosphere::error::{Error, Result};
use photosphere::infer::FitOptions;
use photosphere::model::{Effect, FluxJet, ForwardModel, GaussianPrior, Parameter, Registry, StarParameters, contract};
use photosphere::observations::{Grid, hash64};
use photosphere::table::Table;
use photosphere::tensor::{Device, Jet, Tensor, WeightSpecification, Weights};
use photosphere::train::Recipe;
use serde::{Deserialize, Serialize};

/// Second radiation constant hc/k in nm K.
const SECOND_RADIATION_CONSTANT: f64 = 1.438_777e7;
/// Where the ratio of dust to star is counted: the band W2, nm.
const REFERENCE: f64 = 4602.8;
/// Name of the tensor ln(T_dust/K), shape `[1]`.
const LN_TEMPERATURE: &str = "warm_dust.ln_temperature";

/// Flux times 1 + d·s(λ; T): d is the star's ratio of dust to starlight at 4.6 µm.
///
/// s is a Planck spectrum over the Rayleigh–Jeans tail of the star, s ∝ λ⁻¹/(exp(hc/λkT) − 1), with s(4.6
/// µm) = 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WarmDust {
    /// Temperature from which learning starts, K.
    initial_temperature: f64,
    /// Standard deviation of the prior of d around zero.
    prior_width: f64,
}

impl Effect for WarmDust {
    const KIND: &'static str = "warm_dust";

    fn parameters(&self) -> Vec<Parameter> {
        let prior = Some(GaussianPrior { mean: 0.0, standard_deviation: self.prior_width });
        vec![Parameter { prior, ..Parameter::new("warm_dust", "", "flux of warm dust over that of the star at 4.6 um") }]
    }

    fn weights(&self, _grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        let initial = vec![self.initial_temperature.ln()];
        vec![WeightSpecification { name: LN_TEMPERATURE.into(), shape: vec![1], initial }]
    }

    fn apply(&self, star: &StarParameters<'_>, weights: &Weights, grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        let device = star.device();
        let inverse_temperature = weights.get::<1>(LN_TEMPERATURE)?.neg().exp();
        let photon = |nm: f64| inverse_temperature.clone() * (SECOND_RADIATION_CONSTANT / nm);
        let occupation = |energy: Tensor<1>| (energy.exp() - 1.0).recip();
        let reference = occupation(photon(REFERENCE));
        let shape: Vec<Tensor<1>> = grid
            .wavelength
            .iter()
            // Below 1 µm there is no warm dust to speak of, and the exponential would overflow.
            .map(|&nm| if nm < 1000.0 { device.zeros([1]) } else { occupation(photon(nm)) * (REFERENCE / nm) })
            .collect();
        let shape = Tensor::cat(shape, 0) / reference;
        let factor = star.value("warm_dust")?.mul(&Jet::constant(shape.unsqueeze())).offset(1.0);
        Ok(FluxJet::Linear(flux.linear().mul(&factor)))
    }
}

/// The same law for the simulation, at the true temperature of 900 K.
fn true_shape(nm: f64) -> f64 {
    let occupation = |nm: f64| 1.0 / (SECOND_RADIATION_CONSTANT / (nm * 900.0)).exp_m1();
    if nm < 1000.0 { 0.0 } else { REFERENCE / nm * occupation(nm) / occupation(REFERENCE) }
}

/// Simulated stars of which one in four has dust, between 0.2 and 2 times the star's flux at 4.6 µm.
fn survey(n_stars: usize, first_star: u64) -> Result<Table> {
    let table = support::survey(n_stars, first_star)?;
    let amount = |id: i64| {
        let uniform = hash64(id, 3) as f64 / u64::MAX as f64;
        if uniform < 0.25 { 0.2 + 7.2 * uniform } else { 0.0 }
    };
    let truth: Vec<f64> = table.column("source_id")?.to_i64()?.into_iter().map(amount).collect();
    let wavelengths: Vec<f64> = table
        .metadata
        .get("wavelengths")
        .and_then(|text| serde_json::from_str(text).ok())
        .ok_or_else(|| Error::data("metadata 'wavelengths'").expected("a list of numbers"))?;
    let table = support::scale_flux(table, |star, w| 1.0 + truth[star] * true_shape(wavelengths[w]))?;
    support::with_column(table, "true_warm_dust", "", "true ratio of dust to star at 4.6 um", truth)
}

/// The shipped recipe with the effect between the dust of the Galaxy and the distance.
fn recipe() -> Result<Recipe> {
    let mut recipe = support::short_recipe(30)?;
    let mut effect = toml::Table::new();
    effect.insert("kind".into(), WarmDust::KIND.into());
    effect.insert("initial_temperature".into(), 1300.0.into());
    effect.insert("prior_width".into(), 1.0.into());
    recipe.effects.insert(2, effect);
    Ok(recipe)
}

fn main() -> Result<()> {
    let registry = Registry::standard().with::<WarmDust>();
    let recipe = recipe()?;

    // The contract: names, finite flux, Jacobian and Hessian against differences, batches, save and load.
    let table = survey(2000, 0)?;
    let grid: Vec<String> = support::band_names(&table);
    let small = Grid::new(vec![552.0, 1235.0, 3352.6, 4602.8], ["xp_552", "j", "w1", "w2"].map(String::from).to_vec())?;
    println!("{} fluxes a star; the contract is checked on {}", grid.len(), small.names.join(", "));
    let fresh = ForwardModel::new(&registry, &recipe.effects, small, 1, &Device::cpu())?;
    let scratch = tempfile::tempdir().map_err(|error| Error::writing(std::path::Path::new("a temporary folder"), error))?;
    let report = contract::verify(&fresh, &registry, scratch.path())?;
    println!("contract kept: Jacobian within {:.0e}, Hessian within {:.0e}", report.jacobian_error, report.hessian_error);

    let trained = support::train_on(table, &recipe, &registry)?;
    let temperature = trained.model.weights.values(LN_TEMPERATURE)?[0].exp();
    println!("temperature of the dust: started at 1300 K, learned {temperature:.0} K, true 900 K");

    let (estimates, auxiliary) = support::fit_all(&trained, survey(500, 1_000_000)?, &FitOptions::default())?;
    let catalogue = estimates.to_table(trained.id())?;
    let (fitted, error) = (catalogue.column("warm_dust")?.to_f64()?, catalogue.column("warm_dust_error")?.to_f64()?);
    let truth = auxiliary.column("true_warm_dust")?.to_f64()?;
    let dusty = truth.iter().filter(|&&amount| amount > 0.0).count();
    let found = |significant: bool| {
        (0..truth.len()).filter(|&star| (truth[star] > 0.0) == significant && fitted[star] > 5.0 * error[star]).count()
    };
    println!("catalogue columns warm_dust, warm_dust_error: {} of {dusty} dusty stars above 5 sigma,", found(true));
    println!("and {} of {} stars without dust", found(false), truth.len() - dusty);
    Ok(())
}
