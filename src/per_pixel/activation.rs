//! Activations of hidden neurons, with derivatives as functions of the activated value.

use crate::tensor::functions;
use crate::tensor::lanes::Lanes;
use serde::{Deserialize, Serialize};

/// Slope of the leaky ReLU below zero, as in The Payne.
const LEAK: f64 = 0.01;

/// What a hidden neuron does with its sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    Tanh,
    /// 1/(1 + e⁻ᶻ), of the published networks.
    Sigmoid,
    /// z above and 0.01 z below zero.
    LeakyRelu,
}

impl Activation {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::LeakyRelu => "leaky_relu",
        }
    }

    /// That of a name in a file.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Tanh, Self::Sigmoid, Self::LeakyRelu].into_iter().find(|activation| activation.name() == name)
    }

    /// h(z).
    pub fn value(self, z: f64) -> f64 {
        match self {
            Self::Tanh => z.tanh(),
            Self::Sigmoid => 1.0 / (1.0 + (-z).exp()),
            Self::LeakyRelu => z.max(LEAK * z),
        }
    }

    /// h′ and h″ from h.
    pub fn derivatives(self, h: f64) -> (f64, f64) {
        match self {
            Self::Tanh => (1.0 - h * h, -2.0 * h * (1.0 - h * h)),
            Self::Sigmoid => (h * (1.0 - h), h * (1.0 - h) * (1.0 - 2.0 * h)),
            Self::LeakyRelu => (if h > 0.0 { 1.0 } else { LEAK }, 0.0),
        }
    }

    /// h(z) and h′(z) in lanes.
    #[inline(always)]
    pub fn in_lanes<V: Lanes>(self, z: V) -> (V, V) {
        let one = V::splat(1.0);
        match self {
            Self::Tanh => {
                let h = functions::tanh(z);
                (h, one.subtract(h.multiply(h)))
            }
            Self::Sigmoid => {
                let h = one.divide(one.add(functions::exp(V::splat(0.0).subtract(z))));
                (h, h.subtract(h.multiply(h)))
            }
            Self::LeakyRelu => {
                let leak = V::splat(LEAK as f32);
                // One for any positive number that matters.
                (z.max(z.multiply(leak)), z.multiply(V::splat(1e30)).max(leak).min(one))
            }
        }
    }

    /// h′ and h″ in lanes, from h.
    #[inline(always)]
    pub fn derivatives_in_lanes<V: Lanes>(self, h: V) -> (V, V) {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        match self {
            Self::Tanh => {
                let first = one.subtract(h.multiply(h));
                (first, zero.subtract(h.add(h).multiply(first)))
            }
            Self::Sigmoid => {
                let first = h.subtract(h.multiply(h));
                (first, first.multiply(one.subtract(h.add(h))))
            }
            Self::LeakyRelu => (h.multiply(V::splat(1e30)).max(V::splat(LEAK as f32)).min(one), zero),
        }
    }
}
