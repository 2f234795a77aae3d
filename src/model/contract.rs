//! The contract that every forward model keeps, checked by one function: call it for a model with your own
//! effect.

use super::forward::ForwardModel;
use super::registry::Registry;
use super::{ModelCard, Transform};
use crate::error::{Error, Result};
use crate::tensor::{Device, Order, Precision, check::jacobian_error, to_f64};
use ndarray::{Array2, Array3, s};
use rand::{Rng, SeedableRng};

/// Largest errors that [`verify`] found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContractReport {
    /// Jacobian against central differences of the flux, relative per column.
    pub jacobian_error: f64,
    /// Second derivatives against central differences of the Jacobian, relative per column.
    pub hessian_error: f64,
    /// Relative change of the flux when the batch is split.
    pub split_error: f64,
}

/// Checks a model in f64: names and descriptions present, finite flux, Jacobian and Hessian against
/// differences (< 1e-6), invariance to splitting the batch, and a save/load round trip through `scratch`, an
/// existing empty folder.
///
/// # Errors
/// Says which clause the model breaks and by how much.
pub fn verify(model: &ForwardModel, registry: &Registry, scratch: &std::path::Path) -> Result<ContractReport> {
    let broken = |clause: &str| Error::model(format!("contract clause '{clause}'"));
    for parameter in &model.space.parameters {
        if parameter.name.is_empty() || parameter.description.is_empty() {
            return Err(broken("names").found(format!("{parameter:?}")).expected("a name and a description"));
        }
    }
    let device = Device::cpu().with_precision(Precision::Double);
    let model = model.to(&device);
    let points = random_coordinates(&model, 7);
    let free: Vec<usize> = (0..model.space.len()).collect();
    let tensor = |x: &Array2<f64>| device.tensor(&x.iter().copied().collect::<Vec<_>>(), [x.nrows(), x.ncols()]);
    let derivatives = |x: &Array2<f64>, order: Order| -> Result<(Array2<f64>, Array3<f64>, Array3<f64>)> {
        let (n, p, w) = (x.nrows(), free.len(), model.grid.len());
        let jet = model.flux(tensor(x), &free, order)?;
        let stack = |stack: Option<crate::tensor::Tensor<3>>, rows: usize| {
            Array3::from_shape_vec((n, rows, w), stack.map_or_else(|| vec![0.0; n * rows * w], to_f64))
        };
        let shape = |error: ndarray::ShapeError| broken("shapes").found(error.to_string());
        let value = Array2::from_shape_vec((n, w), to_f64(jet.value.clone())).map_err(shape)?;
        let second = if order == Order::Second { stack(jet.hessian(p), p * p) } else { Ok(Array3::zeros((n, 0, w))) };
        Ok((value, stack(jet.jacobian(p), p).map_err(shape)?, second.map_err(shape)?))
    };

    let (value, jacobian, second) = derivatives(&points, Order::Second)?;
    if !value.iter().chain(&jacobian).chain(&second).all(|x| x.is_finite()) {
        return Err(broken("finite").found("NaN or infinity").expected("finite flux and derivatives at ordinary coordinates"));
    }
    let floor = 1e-8 * value.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    let flux = |x: &Array2<f64>| derivatives(x, Order::Value).map_or_else(|_| Array2::from_elem((7, 1), f64::NAN), |d| d.0);
    let jacobian_error_ = jacobian_error(flux, &points, &jacobian, 1e-3, floor);
    let mut hessian_error: f64 = 0.0;
    for p in 0..free.len() {
        let row = |x: &Array2<f64>| {
            derivatives(x, Order::First)
                .map_or_else(|_| Array2::from_elem((7, 1), f64::NAN), |d| d.1.slice(s![.., p, ..]).to_owned())
        };
        let claimed = second.slice(s![.., p * free.len()..(p + 1) * free.len(), ..]).to_owned();
        hessian_error = hessian_error.max(jacobian_error(row, &points, &claimed, 1e-3, floor));
    }
    let split_error = (0..points.nrows())
        .map(|i| {
            let alone = flux(&points.slice(s![i..=i, ..]).to_owned());
            alone.iter().zip(value.row(i)).map(|(a, b)| (a - b).abs() / b.abs().max(floor)).fold(0.0, f64::max)
        })
        .fold(0.0, f64::max);
    let report = ContractReport { jacobian_error: jacobian_error_, hessian_error, split_error };
    for (clause, error, limit) in
        [("jacobian", jacobian_error_, 1e-6), ("hessian", hessian_error, 1e-6), ("batch splitting", split_error, 1e-12)]
    {
        // A NaN must fail, so the comparison is written for what is allowed.
        if !matches!(error.partial_cmp(&limit), Some(std::cmp::Ordering::Less)) {
            return Err(broken(clause).found(format!("{error:.2e}")).expected(format!("< {limit:.0e}")));
        }
    }

    model.save(scratch, &ModelCard::default())?;
    let (loaded, _) = ForwardModel::load(scratch, registry, &Device::cpu())?;
    if loaded.sha256("")? != model.sha256("")? {
        return Err(broken("save and load").found("another model").expected("the same model, bit for bit in 32-bit floats"));
    }
    Ok(report)
}

/// Standard-normal coordinates; logarithmic parameters around e^−1.
fn random_coordinates(model: &ForwardModel, n_stars: usize) -> Array2<f64> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(11);
    Array2::from_shape_fn((n_stars, model.space.len()), |(_, p)| {
        let draw: f64 = random.sample(rand_distr::StandardNormal);
        match model.space.parameters[p].transform {
            Transform::Identity => draw,
            Transform::Logarithm => 0.5 * draw - 1.0,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observations::Grid;

    fn table(text: &str) -> toml::Table {
        text.parse().unwrap()
    }

    fn paper_grid() -> Grid {
        let xp = (0..61).map(|i| 392.0 + 10.0 * f64::from(i));
        let wavelength: Vec<f64> = xp.chain([1235.0, 1662.0, 2159.0, 3352.6, 4602.8]).collect();
        let names = wavelength.iter().map(|nm| format!("band_{nm}")).collect();
        Grid::new(wavelength, names).unwrap()
    }

    fn model(effects: &[&str]) -> ForwardModel {
        let tables: Vec<toml::Table> = effects.iter().map(|text| table(text)).collect();
        let mut model = ForwardModel::new(&Registry::standard(), &tables, paper_grid(), 3, &Device::cpu()).unwrap();
        for parameter in model.space.parameters.iter_mut().filter(|parameter| parameter.is_label()) {
            (parameter.centre, parameter.scale) = (0.4, 1.7);
        }
        model
    }

    const EMULATOR: &str = "kind = 'emulator'";
    const DISTANCE: &str = "kind = 'distance'";
    const EXTINCTION: &str = "kind = 'extinction'";

    #[test]
    fn default_network_and_extinction_curve_have_4484_weights() {
        assert_eq!(model(&[EMULATOR, EXTINCTION, DISTANCE]).n_weights(), 4484);
    }

    #[test]
    fn every_effect_and_the_composed_models_keep_the_contract() {
        let variation = "kind = 'extinction'\nvariation = true\nfixed_bands = ['band_3352.6']";
        let skips = "kind = 'emulator'\nskip_connections = true\nhidden = [9, 7]\nactivation = 'sigmoid'";
        let compositions: [&[&str]; 5] =
            [&[EMULATOR], &[EXTINCTION], &[DISTANCE], &[EMULATOR, EXTINCTION, DISTANCE], &[skips, variation, DISTANCE]];
        for effects in compositions {
            let scratch = tempfile::tempdir().unwrap();
            let mut model = model(effects);
            let check = |model: &ForwardModel| verify(model, &Registry::standard(), scratch.path());
            check(&model).unwrap_or_else(|error| panic!("{effects:?}: {error}"));
            for parameter in model.space.parameters.iter_mut().filter(|parameter| !parameter.is_label()) {
                parameter.transform = Transform::Identity;
            }
            check(&model).unwrap_or_else(|error| panic!("{effects:?}, linear: {error}"));
        }
    }

    #[test]
    fn gradient_of_a_loss_for_every_weight_agrees_with_differences() {
        let device = Device::cpu().with_precision(Precision::Double);
        let variation = "kind = 'extinction'\nvariation = true";
        let model =
            model(&["kind = 'emulator'\nhidden = [5, 4]\nskip_connections = true", variation, DISTANCE]).to(&device.taped());
        let points = random_coordinates(&model, 4);
        let flat: Vec<f64> = points.iter().copied().collect();
        let strengths: std::collections::BTreeMap<String, f64> =
            ["kernel", "emulator_curvature", "emulator_roughness", "extinction_smoothness", "infrared_index"]
                .map(|k| (k.into(), 0.3))
                .into();
        let loss = |model: &ForwardModel| {
            let device = model.device();
            let flux = model.flux(device.tensor(&flat, [4, points.ncols()]), &[], Order::Value).unwrap().value;
            flux.log().powf_scalar(2.0).mean() + model.penalty(&strengths).unwrap().unwrap()
        };
        let gradients = model.weights.host_gradients(loss(&model));
        let plain = model.to(&device);
        let mut worst: f64 = 0.0;
        for (name, gradient) in model.weights.names().iter().zip(&gradients) {
            assert!(gradient.iter().any(|g| *g != 0.0), "{name} gets no gradient");
            let scale = gradient.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
            for i in (0..gradient.len()).step_by(7) {
                let shifted = |h: f64| {
                    let mut moved = plain.clone();
                    let mut values = moved.weights.values(name).unwrap();
                    values[i] += h;
                    moved.weights.set(name, &values, &device).unwrap();
                    to_f64(loss(&moved))[0]
                };
                let h = 1e-4;
                let difference = (8.0 * (shifted(h) - shifted(-h)) - (shifted(2.0 * h) - shifted(-2.0 * h))) / (12.0 * h);
                worst = worst.max((gradient[i] - difference).abs() / scale);
            }
        }
        assert!(worst < 1e-6, "worst relative error {worst:.1e}"); // observed: 3e-9
    }

    #[test]
    fn damaged_model_directories_are_refused_by_name() {
        let scratch = tempfile::tempdir().unwrap();
        let model = model(&[EMULATOR, EXTINCTION, DISTANCE]);
        model.save(scratch.path(), &ModelCard::default()).unwrap();
        let load = || ForwardModel::load(scratch.path(), &Registry::standard(), &Device::cpu()).unwrap_err().to_string();
        let description = scratch.path().join("model.toml");
        let text = std::fs::read_to_string(&description).unwrap();

        std::fs::write(&description, text.replace("format = 2", "format = 99")).unwrap();
        assert!(load().contains("format 99"));
        std::fs::write(&description, text.replacen("32, 32, 32", "32, 16, 32", 1).replacen("32,\n", "16,\n", 1)).unwrap();
        assert!(load().contains("emulator.layer_"), "{}", load());
        std::fs::write(&description, text.replace("kind = \"distance\"", "kind = \"teleport\"")).unwrap();
        assert!(load().contains("teleport"));
        std::fs::write(&description, &text).unwrap();
        let weights = scratch.path().join("weights.safetensors");
        let bytes = std::fs::read(&weights).unwrap();
        std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
        assert!(load().contains("safetensors"));
        std::fs::remove_file(&weights).unwrap();
        assert!(load().contains("weights.safetensors"));
    }
}
