//! The standard family: f = ϖ² exp(y(Θ) − E·R(λ; ξ)), or the same of two stars, ϖ² (exp y(Θ₁) + exp y(Θ₂))
//! exp(−E·R), read from a model whose effects say that they belong to it.

use super::network::{Layer, Network};
use crate::error::Result;
use crate::model::{ClosedForm, ForwardModel, Parameter, Transform};
use crate::tensor::Precision;
use crate::tensor::lanes::{Block, padded};

/// What a parameter of the model does in the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Label(usize),
    /// A label of the second star alone.
    OfSecond(usize),
    Extinction,
    Variation,
    Parallax,
}

/// The dust term E·exp(b + tanh(ξ)·s).
#[derive(Debug, Clone)]
pub struct Dust {
    pub amount: usize,
    /// b, `blocks(W)`.
    pub ln_curve: Vec<Block>,
    /// Position of ξ, and s.
    pub variation: Option<(usize, Vec<Block>)>,
}

/// A model of the family with its weights in single precision.
#[derive(Debug, Clone)]
pub struct StandardFamily {
    pub network: Network,
    /// Positions of the network's labels in the parameter space.
    pub labels: Vec<usize>,
    /// The same of a second star, where there is one.
    pub second: Option<Vec<usize>>,
    pub dust: Option<Dust>,
    /// Position of ϖ.
    pub parallax: Option<usize>,
    /// The role of every parameter.
    pub roles: Vec<Role>,
    pub parameters: Vec<Parameter>,
    pub n_wavelengths: usize,
}

impl StandardFamily {
    /// The family member that `model` is, if it is one: one network, at most one dust term and one distance,
    /// in single precision on the processor, with finite weights.
    ///
    /// # Errors
    /// When the model lacks a weight that its effects name.
    pub fn of(model: &ForwardModel) -> Result<Option<Self>> {
        if model.device().precision() != Precision::Single || !model.device().is_cpu() || model.device().is_taped() {
            return Ok(None);
        }
        let position = |name: &str| model.space.position(name);
        let (mut network, mut dust, mut parallax) = (None, None, None);
        let mut second: Option<Vec<usize>> = None;
        for effect in &model.effects {
            match effect.closed_form(&model.grid) {
                Some(ClosedForm::Network { labels, layers, skip_connections }) if network.is_none() => {
                    let positions = labels.iter().map(|name| position(name)).collect::<Result<Vec<usize>>>()?;
                    let layers = layers
                        .iter()
                        .map(|[kernel, bias]| Ok(Layer::new(&model.weights.values(kernel)?, &model.weights.values(bias)?)))
                        .collect::<Result<Vec<Layer>>>()?;
                    network = Some((Network { layers, n_labels: labels.len(), skip_connections }, positions));
                }
                Some(ClosedForm::SecondStar { replaced }) if second.is_none() => {
                    // Dust and distance are those of both, wherever the sum stands; but the network is before
                    // it.
                    let Some((_, labels)) = &network else { return Ok(None) };
                    let mut positions = labels.clone();
                    for (label, own) in replaced {
                        let (at, own) = (position(&label)?, position(&own)?);
                        let place = positions.iter().position(|&label| label == at).filter(|_| alike(model, at, own));
                        let Some(place) = place else { return Ok(None) };
                        positions[place] = own;
                    }
                    second = Some(positions);
                }
                Some(ClosedForm::Dust { amount, ln_curve, variation }) if dust.is_none() => {
                    let ln_curve = padded(model.weights.values(&ln_curve)?.into_iter().map(|value| value as f32));
                    let variation = match variation {
                        None => None,
                        Some((xi, slope, varies)) => {
                            let slope = model.weights.values(&slope)?;
                            Some((
                                position(&xi)?,
                                padded(slope.iter().zip(varies).map(|(slope, varies)| (slope * varies) as f32)),
                            ))
                        }
                    };
                    dust = Some(Dust { amount: position(&amount)?, ln_curve, variation });
                }
                Some(ClosedForm::Distance { parallax: name }) if parallax.is_none() => parallax = Some(position(&name)?),
                _ => return Ok(None),
            }
        }
        let Some((network, labels)) = network else { return Ok(None) };
        let role = |position: usize| {
            let label = labels.iter().position(|&label| label == position).map(Role::Label);
            let amount = dust.as_ref().filter(|dust| dust.amount == position).map(|_| Role::Extinction);
            let variation = dust.as_ref().and_then(|dust| dust.variation.as_ref()).filter(|(xi, _)| *xi == position);
            let distance = parallax.filter(|&parallax| parallax == position).map(|_| Role::Parallax);
            let others = second.as_ref().and_then(|second| second.iter().position(|&label| label == position));
            label.or(others.map(Role::OfSecond)).or(amount).or(variation.map(|_| Role::Variation)).or(distance)
        };
        let Some(roles) = (0..model.space.len()).map(role).collect::<Option<Vec<Role>>>() else { return Ok(None) };
        let all_finite = model
            .weights
            .names()
            .iter()
            .map(|name| model.weights.values(name))
            .collect::<Result<Vec<_>>>()?
            .iter()
            .flatten()
            .all(|value| value.is_finite());
        Ok(all_finite.then(|| Self {
            network,
            labels,
            second,
            dust,
            parallax,
            roles,
            parameters: model.space.parameters.clone(),
            n_wavelengths: model.grid.len(),
        }))
    }

    /// Whether the second star has this label of the network in common with the first.
    #[inline(always)]
    pub fn shares(&self, label: usize) -> bool {
        self.second.as_ref().is_some_and(|second| second[label] == self.labels[label])
    }

    /// Model value of a parameter at a coordinate, with its first and second derivative.
    #[inline(always)]
    pub fn value(&self, position: usize, coordinate: f64) -> [f64; 3] {
        let parameter = &self.parameters[position];
        let transformed = parameter.centre + parameter.scale * coordinate;
        match parameter.transform {
            Transform::Identity => [transformed, parameter.scale, 0.0],
            Transform::Logarithm => {
                let value = transformed.exp();
                [value, parameter.scale * value, parameter.scale * parameter.scale * value]
            }
        }
    }
}

/// Whether two parameters have the same coordinate at the same value.
fn alike(model: &ForwardModel, a: usize, b: usize) -> bool {
    let [a, b] = [a, b].map(|at| &model.space.parameters[at]);
    (a.transform, a.centre, a.scale) == (b.transform, b.centre, b.scale)
}
