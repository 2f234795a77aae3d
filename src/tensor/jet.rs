//! Jets: a value with its tangents and, on request, its second derivatives, as burn tensors (forward-mode differentiation).
//!
//! A model is written once as arithmetic on jets; the value, the exact Jacobian and the exact Hessian come from that one text.
//! Jets of taped tensors can be differentiated again in reverse mode, which gives mixed second derivatives such as
//! ∂/∂weight ∂f/∂label.

use super::{Device, Tensor};

/// How many derivatives a jet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// The value alone.
    Value,
    /// Value and first derivatives.
    First,
    /// Value, first and second derivatives.
    Second,
}

/// A batch of vectors with derivatives with respect to P parameters of each batch element.
///
/// Absent tangents mean zero: a jet without them does not depend on the parameters.
///
/// # Shapes
/// `value [N, W]`; `tangents [N, P, W]` with `tangents[n, p, w] = ∂value[n, w]/∂x[n, p]`; `second [N, P·P, W]` with
/// `second[n, p·P + q, w] = ∂²value[n, w]/∂x[n, p]∂x[n, q]`. In all operations N or W may be 1 on one side (broadcasting).
#[derive(Debug, Clone)]
pub struct Jet {
    pub value: Tensor<2>,
    pub tangents: Option<Tensor<3>>,
    pub second: Option<Tensor<3>>,
}

impl Jet {
    /// A jet that does not depend on the parameters.
    pub fn constant(value: Tensor<2>) -> Self {
        Self { value, tangents: None, second: None }
    }

    /// The independent variables: `value [N, k]` whose column `i` is parameter `columns[i]` of `n_parameters`; a column with
    /// `None` is held fixed.
    pub fn variables(value: Tensor<2>, columns: &[Option<usize>], n_parameters: usize, order: Order, device: &Device) -> Self {
        let [n, k] = value.dims();
        if order == Order::Value || columns.iter().all(Option::is_none) {
            return Self::constant(value);
        }
        let mut seed = vec![0.0; n_parameters * k];
        for (i, column) in columns.iter().enumerate() {
            if let Some(column) = column {
                seed[column * k + i] = 1.0;
            }
        }
        let tangents = device.tensor(&seed, [1, n_parameters, k]).expand([n, n_parameters, k]);
        let second = (order == Order::Second).then(|| device.zeros([n, n_parameters * n_parameters, k]));
        Self { value, tangents: Some(tangents), second }
    }

    /// Number of rows N and columns W.
    pub fn dims(&self) -> [usize; 2] {
        self.value.dims()
    }

    /// `self · weight`, with `weight [W, V]` independent of the parameters.
    pub fn matmul(&self, weight: &Tensor<2>) -> Self {
        let product = |stack: &Tensor<3>| {
            let [n, p, w] = stack.dims();
            stack.clone().reshape([n * p, w]).matmul(weight.clone()).reshape([n, p, weight.dims()[1]])
        };
        Self {
            value: self.value.clone().matmul(weight.clone()),
            tangents: self.tangents.as_ref().map(product),
            second: self.second.as_ref().map(product),
        }
    }

    /// Sum of two jets.
    pub fn add(&self, other: &Self) -> Self {
        Self {
            value: self.value.clone() + other.value.clone(),
            tangents: sum(self.broadcast_tangents(other), other.broadcast_tangents(self)),
            second: sum(self.broadcast_second(other), other.broadcast_second(self)),
        }
    }

    /// Difference of two jets.
    pub fn sub(&self, other: &Self) -> Self {
        self.add(&other.scale(-1.0))
    }

    /// Elementwise product of two jets.
    pub fn mul(&self, other: &Self) -> Self {
        let cross = match (&self.tangents, &other.tangents) {
            (Some(a), Some(b)) if self.second.is_some() || other.second.is_some() => Some(outer(a, b) + outer(b, a)),
            _ => None,
        };
        Self {
            value: self.value.clone() * other.value.clone(),
            tangents: sum(times(&self.tangents, &other.value), times(&other.tangents, &self.value)),
            second: sum(sum(times(&self.second, &other.value), times(&other.second, &self.value)), cross),
        }
    }

    /// The jet times a number.
    pub fn scale(&self, factor: f64) -> Self {
        Self {
            value: self.value.clone() * factor,
            tangents: self.tangents.clone().map(|tangents| tangents * factor),
            second: self.second.clone().map(|second| second * factor),
        }
    }

    /// The jet plus a number.
    pub fn offset(&self, number: f64) -> Self {
        Self { value: self.value.clone() + number, ..self.clone() }
    }

    /// exp of every element.
    pub fn exp(&self) -> Self {
        let value = self.value.clone().exp();
        self.chain(value.clone(), || value.clone(), || value.clone())
    }

    /// Natural logarithm of every element.
    pub fn ln(&self) -> Self {
        let inverse = || self.value.clone().recip();
        self.chain(self.value.clone().log(), inverse, || -(inverse() * inverse()))
    }

    /// tanh of every element.
    pub fn tanh(&self) -> Self {
        let value = self.value.clone().tanh();
        let slope = || (value.clone() * value.clone()).neg() + 1.0;
        self.chain(value.clone(), slope, || slope() * value.clone() * -2.0)
    }

    /// 1/(1 + exp(−x)) of every element.
    pub fn sigmoid(&self) -> Self {
        let value = burn::tensor::activation::sigmoid(self.value.clone());
        let slope = || value.clone() * (value.clone().neg() + 1.0);
        self.chain(value.clone(), slope, || slope() * (value.clone() * -2.0 + 1.0))
    }

    /// x for x > 0, `leak`·x otherwise; its second derivative is taken as zero.
    pub fn leaky_relu(&self, leak: f64) -> Self {
        let negative = self.value.clone().lower_elem(0.0);
        let slope = || self.value.clone().ones_like().mask_fill(negative.clone(), leak);
        self.chain(self.value.clone() * slope(), slope, || self.value.zeros_like())
    }

    /// Sum over the columns: `[N, W] → [N, 1]`.
    pub fn sum_columns(&self) -> Self {
        Self {
            value: self.value.clone().sum_dim(1),
            tangents: self.tangents.clone().map(|tangents| tangents.sum_dim(2)),
            second: self.second.clone().map(|second| second.sum_dim(2)),
        }
    }

    /// Jets side by side: `[N, W₁], [N, W₂] … → [N, W₁ + W₂ + …]`. All must have the same N.
    pub fn concat(jets: &[&Self], device: &Device) -> Self {
        let n = jets.iter().map(|jet| jet.dims()[0]).max().unwrap_or(0);
        let join = |stacks: Vec<&Option<Tensor<3>>>| {
            let p = stacks.iter().find_map(|stack| stack.as_ref().map(|stack| stack.dims()[1]))?;
            let filled = stacks
                .iter()
                .zip(jets)
                .map(|(stack, jet)| stack.as_ref().map_or_else(|| device.zeros([n, p, jet.dims()[1]]), |stack| stack.clone()));
            Some(Tensor::cat(filled.collect(), 2))
        };
        Self {
            value: Tensor::cat(jets.iter().map(|jet| jet.value.clone()).collect(), 1),
            tangents: join(jets.iter().map(|jet| &jet.tangents).collect()),
            second: join(jets.iter().map(|jet| &jet.second).collect()),
        }
    }

    /// g(self) with first and second derivative of g at the value.
    fn chain(&self, value: Tensor<2>, slope: impl Fn() -> Tensor<2>, curvature: impl Fn() -> Tensor<2>) -> Self {
        let Some(tangents) = &self.tangents else {
            return Self::constant(value);
        };
        let second = self.second.as_ref().map(|second| {
            let bend: Tensor<3> = curvature().unsqueeze_dim(1);
            let slope: Tensor<3> = slope().unsqueeze_dim(1);
            second.clone() * slope + outer(tangents, tangents) * bend
        });
        let slope: Tensor<3> = slope().unsqueeze_dim(1);
        Self { value, tangents: Some(tangents.clone() * slope), second }
    }

    fn broadcast_tangents(&self, other: &Self) -> Option<Tensor<3>> {
        broadcast(&self.tangents, other)
    }

    fn broadcast_second(&self, other: &Self) -> Option<Tensor<3>> {
        broadcast(&self.second, other)
    }
}

/// Widens a derivative stack to the columns and rows of the jet it is added to.
fn broadcast(stack: &Option<Tensor<3>>, other: &Jet) -> Option<Tensor<3>> {
    stack.as_ref().map(|stack| {
        let [n, p, w] = stack.dims();
        let [other_n, other_w] = other.dims();
        let (wide_n, wide_w) = (n.max(other_n), w.max(other_w));
        if (wide_n, wide_w) == (n, w) { stack.clone() } else { stack.clone().expand([wide_n, p, wide_w]) }
    })
}

fn sum(a: Option<Tensor<3>>, b: Option<Tensor<3>>) -> Option<Tensor<3>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

fn times(stack: &Option<Tensor<3>>, value: &Tensor<2>) -> Option<Tensor<3>> {
    stack.as_ref().map(|stack| stack.clone() * value.clone().unsqueeze_dim::<3>(1))
}

/// Products of all pairs of tangents, `[N, P, W]² → [N, P·P, W]`.
fn outer(a: &Tensor<3>, b: &Tensor<3>) -> Tensor<3> {
    let ([n, p, w], [m, _, v]) = (a.dims(), b.dims());
    let product = a.clone().reshape([n, p, 1, w]) * b.clone().reshape([m, 1, p, v]);
    product.reshape([n.max(m), p * p, w.max(v)])
}
