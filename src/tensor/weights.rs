//! The global weights of a model: named tensors of any shape, held in one burn module so that any burn
//! optimiser moves them.
//!
//! Effects declare their tensors ([`WeightSpecification`]) instead of owning burn modules: a model is then
//! open to effects of other crates, weights have documented names in files, and optimiser states (which burn
//! keys by parameter id) can be resumed, because the id of a tensor is its position.

use super::{Device, Tensor, to_f64};
use crate::error::{Error, Result};
use burn::Dispatch;
use burn::module::{Module, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::backend::Backend;
use std::collections::BTreeSet;

/// Biases of a layer with a kernel `[inputs, outputs]` behind sigmoids, which begin at a half: a mean that
/// the layer should not see.
pub fn biases_behind_sigmoids(kernel: &[f64], outputs: usize) -> Vec<f64> {
    (0..outputs).map(|output| -0.5 * kernel.iter().skip(output).step_by(outputs).sum::<f64>()).collect()
}

/// Name, shape and initial values of one weight tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightSpecification {
    /// Name in files, with the effect's kind in front: `emulator.layer_0.weight`.
    pub name: String,
    /// Length of every axis.
    pub shape: Vec<usize>,
    /// Initial values in row-major order.
    pub initial: Vec<f64>,
}

/// The flat tensors, in the order of the specifications.
#[derive(Module, Debug)]
pub(super) struct FlatTensors<B: Backend = Dispatch> {
    tensors: Vec<Param<burn::tensor::Tensor<B, 1>>>,
}

/// Named weight tensors on a device.
#[derive(Debug, Clone)]
pub struct Weights {
    names: Vec<String>,
    shapes: Vec<Vec<usize>>,
    pub(super) module: FlatTensors,
    frozen: BTreeSet<String>,
}

impl Weights {
    /// Weights with the initial values of their specifications.
    ///
    /// # Errors
    /// When a name occurs twice or values and shape disagree.
    pub fn new(specifications: &[WeightSpecification], device: &Device) -> Result<Self> {
        let mut names = BTreeSet::new();
        for specification in specifications {
            let (found, expected) = (specification.initial.len(), specification.shape.iter().product::<usize>());
            if found != expected {
                return Err(Error::model(format!("tensor '{}'", specification.name))
                    .found(format!("{found} initial values"))
                    .expected(format!("{expected} (shape {:?})", specification.shape)));
            }
            if !names.insert(&specification.name) {
                return Err(Error::model(format!("tensor '{}'", specification.name))
                    .found("the name twice")
                    .expected("distinct names")
                    .remedy("Give each effect of the model a kind or name of its own."));
            }
        }
        let values: Vec<Vec<f64>> = specifications.iter().map(|specification| specification.initial.clone()).collect();
        Ok(Self {
            names: specifications.iter().map(|specification| specification.name.clone()).collect(),
            shapes: specifications.iter().map(|specification| specification.shape.clone()).collect(),
            module: flat_tensors(&values, device),
            frozen: BTreeSet::new(),
        })
    }

    /// The names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.shapes[self.position(name)?])
    }

    /// Number of values over all tensors.
    pub fn n_values(&self) -> usize {
        self.module.num_params()
    }

    /// The tensor of that name with `D` axes.
    ///
    /// # Errors
    /// When there is none or it has another number of axes.
    pub fn get<const D: usize>(&self, name: &str) -> Result<Tensor<D>> {
        let position = self.position(name)?;
        let shape: [usize; D] = self.shapes[position].clone().try_into().map_err(|shape: Vec<usize>| {
            Error::model(format!("tensor '{name}'")).found(format!("{} axes", shape.len())).expected(format!("{D}"))
        })?;
        let flat = self.module.tensors[position].val();
        let flat = if self.frozen.contains(name) { flat.detach() } else { flat };
        Ok(flat.reshape(shape))
    }

    /// Host copy of a tensor, row-major.
    pub fn values(&self, name: &str) -> Result<Vec<f64>> {
        Ok(to_f64(self.module.tensors[self.position(name)?].val()))
    }

    /// Replaces the values of a tensor, keeping its shape and device.
    ///
    /// # Errors
    /// When there is no such tensor or the number of values differs.
    pub fn set(&mut self, name: &str, values: &[f64], device: &Device) -> Result<()> {
        let position = self.position(name)?;
        let expected: usize = self.shapes[position].iter().product();
        if values.len() != expected {
            return Err(Error::model(format!("tensor '{name}'"))
                .found(format!("{} values", values.len()))
                .expected(format!("{expected} (shape {:?})", self.shapes[position])));
        }
        self.module.tensors[position] = parameter(position, values, device);
        Ok(())
    }

    /// A copy on another device, precision or tape.
    pub fn to(&self, device: &Device) -> Self {
        let values: Vec<Vec<f64>> = self.module.tensors.iter().map(|tensor| to_f64(tensor.val())).collect();
        Self { module: flat_tensors(&values, device), ..self.clone() }
    }

    /// Freezes every tensor whose name does not begin with one of `moving` (all move when `moving` is empty).
    pub fn freeze_all_but(&mut self, moving: &[String]) {
        let moves = |name: &&String| moving.is_empty() || moving.iter().any(|prefix| name.starts_with(prefix.as_str()));
        self.frozen = self.names.iter().filter(|name| !moves(name)).cloned().collect();
    }

    /// Gradients of a taped scalar loss with respect to the moving tensors.
    pub(super) fn gradients(&self, loss: Tensor<1>) -> GradientsParams {
        let mut gradients = loss.backward();
        let moving: Vec<ParamId> =
            (0..self.names.len()).filter(|&i| !self.frozen.contains(&self.names[i])).map(parameter_id).collect();
        GradientsParams::from_params(&mut gradients, &self.module, &moving)
    }

    /// Scales gradients down to the norm `largest` over all tensors together, where it is larger.
    pub(super) fn clip(&self, gradients: &mut GradientsParams, largest: f64) {
        let each: Vec<(ParamId, Tensor<1>)> = (0..self.names.len())
            .map(parameter_id)
            .filter_map(|id| gradients.remove::<Dispatch, 1>(id).map(|gradient| (id, gradient)))
            .collect();
        let norm = each.iter().flat_map(|(_, gradient)| to_f64(gradient.clone())).map(|value| value * value).sum::<f64>().sqrt();
        let scale = if norm > largest { largest / norm } else { 1.0 };
        each.into_iter().for_each(|(id, gradient)| gradients.register::<Dispatch, 1>(id, gradient * scale));
    }

    /// Gradient of a taped scalar loss with respect to every tensor, on the host; zeros where the loss does
    /// not depend on it.
    pub fn host_gradients(&self, loss: Tensor<1>) -> Vec<Vec<f64>> {
        let gradients = self.gradients(loss);
        let inner = |i| gradients.get::<Dispatch, 1>(parameter_id(i));
        (0..self.names.len())
            .map(|i| match inner(i) {
                Some(gradient) => gradient.into_data().convert::<f64>().into_vec().unwrap_or_default(),
                None => vec![0.0; self.shapes[i].iter().product()],
            })
            .collect()
    }

    fn position(&self, name: &str) -> Result<usize> {
        self.names.iter().position(|other| other == name).ok_or_else(|| {
            Error::model(format!("tensor '{name}'")).found(format!("only {}", self.names.join(", "))).expected("that tensor")
        })
    }
}

/// Parameter ids are positions (from one), so that optimiser states saved by one process fit the weights of
/// another.
fn parameter_id(position: usize) -> ParamId {
    ParamId::from(position as u64 + 1)
}

fn parameter(position: usize, values: &[f64], device: &Device) -> Param<Tensor<1>> {
    let tensor = device.tensor(values, [values.len()]);
    Param::initialized(parameter_id(position), if device.is_taped() { tensor.require_grad() } else { tensor })
}

fn flat_tensors(values: &[Vec<f64>], device: &Device) -> FlatTensors {
    FlatTensors { tensors: values.iter().enumerate().map(|(position, values)| parameter(position, values, device)).collect() }
}
