//! Jets: a value with its tangents and, on request, its second derivatives, as burn tensors (forward-mode
//! differentiation).
//!
//! A model is written once as arithmetic on jets; the value, the exact Jacobian and the exact Hessian come
//! from that one text. Jets of taped tensors can be differentiated again in reverse mode, which gives mixed
//! second derivatives such as ∂/∂weight ∂f/∂label.

use super::derivatives::{Derivatives, sum};
use super::{Device, Tensor, matmul};

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
/// Only derivatives that are not zero everywhere are kept: the labels that a network reads cost nothing for
/// the distance, and ∂²/∂p∂q is kept once for both orders of p and q.
///
/// # Shapes
/// `value [N, W]`; `tangents`, keyed by parameter, `[K, N, W]`; `second`, keyed by pairs `p ≤ q`, `[K', N,
/// W]`. In all operations N or W may be 1 on one side (broadcasting), and also in derivatives that do not
/// depend on the row or column.
#[derive(Debug, Clone)]
pub struct Jet {
    pub value: Tensor<2>,
    pub tangents: Option<Derivatives<usize>>,
    pub second: Option<Derivatives<(usize, usize)>>,
    order: Order,
}

impl Jet {
    /// A jet that does not depend on the parameters.
    pub fn constant(value: Tensor<2>) -> Self {
        Self { value, tangents: None, second: None, order: Order::Value }
    }

    /// A jet whose value and slope with respect to another jet of one column, `inner [N, 1]`, are known:
    /// `value [N, W]`, `slope [N, W]`. Second derivatives are taken as zero.
    pub fn from_slope(value: Tensor<2>, slope: &Tensor<2>, inner: &Self) -> Self {
        Self { value, tangents: inner.tangents.as_ref().map(|tangents| tangents.times(slope)), second: None, order: inner.order }
    }

    /// The independent variables: `value [N, k]` whose column `i` is parameter `columns[i]`; a column with
    /// `None` is held fixed.
    pub fn variables(value: Tensor<2>, columns: &[Option<usize>], order: Order, device: &Device) -> Self {
        let k = columns.len();
        let keys: Vec<usize> = columns.iter().flatten().copied().collect();
        if order == Order::Value || keys.is_empty() {
            return Self::constant(value);
        }
        let mut seed = vec![0.0; keys.len() * k];
        for (row, (i, _)) in columns.iter().enumerate().filter(|(_, column)| column.is_some()).enumerate() {
            seed[row * k + i] = 1.0;
        }
        let stack = device.tensor(&seed, [keys.len(), 1, k]);
        Self { value, tangents: Some(Derivatives { keys, stack }), second: None, order }
    }

    /// Number of rows N and columns W.
    pub fn dims(&self) -> [usize; 2] {
        self.value.dims()
    }

    /// First derivatives to parameters 0 to `n_parameters`, `[N, P, W]` with `[n, p, w] = ∂value[n, w]/∂x[n,
    /// p]`; `None` where all are zero.
    pub fn jacobian(&self, n_parameters: usize) -> Option<Tensor<3>> {
        Some(self.jacobian_rows(n_parameters)?.swap_dims(0, 1))
    }

    /// [`Jet::jacobian`] with the parameter first, `[P, N, W]`, as the arithmetic leaves it.
    pub fn jacobian_rows(&self, n_parameters: usize) -> Option<Tensor<3>> {
        let keys: Vec<usize> = (0..n_parameters).collect();
        self.tangents.as_ref().map(|tangents| tangents.widen(self.dims()).rows(&keys))
    }

    /// Second derivatives to parameters 0 to `n_parameters`, `[N, P·P, W]` with `[n, p·P + q, w] = ∂²value[n,
    /// w]/∂x[n, p]∂x[n, q]`; `None` where all are zero.
    pub fn hessian(&self, n_parameters: usize) -> Option<Tensor<3>> {
        let p = n_parameters;
        let keys: Vec<(usize, usize)> = (0..p).flat_map(|i| (0..p).map(move |j| (i.min(j), i.max(j)))).collect();
        self.second.as_ref().map(|second| second.widen(self.dims()).rows(&keys).swap_dims(0, 1))
    }

    /// `self · weight`, with `weight [W, V]` independent of the parameters.
    pub fn matmul(&self, weight: &Tensor<2>) -> Self {
        let [_, w] = self.dims();
        // A derivative that is the same in all columns is needed in each.
        let columns = |stack: &Tensor<3>| [stack.dims()[1], w];
        Self {
            value: matmul(self.value.clone(), weight.clone()),
            tangents: self.tangents.as_ref().map(|tangents| tangents.widen(columns(&tangents.stack)).matmul(weight)),
            second: self.second.as_ref().map(|second| second.widen(columns(&second.stack)).matmul(weight)),
            order: self.order,
        }
    }

    /// Sum of two jets.
    pub fn add(&self, other: &Self) -> Self {
        Self {
            value: self.value.clone() + other.value.clone(),
            tangents: sum(self.tangents.clone(), other.tangents.clone()),
            second: sum(self.second.clone(), other.second.clone()),
            order: self.order.max(other.order),
        }
    }

    /// Difference of two jets.
    pub fn sub(&self, other: &Self) -> Self {
        self.add(&other.scale(-1.0))
    }

    /// Elementwise product of two jets.
    pub fn mul(&self, other: &Self) -> Self {
        let order = self.order.max(other.order);
        let cross = match (&self.tangents, &other.tangents) {
            (Some(a), Some(b)) if order == Order::Second => a.cross(b),
            _ => None,
        };
        Self {
            value: self.value.clone() * other.value.clone(),
            tangents: sum(times(&self.tangents, &other.value), times(&other.tangents, &self.value)),
            second: sum(sum(times(&self.second, &other.value), times(&other.second, &self.value)), cross),
            order,
        }
    }

    /// The jet times a number.
    pub fn scale(&self, factor: f64) -> Self {
        Self {
            value: self.value.clone() * factor,
            tangents: self.tangents.as_ref().map(|tangents| tangents.map(|stack| stack * factor)),
            second: self.second.as_ref().map(|second| second.map(|stack| stack * factor)),
            order: self.order,
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
            tangents: self.tangents.as_ref().map(|tangents| tangents.widen(self.dims()).map(|stack| stack.sum_dim(2))),
            second: self.second.as_ref().map(|second| second.widen(self.dims()).map(|stack| stack.sum_dim(2))),
            order: self.order,
        }
    }

    /// Jets side by side: `[N, W₁], [N, W₂] … → [N, W₁ + W₂ + …]`. All must have the same N.
    pub fn concat(jets: &[&Self], device: &Device) -> Self {
        Self {
            value: Tensor::cat(jets.iter().map(|jet| jet.value.clone()).collect(), 1),
            tangents: join(jets, |jet| &jet.tangents, device),
            second: join(jets, |jet| &jet.second, device),
            order: jets.iter().map(|jet| jet.order).max().unwrap_or(Order::Value),
        }
    }

    /// g(self) with first and second derivative of g at the value.
    fn chain(&self, value: Tensor<2>, slope: impl Fn() -> Tensor<2>, curvature: impl Fn() -> Tensor<2>) -> Self {
        let Some(tangents) = &self.tangents else {
            return Self::constant(value);
        };
        let slope = slope();
        let second = match self.order {
            Order::Second => {
                let bend = tangents.squares().times(&curvature());
                Some(self.second.as_ref().map_or_else(|| bend.clone(), |second| bend.add(&second.times(&slope))))
            }
            _ => None,
        };
        Self { value, tangents: Some(tangents.times(&slope)), second, order: self.order }
    }
}

fn times<K: Copy + PartialEq>(derivatives: &Option<Derivatives<K>>, value: &Tensor<2>) -> Option<Derivatives<K>> {
    derivatives.as_ref().map(|derivatives| derivatives.times(value))
}

/// Derivatives of vectors side by side.
fn join<K: Copy + PartialEq>(
    jets: &[&Jet],
    of: impl Fn(&Jet) -> &Option<Derivatives<K>>,
    device: &Device,
) -> Option<Derivatives<K>> {
    let mut keys: Vec<K> = Vec::new();
    for derivatives in jets.iter().filter_map(|jet| of(jet).as_ref()) {
        keys.extend(derivatives.keys.iter().filter(|key| !keys.contains(key)).copied().collect::<Vec<_>>());
    }
    let rows = |jet: &&Jet| {
        let [n, w] = jet.dims();
        of(jet).as_ref().map_or_else(|| device.zeros([keys.len(), n, w]), |own| own.widen([n, w]).rows(&keys))
    };
    let stack = if keys.is_empty() { None } else { Some(Tensor::cat(jets.iter().map(rows).collect(), 2)) };
    stack.map(|stack| Derivatives { keys, stack })
}
