//! One star through the library: data, fit, errors, correlations, flags.
//!
//! `cargo run --release --example fit_one_star [MODEL_DIRECTORY]` — without a model for the 66 fluxes of the
//! simulated survey it trains a small one first.

mod support;

use photosphere::error::Result;
use photosphere::infer::FitOptions;
use photosphere::model::Registry;
use photosphere::tensor::Device;
use photosphere::train::TrainedModel;
use std::path::Path;

fn main() -> Result<()> {
    let trained = match std::env::args().nth(1) {
        Some(directory) => TrainedModel::load(Path::new(&directory), &Registry::standard(), &Device::cpu())?,
        None => support::train_on(support::survey(2000, 0)?, &support::short_recipe(30)?, &Registry::standard())?,
    };

    let star = support::survey(1, 1_000_000)?;
    for (name, options) in [
        ("maximum a posteriori, mixture prior and Jacobians", FitOptions::default()),
        ("likelihood and parallax alone", FitOptions::default().likelihood_only()),
    ] {
        let (estimates, truth) = support::fit_all(&trained, star.clone(), &options)?;
        println!("\nstar {} by {name}", estimates.ids[0]);
        for (index, &position) in estimates.fitted.iter().enumerate() {
            let (name, unit, _) = &estimates.parameters[position];
            let value = estimates.values[[0, position]];
            let error = estimates.error(0, index);
            let truth = truth.column(&format!("true_{name}"))?.to_f64()?[0];
            println!("  {name:<11} {value:>9.3} ± {error:<7.3} {unit:<4} true {truth:>9.3}");
        }
        let at = |name: &str| estimates.fitted.iter().position(|&p| estimates.parameters[p].0 == name);
        if let (Some(a), Some(b)) = (at("logg"), at("parallax")) {
            let correlation = estimates.covariance[[0, a, b]] / (estimates.error(0, a) * estimates.error(0, b));
            println!("  correlation of logg and parallax {correlation:.2}");
        }
        println!(
            "  chi2 {:.1} for {:.1} degrees of freedom, quality_flags {}, {} iterations",
            estimates.chi_square[0], estimates.degrees_of_freedom[0], estimates.flags[0], estimates.n_iterations[0]
        );
    }
    Ok(())
}
