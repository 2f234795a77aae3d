//! Dust: optical depth E·R(λ), with an optional one-parameter family of extinction curves.
//!
//! ln R(λ; ξ) = b(λ) + tanh(ξ)·s(λ), ξ ~ N(0, 1), s = 0 in the bands listed (spec 1 §1; Zhang, Green & Rix
//! 2023, eq. 3 and sec. 6). (E, R) has an exact scale degeneracy that only measured reddenings break; (b, s,
//! ξ) a shift degeneracy.

use super::check::check_names;
use super::closed_form::ClosedForm;
use super::derived::Derived;
use super::effect::{Effect, FluxJet, StarParameters};
use super::parameter::{GaussianPrior, Parameter};
use crate::error::{Error, Result};
use crate::observations::Grid;
use crate::tensor::{Device, Tensor, WeightSpecification, Weights};
use crate::text::{first_repeated, shortened};
use serde::{Deserialize, Serialize};

/// Subtracts E·R(λ; ξ) from ln flux. E is moved as ln E, which keeps it positive, unless a run chooses
/// otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extinction {
    /// Name of the amount of dust.
    #[serde(default = "extinction", skip_serializing_if = "is_extinction")]
    pub amount: String,
    /// Whether the shape of the curve varies from star to star.
    #[serde(default)]
    pub variation: bool,
    /// Name of the parameter of that variation.
    #[serde(default = "xi", skip_serializing_if = "is_xi")]
    pub shape: String,
    /// Standard deviation of the prior of that variation. At 1, as published, tanh bounds the curves of a
    /// third of the stars; at 0.3 curves follow ξ nearly in proportion, as they do R_V.
    #[serde(default = "unity", skip_serializing_if = "is_unity")]
    pub shape_scatter: f64,
    /// Bands (names) whose R does not vary.
    #[serde(default = "mid_infrared")]
    pub fixed_bands: Vec<String>,
    /// Index β of R ∝ λ^−β beyond 900 nm, the mean of the prior `infrared_index` of a recipe.
    #[serde(default = "cardelli_index")]
    pub infrared_index: f64,
}

fn extinction() -> String {
    "extinction".into()
}

fn is_extinction(name: &String) -> bool {
    *name == extinction()
}

fn xi() -> String {
    "xi".into()
}

fn is_xi(name: &String) -> bool {
    *name == xi()
}

fn unity() -> f64 {
    1.0
}

fn is_unity(value: &f64) -> bool {
    *value == 1.0
}

fn mid_infrared() -> Vec<String> {
    vec!["w1".into(), "w2".into()]
}

/// Cardelli, Clayton & Mathis (1989), eq. 2a; it holds from 909 nm to 3.3 µm, and they extrapolate it.
fn cardelli_index() -> f64 {
    1.61
}

/// Magnitudes from which E starts where nothing is measured, and the most that a search may take.
const START: f64 = 0.1;
const LARGEST: f64 = 100.0;
/// Least width of the prior of ξ: below, s(λ) would have to be as much larger, and rounding decides.
const LEAST_SCATTER: f64 = 0.01;
/// Characters of the names of fluxes in a message.
const NAMES_SHOWN: usize = 200;

/// Published indices of the infrared are 1.5 to 2.3; Rayleigh's λ⁻⁴ is the steepest law of scattering.
const LARGEST_INDEX: f64 = 5.0;

/// Name of the tensor b(λ) = ln R(λ; ξ = 0), shape `[W]`.
pub const LN_CURVE: &str = "extinction.ln_curve";
/// Name of the tensor s(λ), shape `[W]`.
pub const CURVE_VARIATION: &str = "extinction.variation";

impl Effect for Extinction {
    const KIND: &'static str = "extinction";

    fn validate(&self) -> Result<()> {
        if !(self.infrared_index > 0.0 && self.infrared_index <= LARGEST_INDEX) {
            return Err(Error::usage("effect 'extinction', infrared_index")
                .found(self.infrared_index.to_string())
                .expected(format!("a positive number, at most {LARGEST_INDEX}"))
                .remedy("Leave the key out for 1.61 (Cardelli, Clayton & Mathis 1989)."));
        }
        let of_variation = [
            ("shape_scatter", self.shape_scatter != 1.0),
            ("shape", self.shape != xi()),
            ("fixed_bands", self.fixed_bands != mid_infrared()),
        ];
        if let Some((key, _)) = of_variation.iter().find(|(_, is_given)| *is_given && !self.variation) {
            return Err(Error::usage(format!("effect 'extinction', {key}"))
                .found("it, of a curve that does not vary")
                .expected("`variation = true` beside it")
                .remedy("Add that key, or leave this one out."));
        }
        if !(self.shape_scatter >= LEAST_SCATTER && self.shape_scatter <= 1.0) {
            return Err(Error::usage("effect 'extinction', shape_scatter")
                .found(self.shape_scatter.to_string())
                .expected(format!("a number from {LEAST_SCATTER} to 1"))
                .remedy("Leave the key out for 1 (as published), or take 0.3 for curves that follow xi nearly in proportion."));
        }
        check_names("extinction", &[("amount", &self.amount), ("shape", &self.shape)])?;
        match first_repeated(self.fixed_bands.iter().map(String::as_str)) {
            Some(band) => Err(Error::usage("effect 'extinction', fixed_bands")
                .found(format!("'{band}' twice"))
                .expected("distinct names of bands")
                .remedy("Name every band once.")),
            None => Ok(()),
        }
    }

    /// The bands whose curve is fixed are there, unless they are the usual ones.
    fn validate_on(&self, grid: &Grid) -> Result<()> {
        let is_absent = |band: &&String| !grid.names.contains(band) && !mid_infrared().contains(band);
        match self.fixed_bands.iter().find(is_absent) {
            Some(band) if self.variation => Err(Error::usage("effect 'extinction', fixed_bands")
                .found(format!("'{band}', which the observations do not have"))
                .expected(format!("names of their fluxes ({})", shortened(&grid.names.join(", "), NAMES_SHOWN)))
                .remedy("Correct the name (capitals count), or leave it out.")),
            _ => Ok(()),
        }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let description = "amount of dust E, in the unit of the training reddenings";
        let mut parameters = vec![Parameter::amount(&self.amount, "mag", description, START, LARGEST)];
        if self.variation {
            let prior = Some(GaussianPrior { mean: 0.0, standard_deviation: self.shape_scatter });
            parameters.push(Parameter { prior, ..Parameter::new(&self.shape, "", "variation of the extinction curve") });
        }
        parameters
    }

    fn n_weights(&self, grid: &Grid) -> u128 {
        let n_tensors = if self.variation { 2 } else { 1 };
        n_tensors * grid.len() as u128
    }

    /// R starts from the power law 2.9 (λ/550 nm)^−1.4, close to the mean Galactic curve in E(B−V).
    fn weights(&self, grid: &Grid, _seed: u64) -> Vec<WeightSpecification> {
        let initial = grid.wavelength.iter().map(|nm| 2.9_f64.ln() - 1.4 * (nm / 550.0).ln()).collect();
        let mut weights = vec![WeightSpecification { name: LN_CURVE.into(), shape: vec![grid.len()], initial }];
        if self.variation {
            // A small slope in 1/λ breaks the symmetry ξ → −ξ: positive ξ steepens the curve.
            let initial = grid.wavelength.iter().map(|nm| 0.05 * (550.0 / nm - 1.0)).collect();
            weights.push(WeightSpecification { name: CURVE_VARIATION.into(), shape: vec![grid.len()], initial });
        }
        weights
    }

    fn apply(&self, star: &StarParameters<'_>, weights: &Weights, grid: &Grid, flux: FluxJet) -> Result<FluxJet> {
        use crate::tensor::Jet;
        let mut ln_curve = Jet::constant(weights.get::<1>(LN_CURVE)?.unsqueeze());
        if self.variation {
            let slope = weights.get::<1>(CURVE_VARIATION)? * star.device().tensor(&self.varies(grid), [grid.len()]);
            ln_curve = ln_curve.add(&star.value(&self.shape)?.tanh().mul(&Jet::constant(slope.unsqueeze())));
        }
        let optical_depth = star.value(&self.amount)?.mul(&ln_curve.exp());
        Ok(flux.multiply_exp(&optical_depth.scale(-1.0)))
    }

    fn wavelength_weights(&self) -> Vec<String> {
        let variation = self.variation.then(|| CURVE_VARIATION.to_string());
        std::iter::once(LN_CURVE.to_string()).chain(variation).collect()
    }

    fn closed_form(&self, grid: &Grid) -> Option<ClosedForm> {
        let variation = self.variation.then(|| (self.shape.clone(), CURVE_VARIATION.into(), self.varies(grid)));
        Some(ClosedForm::Dust { amount: self.amount.clone(), ln_curve: LN_CURVE.into(), variation })
    }

    /// `a_550`: A(550 nm) = 2.5/ln 10 · E R(550 nm; ξ), where the wavelengths reach there on both sides.
    fn derived(&self, weights: &Weights, grid: &Grid) -> Result<Vec<Derived>> {
        let at = |tensor: &str| Ok::<_, Error>(at_wavelength(550.0, grid, &weights.values(tensor)?));
        let Some(ln_curve) = at(LN_CURVE)? else { return Ok(Vec::new()) };
        let slope = if self.variation { at(CURVE_VARIATION)? } else { None };
        let mut parameters = vec![self.amount.clone()];
        parameters.extend(slope.map(|_| self.shape.clone()));
        let extinction = move |values: &[f64]| {
            let varied = slope.map_or(0.0, |slope| values[1].tanh() * slope);
            // 1.0857 = 2.5/ln 10 turns an optical depth into magnitudes.
            2.5 / std::f64::consts::LN_10 * (ln_curve + varied).exp() * values[0]
        };
        Ok(vec![
            Derived::new("a_550", "mag", "extinction at 550 nm, 1.0857 E R(550 nm)", parameters, extinction)
                .with_ucd("phys.absorption;em.opt.V"),
        ])
    }

    fn penalty_names(&self) -> &'static [&'static str] {
        &["extinction_smoothness", "infrared_power_law", "infrared_index", "infrared_index_variation"]
    }

    /// `extinction_smoothness`: mean square of the second derivative of ln R in x = 1 µm/λ.
    ///
    /// `infrared_power_law`: the same in ln λ beyond 900 nm. Extinction there is a power law (Cardelli,
    /// Clayton & Mathis 1989, eq. 2), which the data cannot say: a grey part of R trades off against the
    /// parallaxes of dusty, distant stars, and W1 and W2 feel it most.
    ///
    /// `infrared_index`: mean over ln λ of (d ln R/d ln λ + β)² beyond 900 nm, β the setting of that name.
    /// Over σ² it is −2 ln of a Gaussian prior on the index, which the grey part leaves open; as a penalty it
    /// would overrule data.
    ///
    /// `infrared_index_variation`: the same about the index's own mean, whatever that is: how far R is from
    /// any power law. Measured indices differ by 1.6 to 2.1 from sightline to sightline and law to law, but
    /// are nearly constant over the near infrared (Martin & Whittet 1990), where a grey part bends them.
    fn penalty(&self, name: &str, weights: &Weights, grid: &Grid, device: &Device) -> Result<Tensor<1>> {
        let ascending = |limit: f64| {
            let mut members: Vec<usize> = (0..grid.len()).filter(|&i| grid.wavelength[i] > limit).collect();
            members.sort_by(|&a, &b| grid.wavelength[a].total_cmp(&grid.wavelength[b]));
            // Bands at the same wavelength count once.
            members.dedup_by(|a, b| grid.wavelength[*a] == grid.wavelength[*b]);
            members
        };
        let (members, abscissa): (Vec<usize>, fn(f64) -> f64) = match name {
            "extinction_smoothness" => (ascending(0.0), |nm| 1e3 / nm),
            _ => (ascending(INFRARED), f64::ln),
        };
        let x: Vec<f64> = members.iter().map(|&i| abscissa(grid.wavelength[i])).collect();
        let (rows, offset) = match name {
            "infrared_index" => weighted_slopes(&x, self.infrared_index),
            "infrared_index_variation" => deviating_slopes(&x),
            _ => second_derivatives(&x),
        };
        if rows.is_empty() {
            return Ok(weights.get::<1>(LN_CURVE)?.sum() * 0.0);
        }
        let mut operator = vec![0.0; rows.len() * grid.len()];
        for (row, entries) in rows.iter().enumerate() {
            for &(at, value) in entries {
                operator[row * grid.len() + members[at]] += value;
            }
        }
        let operator = device.tensor(&operator, [rows.len(), grid.len()]);
        let residual = operator.matmul(weights.get::<1>(LN_CURVE)?.unsqueeze_dim(1)) + device.tensor(&offset, [rows.len(), 1]);
        Ok((residual.clone() * residual).sum())
    }
}

impl Extinction {
    /// 1 where R varies with ξ, 0 in the fixed bands.
    fn varies(&self, grid: &Grid) -> Vec<f64> {
        grid.names.iter().map(|name| if self.fixed_bands.contains(name) { 0.0 } else { 1.0 }).collect()
    }
}

/// Values of a tensor `[W]` interpolated in ln λ at a wavelength (nm); `None` where the grid does not reach
/// there on both sides.
fn at_wavelength(nm: f64, grid: &Grid, values: &[f64]) -> Option<f64> {
    let mut points: Vec<(f64, f64)> = grid.wavelength.iter().map(|nm| nm.ln()).zip(values.iter().copied()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = nm.ln();
    let pair = points.windows(2).find(|pair| pair[0].0 <= at && at <= pair[1].0)?;
    let width = pair[1].0 - pair[0].0;
    let fraction = if width > 0.0 { (at - pair[0].0) / width } else { 0.0 };
    Some(pair[0].1 + fraction * (pair[1].1 - pair[0].1))
}

/// Wavelengths (nm) beyond which extinction is taken for a power law.
const INFRARED: f64 = 900.0;

/// Rows of a sparse operator on the values at increasing points, as (point, factor), and an offset for each
/// row: the sum of the squares of (operator · values + offset) is a penalty.
type Residuals = (Vec<Vec<(usize, f64)>>, Vec<f64>);

/// Second derivatives at the inner points, for their mean square.
fn second_derivatives(x: &[f64]) -> Residuals {
    let share = 1.0 / (x.len().max(3) - 2) as f64;
    let rows: Vec<Vec<(usize, f64)>> = (1..x.len().max(1) - 1)
        .map(|i| {
            let (left, right) = (x[i] - x[i - 1], x[i + 1] - x[i]);
            let row = [1.0 / (left * (left + right)), -1.0 / (left * right), 1.0 / (right * (left + right))];
            row.iter().zip(i - 1..).map(|(value, at)| (at, 2.0 * share.sqrt() * value)).collect()
        })
        .collect();
    let offset = vec![0.0; rows.len()];
    (rows, offset)
}

/// Slopes between neighbours plus `index`, for the mean of their squares over x.
fn weighted_slopes(x: &[f64], index: f64) -> Residuals {
    let whole = x.last().zip(x.first()).map_or(0.0, |(last, first)| last - first);
    x.windows(2)
        .enumerate()
        .map(|(i, pair)| {
            let step = pair[1] - pair[0];
            let weight = (step / whole).sqrt();
            (vec![(i, -weight / step), (i + 1, weight / step)], weight * index)
        })
        .unzip()
}

/// Slopes between neighbours less that between the ends, for the mean of their squares over x.
fn deviating_slopes(x: &[f64]) -> Residuals {
    let (mut rows, offset) = weighted_slopes(x, 0.0);
    let last = x.len().max(1) - 1;
    let whole = x.last().zip(x.first()).map_or(0.0, |(last, first)| last - first);
    for (row, pair) in rows.iter_mut().zip(x.windows(2)) {
        let weight = ((pair[1] - pair[0]) / whole).sqrt();
        // A point may be named twice: the operator adds.
        row.extend([(0, weight / whole), (last, -weight / whole)]);
    }
    (rows, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply((rows, offset): Residuals, values: &[f64]) -> Vec<f64> {
        rows.iter()
            .zip(offset)
            .map(|(row, offset)| offset + row.iter().map(|(at, factor)| factor * values[*at]).sum::<f64>())
            .collect()
    }

    #[test]
    fn keys_that_would_do_nothing_are_refused() {
        let of = |text: &str| toml::from_str::<Extinction>(text).unwrap();
        let message = |text: &str| of(text).validate().unwrap_err().to_string();
        assert!(message("shape_scatter = 0.3").contains("variation = true"));
        assert!(message("shape = 'x'").contains("variation = true"));
        assert!(message("fixed_bands = ['w9']").contains("variation = true"));
        assert!(message("infrared_index = 1e9").contains("at most 5"));
        assert!(message("variation = true\nshape_scatter = 1e-9").contains("from 0.01 to 1"));
        assert!(of("variation = true\nshape_scatter = 0.3\nfixed_bands = []").validate().is_ok());
        let grid = Grid::new(vec![500.0, 3350.0], vec!["g".into(), "w1".into()]).unwrap();
        for (text, is_there) in [
            ("variation = true\nfixed_bands = ['W1']", false),
            ("variation = true\nfixed_bands = ['w3']", false),
            ("variation = true\nfixed_bands = ['w1']", true),
            ("variation = true", true),
            ("fixed_bands = ['w3']", true),
        ] {
            assert_eq!(of(text).validate_on(&grid).is_ok(), is_there, "{text}");
        }
    }

    #[test]
    fn second_derivatives_are_exact_for_a_parabola() {
        let x = [0.3, 0.5, 1.1, 1.4, 2.0];
        let bends = apply(second_derivatives(&x), &x.map(|x| 3.0 * x * x - x + 2.0));
        assert!(bends.len() == 3 && bends.iter().all(|bend| (bend * bend - 12.0).abs() < 1e-9));
        assert!(second_derivatives(&x[..2]).0.is_empty() && second_derivatives(&[]).0.is_empty());
    }

    #[test]
    fn slopes_of_a_power_law_leave_the_square_of_the_difference_of_the_indices() {
        let x = [0.0, 0.1, 0.7, 1.5];
        let penalty: f64 = apply(weighted_slopes(&x, 1.61), &x.map(|x| 0.4 - 1.5 * x)).iter().map(|value| value * value).sum();
        assert!((penalty - 0.11_f64.powi(2)).abs() < 1e-12);
        assert!(weighted_slopes(&x[..1], 1.61).0.is_empty());
    }

    #[test]
    fn a_power_law_of_any_index_does_not_vary_and_a_bent_one_does() {
        let x = [0.0, 0.1, 0.7, 1.5];
        let penalty = |y: [f64; 4]| apply(deviating_slopes(&x), &y).iter().map(|value| value * value).sum::<f64>();
        assert!(penalty(x.map(|x| 0.4 - 1.85 * x)) < 1e-24);
        // Slopes of x² are x_i + x_{i+1}, their mean is 1.5.
        let expected = (0.1 * 1.4_f64.powi(2) + 0.6 * 0.7_f64.powi(2) + 0.8 * 0.7_f64.powi(2)) / 1.5;
        assert!((penalty(x.map(|x| x * x)) - expected).abs() < 1e-12);
        assert!(deviating_slopes(&x[..1]).0.is_empty() && deviating_slopes(&[]).0.is_empty());
    }
}
