//! Gradient descent of the global weights with burn's optimisers, resumable to the bit.

use super::{Device, Tensor, Weights, weights::FlatTensors};
use crate::error::{Error, Result};
use burn::Dispatch;
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{Adam, AdamConfig, AdamW, AdamWConfig, Optimizer, Sgd, SgdConfig};
use burn::record::{FullPrecisionSettings, NamedMpkBytesRecorder, Recorder};
use serde::{Deserialize, Serialize};

/// Which optimiser moves the global weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum DescentMethod {
    /// Adam (Kingma & Ba 2014).
    Adam {
        #[serde(default = "first_moment")]
        beta_1: f32,
        #[serde(default = "second_moment")]
        beta_2: f32,
    },
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2017).
    AdamW { weight_decay: f32 },
    /// Stochastic gradient descent with momentum.
    Sgd { momentum: f64 },
}

fn first_moment() -> f32 {
    0.9
}

fn second_moment() -> f32 {
    0.999
}

impl DescentMethod {
    /// Checks its numbers; `place` is that of the method in a recipe.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn validate(&self, place: &str) -> Result<()> {
        let below_one = "a number in [0, 1)";
        let is_below_one = |value: f64| (0.0..1.0).contains(&value);
        let numbers = match self {
            Self::Adam { beta_1, beta_2 } => vec![
                ("beta_1", beta_1.to_string(), is_below_one(f64::from(*beta_1)), below_one),
                ("beta_2", beta_2.to_string(), is_below_one(f64::from(*beta_2)), below_one),
            ],
            Self::AdamW { weight_decay } => {
                let is_possible = *weight_decay >= 0.0 && weight_decay.is_finite();
                vec![("weight_decay", weight_decay.to_string(), is_possible, "zero or a positive number")]
            }
            Self::Sgd { momentum } => vec![("momentum", momentum.to_string(), is_below_one(*momentum), below_one)],
        };
        match numbers.into_iter().find(|(_, _, is_possible, _)| !is_possible) {
            None => Ok(()),
            Some((key, found, _, expected)) => {
                Err(Error::usage(format!("{place}.{key}")).found(found).expected(expected).remedy("Correct the recipe."))
            }
        }
    }
}

impl Default for DescentMethod {
    fn default() -> Self {
        Self::Adam { beta_1: first_moment(), beta_2: second_moment() }
    }
}

enum State {
    Adam(OptimizerAdaptor<Adam, FlatTensors, Dispatch>),
    AdamW(OptimizerAdaptor<AdamW, FlatTensors, Dispatch>),
    Sgd(OptimizerAdaptor<Sgd<Dispatch>, FlatTensors, Dispatch>),
}

/// An optimiser with its state.
pub struct Descent {
    state: State,
}

impl Descent {
    /// A fresh optimiser.
    pub fn new(method: &DescentMethod) -> Self {
        let state = match *method {
            DescentMethod::Adam { beta_1, beta_2 } => {
                State::Adam(AdamConfig::new().with_beta_1(beta_1).with_beta_2(beta_2).with_epsilon(1e-8).init())
            }
            DescentMethod::AdamW { weight_decay } => {
                State::AdamW(AdamWConfig::new().with_weight_decay(weight_decay).with_epsilon(1e-8).init())
            }
            DescentMethod::Sgd { momentum } => State::Sgd(
                SgdConfig::new()
                    .with_momentum((momentum > 0.0).then(|| MomentumConfig::new().with_momentum(momentum).with_dampening(0.0)))
                    .init(),
            ),
        };
        Self { state }
    }

    /// One step of the moving weights down the gradient of a taped scalar loss `[1]`, which is scaled down to
    /// the norm `largest` over all weights where it is larger.
    pub fn step(&mut self, weights: &mut Weights, loss: Tensor<1>, learning_rate: f64, largest: Option<f64>) {
        let mut gradients = weights.gradients(loss);
        if let Some(largest) = largest {
            weights.clip(&mut gradients, largest);
        }
        let module = weights.module.clone();
        weights.module = match &mut self.state {
            State::Adam(optimiser) => optimiser.step(learning_rate, module, gradients),
            State::AdamW(optimiser) => optimiser.step(learning_rate, module, gradients),
            State::Sgd(optimiser) => optimiser.step(learning_rate, module, gradients),
        };
    }

    /// The state as bytes (MessagePack).
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let recorder = NamedMpkBytesRecorder::<FullPrecisionSettings>::default();
        match &self.state {
            State::Adam(optimiser) => Recorder::<Dispatch>::record(&recorder, optimiser.to_record(), ()),
            State::AdamW(optimiser) => Recorder::<Dispatch>::record(&recorder, optimiser.to_record(), ()),
            State::Sgd(optimiser) => Recorder::<Dispatch>::record(&recorder, optimiser.to_record(), ()),
        }
        .map_err(|error| Error::output("optimiser state").found(error.to_string()))
    }

    /// The optimiser of `method` with the state that [`Descent::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are not such a state.
    pub fn from_bytes(method: &DescentMethod, bytes: Vec<u8>, device: &Device) -> Result<Self> {
        let recorder = NamedMpkBytesRecorder::<FullPrecisionSettings>::default();
        let plain = device.untaped().dispatch();
        let unreadable = |error: burn::record::RecorderError| {
            Error::data("optimiser state").found(error.to_string()).expected("the state of a checkpoint of this recipe")
        };
        let state = match Self::new(method).state {
            State::Adam(optimiser) => {
                State::Adam(optimiser.load_record(Recorder::<Dispatch>::load(&recorder, bytes, &plain).map_err(unreadable)?))
            }
            State::AdamW(optimiser) => {
                State::AdamW(optimiser.load_record(Recorder::<Dispatch>::load(&recorder, bytes, &plain).map_err(unreadable)?))
            }
            State::Sgd(optimiser) => {
                State::Sgd(optimiser.load_record(Recorder::<Dispatch>::load(&recorder, bytes, &plain).map_err(unreadable)?))
            }
        };
        Ok(Self { state })
    }
}
